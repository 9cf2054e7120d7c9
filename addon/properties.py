"""What a scene keeps for Underpaint, and which result the window manager shows."""

from typing import Any

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

from ..protocol.checks import MAX_BATCH, MAX_PICTURES
from ..protocol.options import (
    DepthOptions,
    DetectorOptions,
    LineOptions,
    NormalOptions,
    PictureOptions,
    PoseOptions,
    SegmentationOptions,
)
from ..protocol.request import ControlKind
from . import callbacks, extra_settings, option_settings, sampling_settings
from .kinds import KINDS, icon_of, label_of
from .samplers import SCHEDULERS, SIGMAS

__all__ = ["KINDS", "add_default_controls", "effective_kinds", "icon_of", "label_of"]


class UNDERPAINT_PG_control(bpy.types.PropertyGroup):
    """One ControlNet, what it is shown, and how much it counts"""

    name: StringProperty(name="Name", description="What this control is called in the list", default="Control")
    enabled: BoolProperty(
        name="Enable",
        description="Let this control take part in the picture",
        default=True,
        update=callbacks.controls_changed,
    )
    kind: EnumProperty(
        name="Kind",
        description="What the ControlNet follows",
        items=KINDS,
        default="DEPTH",
        update=callbacks.kind_changed,
    )
    image: PointerProperty(
        type=bpy.types.Image,
        name="Image",
        description="What the control is taken from. Empty takes the scene itself",
        poll=callbacks.is_usable_image,
        update=callbacks.control_changed,
    )
    image_is: EnumProperty(
        name="Image Is",
        description="What the image shows",
        items=(
            ("PHOTO", "Picture", "Any picture or photo: a detector finds the control in it, where one is needed", 0),
            ("MAP", "Control Map", "Already what the ControlNet expects; it is used as it is", 1),
        ),
        update=callbacks.control_changed,
    )
    detector: EnumProperty(
        name="Detector",
        description="What finds the control in the image",
        items=callbacks.detector_items,
        default=0,
        update=callbacks.control_changed,
    )
    pose_text: PointerProperty(
        type=bpy.types.Text,
        name="OpenPose JSON",
        description=(
            "People from OpenPose JSON, instead of the scene's characters. Of a list of frames, the first belongs to "
            "the scene's first frame"
        ),
        update=callbacks.controls_changed,
    )
    mask_from: EnumProperty(
        name="Mask",
        description="Where it is said which part is painted anew",
        items=(
            ("OBJECTS", "Objects", "Paint what the camera sees of an object or a collection anew", 0),
            ("ALPHA", "Image's Alpha", "Paint anew where the image is transparent", 1),
            ("IMAGE", "Mask Image", "Paint anew where another image is white", 2),
        ),
        update=callbacks.control_changed,
    )
    mask_object: PointerProperty(
        type=bpy.types.Object,
        name="Object",
        description="The object that is painted anew",
        update=callbacks.control_changed,
    )
    mask_collection: PointerProperty(
        type=bpy.types.Collection,
        name="Collection",
        description="The collection whose objects are painted anew",
        update=callbacks.control_changed,
    )
    mask_image: PointerProperty(
        type=bpy.types.Image,
        name="Mask Image",
        description="White where the picture is painted anew, black where it stays",
        poll=callbacks.is_usable_image,
        update=callbacks.control_changed,
    )
    depth: option_settings.pointer(DepthOptions)
    normal: option_settings.pointer(NormalOptions)
    pose: option_settings.pointer(PoseOptions)
    lines: option_settings.pointer(LineOptions)
    segmentation: option_settings.pointer(SegmentationOptions)
    picture: option_settings.pointer(PictureOptions)
    detection: option_settings.pointer(DetectorOptions)
    controlnet: StringProperty(
        name="ControlNet",
        description=(
            "A ControlNet's file or folder, or its name in the models folders or on the hub. Empty takes the one that "
            "belongs to the checkpoint that Underpaint brings along"
        ),
        search=callbacks.search_controlnets,
        search_options={"SUGGESTION"},
        update=callbacks.control_changed,
    )
    conditioning_scale: FloatProperty(
        name="Conditioning Scale",
        description="How strongly the picture follows this control. 1 is what it was trained with, 0 is not at all",
        default=1.0,
        min=0.0,
        max=10.0,
        soft_max=2.0,
        step=5,
        precision=2,
    )
    start: FloatProperty(
        name="Start",
        description="The part of the steps after which the control sets in",
        default=0.0,
        min=0.0,
        max=1.0,
        subtype="FACTOR",
        precision=2,
        update=callbacks.keep_end,
    )
    end: FloatProperty(
        name="End",
        description="The part of the steps after which the control stops, and the details are free",
        default=1.0,
        min=0.0,
        max=1.0,
        subtype="FACTOR",
        precision=2,
        update=callbacks.keep_start,
    )
    curve: CollectionProperty(
        type=sampling_settings.UNDERPAINT_PG_curve_point,
        name="Weight Curve",
        description="How the weight changes over the steps. Without points it is the conditioning scale throughout",
    )
    guess_mode: BoolProperty(
        name="Guess Mode",
        description=(
            "The control counts more than the words: it steers what the prompt asks for and not what it avoids, and "
            "fine features less than the composition. It paints well with an empty prompt, at a guidance of 3 to 5"
        ),
        default=False,
    )


class UNDERPAINT_PG_settings(bpy.types.PropertyGroup):
    """How Underpaint paints this scene"""

    prompt: StringProperty(name="Prompt", description="What the picture shows, in words")
    negative_prompt: StringProperty(name="Negative Prompt", description="What the picture must not show, in words")
    checkpoint: StringProperty(
        name="Checkpoint",
        description=(
            "The Stable Diffusion model: a file or a folder, or its name in the models folders or on the hub. "
            "Empty takes the small one that Underpaint brings along"
        ),
        search=callbacks.search_checkpoints,
        search_options={"SUGGESTION"},
        update=callbacks.control_changed,
    )
    controls: CollectionProperty(
        type=UNDERPAINT_PG_control,
        name="Controls",
        description="The ControlNets that paint together. Without any, depth, normal and pose count in full",
    )
    active_control: IntProperty(
        name="Active Control",
        description="The control that is shown below",
        min=0,
        update=callbacks.active_control_changed,
    )
    steps: IntProperty(
        name="Steps",
        description="Denoising steps. More take longer and, from some point on, change little",
        default=20,
        min=1,
        max=1000,
        soft_max=100,
    )
    guidance_scale: FloatProperty(
        name="Guidance Scale",
        description="How closely the picture follows the prompt. Low is free, high is literal and hard in colour",
        default=7.5,
        min=0.0,
        max=100.0,
        soft_min=1.0,
        soft_max=20.0,
        step=10,
        precision=1,
    )
    scheduler: EnumProperty(
        name="Scheduler",
        description="How the noise is taken away, step by step",
        items=SCHEDULERS,
        default="UNIPC",
    )
    sigmas: EnumProperty(
        name="Noise Levels",
        description="How the levels of noise are spread over the steps (sigmas)",
        items=SIGMAS,
    )
    seed: IntProperty(
        name="Seed",
        description=(
            "The noise that the picture starts from. The same settings with the same seed give the same picture"
        ),
        default=0,
        min=0,
    )
    pictures: IntProperty(
        name="Pictures",
        description=(
            "How many pictures Generate paints: the first with the seed, each further one with the next. A render, and "
            "each frame of an animation, is one picture"
        ),
        default=1,
        min=1,
        max=MAX_PICTURES,
        soft_max=16,
    )
    batch_size: IntProperty(
        name="Batch Size",
        description=(
            "How many of the pictures are painted at once. More is quicker on graphics cards with the memory for it, "
            "and changes each picture by a rounding error"
        ),
        default=1,
        min=1,
        max=MAX_BATCH,
        soft_max=8,
    )
    start: PointerProperty(
        type=sampling_settings.UNDERPAINT_PG_start,
        name="Start",
        description="The picture that painting begins with, instead of noise alone",
    )
    extras: PointerProperty(
        type=extra_settings.UNDERPAINT_PG_extras,
        name="Extras",
        description="LoRAs, image prompts, a second pass, and what else is asked of a picture",
    )
    allow_download: BoolProperty(
        name="Download Missing Models",
        description=(
            "Fetch a checkpoint or ControlNet that is given by its name on the hub and isn't on this computer. "
            "It also takes Blender's own Allow Online Access, in Preferences > System"
        ),
        default=False,
    )
    use_preview: BoolProperty(
        name="Live Preview", description="Show the picture while it is painted, step by step", default=True
    )
    keep_image: BoolProperty(
        name="Keep as Image",
        description="Also keep each rendered still as an image in this file, with its settings, for the history",
        default=True,
    )


class UNDERPAINT_PG_class(bpy.types.PropertyGroup):
    """What a thing is, for segmentation"""

    ade20k: StringProperty(
        name="Class",
        description=(
            "What this is among ADE20K's 150 classes, for segmentation. Empty takes the class of the collection, or "
            "else guesses by the name"
        ),
        search=callbacks.search_ade20k,
        update=callbacks.class_changed,
    )


class UNDERPAINT_PG_state(bpy.types.PropertyGroup):
    """Which result is shown"""

    result_name: StringProperty(options={"HIDDEN", "SKIP_SAVE"})  # the history's active picture
    active_result: IntProperty(
        name="Active Result",
        description="The picture that is shown, restored, deleted and projected",
        get=callbacks.active_result,
        set=callbacks.set_active_result,
        update=callbacks.show_active_result,
        options={"HIDDEN", "SKIP_SAVE"},
    )
    thing_name: StringProperty(options={"HIDDEN", "SKIP_SAVE"})  # the active one of the list of classes
    active_thing: IntProperty(
        name="Active Thing",
        description="The object whose materials' classes are shown below",
        get=callbacks.active_thing,
        set=callbacks.set_active_thing,
        options={"HIDDEN", "SKIP_SAVE"},
    )


DEFAULT_CONTROLS = (ControlKind.DEPTH, ControlKind.NORMAL, ControlKind.OPENPOSE)
"""What takes part where the scene has no list of its own."""


def add_default_controls(settings: Any, *, enabled: bool = True) -> None:
    """Put depth, normal and pose into the scene's list."""
    for kind in DEFAULT_CONTROLS:
        item = settings.controls.add()
        item.kind, item.name, item.enabled = kind.name, label_of(kind.name), enabled


def effective_kinds(settings: Any) -> list[ControlKind]:
    """The kinds of control that take part, each once."""
    if not len(settings.controls):
        return list(DEFAULT_CONTROLS)
    return list(dict.fromkeys(ControlKind[item.kind] for item in settings.controls if item.enabled))


_CLASSES = (
    *option_settings.CLASSES,
    *sampling_settings.CLASSES,
    *extra_settings.CLASSES,
    UNDERPAINT_PG_control,
    UNDERPAINT_PG_settings,
    UNDERPAINT_PG_class,
    UNDERPAINT_PG_state,
)
_CLASSIFIED = (bpy.types.Object, bpy.types.Material, bpy.types.Collection)


def register() -> None:
    for cls in _CLASSES:
        bpy.utils.register_class(cls)
    bpy.types.Scene.underpaint = PointerProperty(type=UNDERPAINT_PG_settings, name="Underpaint")
    bpy.types.WindowManager.underpaint = PointerProperty(type=UNDERPAINT_PG_state, name="Underpaint")
    for kind in _CLASSIFIED:
        kind.underpaint = PointerProperty(type=UNDERPAINT_PG_class, name="Underpaint")


def unregister() -> None:
    for kind in _CLASSIFIED:
        del kind.underpaint
    del bpy.types.WindowManager.underpaint
    del bpy.types.Scene.underpaint
    for cls in reversed(_CLASSES):
        bpy.utils.unregister_class(cls)
