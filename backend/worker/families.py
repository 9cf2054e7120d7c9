"""The model families that Underpaint knows: one row each. No torch here.

Adding a family is a row here and its rows in `conditioning.table`; see docs/adding-a-family.md.
"""

from dataclasses import dataclass

from ...protocol.models import FamilyId

Vector3 = tuple[float, float, float]


@dataclass(frozen=True, kw_only=True)
class Family:
    """What must be known of a family before any weight is loaded."""

    id: FamilyId
    title: str  # as people call it
    short: str  # the same where there is little room
    checkpoint_classes: frozenset[str]  # "_class_name" in model_index.json
    pipeline: str  # diffusers class for a checkpoint alone
    pooled_text: bool  # text conditions the time embedding as well (SDXL); its ControlNets say "text_time"
    text_encoders: tuple[tuple[str, str, str], ...]  # (encoder's folder, transformers class, tokenizer's folder)
    tiny_decoder: str  # hub id of the TAESD of this latent space, for previews where it is there
    latent_rgb: tuple[Vector3, ...]  # a latent channel's share of (R, G, B) in -1..1, for previews
    latent_rgb_bias: Vector3 = (0.0, 0.0, 0.0)


# A linear picture of the latents, by keturn for SD 1.x, numbers for 1.5 by torridgristle:
# https://discuss.huggingface.co/t/decoding-latents-to-rgb-without-upscaling/23204
_SD_LATENT_RGB: tuple[Vector3, ...] = (
    (0.3444, 0.1385, 0.0670),
    (0.1247, 0.4027, 0.1494),
    (-0.3192, 0.2513, 0.2103),
    (-0.1307, -0.1874, -0.7445),
)

# The same for SDXL's own VAE, numbers by StAlKeR7779 as InvokeAI (Apache-2.0) publishes them.
_SDXL_LATENT_RGB: tuple[Vector3, ...] = (
    (0.3816, 0.4930, 0.5320),
    (-0.3753, 0.1631, 0.1739),
    (0.1770, 0.3588, -0.2048),
    (-0.4350, -0.2644, -0.4289),
)

_SD_CLASSES = frozenset(
    {
        "StableDiffusionPipeline",
        "StableDiffusionControlNetPipeline",
        "StableDiffusionImg2ImgPipeline",
        "StableDiffusionInpaintPipeline",
    }
)
_SD_TEXT = (("text_encoder", "CLIPTextModel", "tokenizer"),)

FAMILIES: dict[FamilyId, Family] = {
    row.id: row
    for row in (
        Family(
            id=FamilyId.SD15,
            title="Stable Diffusion 1.5",
            short="SD 1.5",
            checkpoint_classes=_SD_CLASSES,
            pipeline="StableDiffusionPipeline",
            pooled_text=False,
            text_encoders=_SD_TEXT,
            tiny_decoder="madebyollin/taesd",
            latent_rgb=_SD_LATENT_RGB,
        ),
        Family(
            id=FamilyId.SD2,
            title="Stable Diffusion 2",
            short="SD 2",
            checkpoint_classes=_SD_CLASSES,
            pipeline="StableDiffusionPipeline",
            pooled_text=False,
            text_encoders=_SD_TEXT,
            tiny_decoder="madebyollin/taesd",
            latent_rgb=_SD_LATENT_RGB,  # SD 2 kept SD 1's latent space
        ),
        Family(
            id=FamilyId.SDXL,
            title="Stable Diffusion XL",
            short="SDXL",
            checkpoint_classes=frozenset(
                {
                    "StableDiffusionXLPipeline",
                    "StableDiffusionXLControlNetPipeline",
                    "StableDiffusionXLInpaintPipeline",
                }
            ),
            pipeline="StableDiffusionXLPipeline",
            pooled_text=True,
            text_encoders=(
                ("text_encoder", "CLIPTextModel", "tokenizer"),
                ("text_encoder_2", "CLIPTextModelWithProjection", "tokenizer_2"),
            ),
            tiny_decoder="madebyollin/taesdxl",
            latent_rgb=_SDXL_LATENT_RGB,
        ),
    )
}
