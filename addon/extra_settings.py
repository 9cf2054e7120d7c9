"""What may be asked of a picture beyond prompt, controls and steps, as Blender keeps it."""

import bpy
from bpy.props import (
    BoolProperty,
    CollectionProperty,
    EnumProperty,
    FloatProperty,
    IntProperty,
    PointerProperty,
    StringProperty,
)

from ..protocol.extra_checks import MAX_CLIP_SKIP, MAX_FACTOR, MAX_IMAGE_PROMPT_SCALE, MAX_LORA_WEIGHT, MIN_TILE
from ..protocol.limits import MAX_SIDE, MAX_STEPS
from . import callbacks

# (identifier, label, tooltip, number): the numbers are saved in files, so they never change.
SEAMLESS = (
    ("OFF", "Off", "The edges have nothing to do with each other", 0),
    ("X", "Left and Right", "The left edge continues at the right one", 1),
    ("Y", "Top and Bottom", "The top edge continues at the bottom one", 2),
    ("BOTH", "All Edges", "The picture tiles in both directions", 3),
)


class UNDERPAINT_PG_lora(bpy.types.PropertyGroup):
    """A LoRA and how much it counts"""

    enabled: BoolProperty(name="Enable", description="Let this LoRA take part in the picture", default=True)
    lora: StringProperty(
        name="LoRA",
        description="A LoRA's file, or its name in the models folders or on the hub",
        search=callbacks.search_loras,
        search_options={"SUGGESTION"},
    )
    weight: FloatProperty(
        name="Weight",
        description="How much the LoRA counts. 1 is what it was trained for, and negative weights turn it round",
        default=1.0,
        min=-MAX_LORA_WEIGHT,
        max=MAX_LORA_WEIGHT,
        soft_min=-2.0,
        soft_max=2.0,
        step=5,
        precision=2,
    )
    use_text_weight: BoolProperty(
        name="Text Weight", description="Give the LoRA another weight in the text encoders", default=False
    )
    text_weight: FloatProperty(
        name="Text Weight",
        description="How much the LoRA counts where the prompt is read",
        default=1.0,
        min=-MAX_LORA_WEIGHT,
        max=MAX_LORA_WEIGHT,
        soft_min=-2.0,
        soft_max=2.0,
        step=5,
        precision=2,
    )


class UNDERPAINT_PG_embedding(bpy.types.PropertyGroup):
    """A textual inversion, called up by its word in a prompt"""

    embedding: StringProperty(
        name="Embedding",
        description="The file of a textual inversion, or its name in the models folders or on the hub",
        search=callbacks.search_embeddings,
        search_options={"SUGGESTION"},
    )
    token: StringProperty(
        name="Word", description="What calls it up in a prompt. Empty takes the word in the file, or else its name"
    )


class UNDERPAINT_PG_image_prompt(bpy.types.PropertyGroup):
    """A picture as a prompt: its style and what it shows"""

    enabled: BoolProperty(name="Enable", description="Let this picture take part", default=True)
    adapter: StringProperty(
        name="IP-Adapter",
        description="The IP-Adapter that reads the picture: a file, or its name in the models folders or on the hub",
        search=callbacks.search_adapters,
        search_options={"SUGGESTION"},
    )
    image: PointerProperty(
        type=bpy.types.Image,
        name="Image",
        description="The picture whose style and content are taken up",
        poll=callbacks.is_usable_image,
    )
    scale: FloatProperty(
        name="Scale",
        description="How much the picture counts: 0 is not at all, 1 as much as the text",
        default=0.6,
        min=0.0,
        max=MAX_IMAGE_PROMPT_SCALE,
        soft_max=1.5,
        step=5,
        precision=2,
    )
    start: FloatProperty(
        name="Start",
        description="The part of the steps after which it sets in",
        default=0.0,
        min=0.0,
        max=1.0,
        subtype="FACTOR",
        precision=2,
        update=callbacks.keep_end,
    )
    end: FloatProperty(
        name="End",
        description="The part of the steps after which it stops",
        default=1.0,
        min=0.0,
        max=1.0,
        subtype="FACTOR",
        precision=2,
        update=callbacks.keep_start,
    )
    image_encoder: StringProperty(
        name="Image Encoder",
        description="What the IP-Adapter looks at the picture with. Empty takes the one that lies beside it",
        search=callbacks.search_image_encoders,
        search_options={"SUGGESTION"},
    )


class UNDERPAINT_PG_second_pass(bpy.types.PropertyGroup):
    """Paint small first, then once more over the enlarged picture"""

    use: BoolProperty(
        name="Second Pass",
        description="Paint small first, then once more over the enlarged picture: large pictures stay in one piece",
        default=False,
    )
    factor: FloatProperty(
        name="Factor",
        description="How many times larger the picture is than the first pass",
        default=2.0,
        min=1.0,
        max=MAX_FACTOR,
        soft_max=4.0,
        step=25,
        precision=2,
    )
    strength: FloatProperty(
        name="Strength",
        description="How much of the enlarged picture is painted anew: 0.3 sharpens, 0.6 invents",
        default=0.5,
        min=0.0,
        max=1.0,
        subtype="FACTOR",
        precision=2,
    )
    steps: IntProperty(
        name="Steps",
        description="Denoising steps of the second pass, before the strength shortens them. 0 takes the picture's own",
        default=0,
        min=0,
        max=MAX_STEPS,
        soft_max=100,
    )
    use_tiles: BoolProperty(
        name="In Tiles",
        description="Paint the second pass in overlapping tiles, which takes the memory of one tile",
        default=False,
    )
    tile_px: IntProperty(
        name="Tile Size",
        description="Side of the tiles. The size that the model was trained on does best",
        default=512,
        min=MIN_TILE,
        max=MAX_SIDE,
        soft_max=2048,
        step=64,
        subtype="PIXEL",
    )
    overlap_px: IntProperty(
        name="Overlap",
        description="How far neighbouring tiles overlap, so that no seam shows",
        default=64,
        min=0,
        max=MAX_SIDE // 2,
        soft_max=256,
        subtype="PIXEL",
    )
    tile_controlnet: StringProperty(
        name="Tile ControlNet",
        description="A tile ControlNet that keeps the second pass to the first one. Empty goes without",
        search=callbacks.search_controlnets,
        search_options={"SUGGESTION"},
    )
    tile_scale: FloatProperty(
        name="Tile Scale",
        description="How strongly the second pass keeps to the first one",
        default=1.0,
        min=0.0,
        max=10.0,
        soft_max=2.0,
        step=5,
        precision=2,
    )


class UNDERPAINT_PG_extras(bpy.types.PropertyGroup):
    """What else is asked of a picture"""

    loras: CollectionProperty(type=UNDERPAINT_PG_lora, name="LoRAs", description="Small changes of the checkpoint")
    active_lora: IntProperty(name="Active LoRA", description="The LoRA that is shown below", min=0)
    embeddings: CollectionProperty(
        type=UNDERPAINT_PG_embedding,
        name="Embeddings",
        description="Textual inversions from elsewhere. Those in the models folders are called up by their names alone",
    )
    active_embedding: IntProperty(name="Active Embedding", description="The embedding that is shown below", min=0)
    image_prompts: CollectionProperty(
        type=UNDERPAINT_PG_image_prompt, name="Image Prompts", description="Pictures as prompts"
    )
    active_image_prompt: IntProperty(name="Active Image Prompt", description="The picture that is shown below", min=0)
    second_pass: PointerProperty(type=UNDERPAINT_PG_second_pass, name="Second Pass")
    vae: StringProperty(
        name="VAE",
        description="What turns latents into pixels: a file, or its name. Empty takes the checkpoint's own",
        search=callbacks.search_vaes,
        search_options={"SUGGESTION"},
    )
    clip_skip: IntProperty(
        name="Clip Skip",
        description=(
            "How many of the last layers of the text encoder are left out. Programs that count from 1 say one more"
        ),
        default=0,
        min=0,
        max=MAX_CLIP_SKIP,
        soft_max=3,
    )
    plain_prompt: BoolProperty(
        name="Plain Prompt",
        description="Take brackets in the prompts as they are written, and not as weights and LoRAs",
        default=False,
    )
    seamless: EnumProperty(
        name="Seamless", description="Which edges of the picture continue at the opposite ones", items=SEAMLESS
    )
    safety_checker: StringProperty(
        name="Safety Checker",
        description="A model that blackens pictures which it takes for unsafe: a folder, or a name. Empty goes without",
        search=callbacks.search_safety_checkers,
        search_options={"SUGGESTION"},
    )


CLASSES = (
    UNDERPAINT_PG_lora,
    UNDERPAINT_PG_embedding,
    UNDERPAINT_PG_image_prompt,
    UNDERPAINT_PG_second_pass,
    UNDERPAINT_PG_extras,
)
