"""The model families that Underpaint knows: one row each. No torch here.

Adding a family is a row here and its rows in `conditioning.table`; see docs/adding-a-family.md. Some are painted by
`sampling`, the others, whose row has a `stock`, by `pipelines` through diffusers' own pipelines.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from ...protocol.models import FamilyId

Vector3 = tuple[float, float, float]


class Feature(StrEnum):
    """What a family may be claimed to do; `make families` holds every claim against a run."""

    FOLDER = "folder"  # loads from a diffusers folder
    SINGLE_FILE = "single file"  # loads from one .safetensors, offline
    TEXT_TO_IMAGE = "text to image"
    IMAGE_TO_IMAGE = "image to image"
    INPAINT = "inpaint"
    CONTROLS = "controls"  # as many as `most_controls` says
    LORA = "LoRA"
    PREVIEWS = "previews"
    REPLAY = "replay"  # the same picture, to the bit, from a result's record


class Way(StrEnum):
    """What a picture is made from. One pipeline of diffusers does one of them."""

    TEXT = "text to image"
    IMAGE = "image to image"
    INPAINT = "inpainting"
    CONTROL = "text to image with controls"
    CONTROL_IMAGE = "image to image with controls"
    CONTROL_INPAINT = "inpainting with controls"


class Guidance(StrEnum):
    """What a request's guidance scale is to a family. Up to 1 it is off for all of them."""

    TRUE = "guidance_scale"  # classifier-free: the negative prompt counts, each step runs the model twice
    TRUE_CFG = "true_cfg_scale"  # the same by another name
    DISTILLED = "distilled"  # the model was trained to be told the scale; no negative prompt


class Nets(StrEnum):
    """How the controls of one picture may be spread over ControlNets."""

    ANY = "any"  # any number of nets, each for one control or for several
    ONE_NET = "one net"  # several controls only where one union net serves them all
    ONE = "one"  # a single control


@dataclass(frozen=True, kw_only=True)
class Stock:
    """How diffusers' own pipelines paint a family: what `backend/worker/pipelines` goes by."""

    ways: Mapping[Way, str]  # diffusers' pipeline of each; what is missing is refused
    guidance: Guidance
    unguided: float = 1.0  # the scale that switches guidance off
    nets: Nets
    shares_net: bool = False  # several controls may go through one net that is handed over once
    net_class: str  # of its ControlNets in diffusers
    several_class: str = ""  # what several ControlNets are put into
    fills_key: str = ""  # a ControlNet fills holes where this number of its config is above `fills_above`
    fills_above: int = 0
    fills_only: bool = True  # and is of no use for anything else
    builds_with_net: bool = False  # a pipeline's constructor can't do without the ControlNet
    packed: bool  # latents reach the model as a row of 2 x 2 patches
    multiple_px: int = 16  # of a side: 8 by the VAE, 2 by the patches
    overflows_in_float16: bool


@dataclass(frozen=True, kw_only=True)
class Family:
    """What must be known of a family before any weight is loaded."""

    id: FamilyId
    title: str  # as people call it
    short: str  # the same where there is little room
    checkpoint_classes: frozenset[str]  # "_class_name" in model_index.json
    pipeline: str  # diffusers class for a checkpoint alone
    pooled_text: bool  # text conditions the time embedding as well, and ControlNets say "text_time": SDXL alone
    text_encoders: tuple[tuple[str, str, str], ...]  # (encoder's folder, transformers class, tokenizer's folder)
    tiny_decoder: str  # hub id of the TAESD of this latent space, for previews where it is there; "" has none
    latent_rgb: tuple[Vector3, ...]  # a latent channel's share of (R, G, B) in -1..1, for previews; () has none
    latent_rgb_bias: Vector3 = (0.0, 0.0, 0.0)
    denoiser: str = "unet"  # its folder in a checkpoint
    denoiser_class: str = "UNet2DConditionModel"
    vae_class: str = "AutoencoderKL"
    inputs: tuple[int, ...] = (4, 9)  # channels that a denoiser may take: the latents, or with a hole to fill
    most_controls: int | None = None  # of a picture; None is any number
    features: frozenset[Feature]  # what is claimed
    stock: Stock | None = None  # None is painted by `sampling`, any other by diffusers' own pipelines


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

# 16 channels, as InvokeAI (Apache-2.0) publishes them in invokeai/app/util/step_callback.py.
_SD3_LATENT_RGB: tuple[Vector3, ...] = (
    (-0.05240681, 0.03251581, 0.0749016), (-0.0580572, 0.00759826, 0.05729818),
    (0.16144888, 0.01270368, -0.03768577), (0.14418615, 0.08460266, 0.15941818),
    (0.04894035, 0.0056485, -0.06686988), (0.05187166, 0.19222395, 0.06261094),
    (0.1539433, 0.04818359, 0.07103094), (-0.08601796, 0.09013458, 0.10893912),
    (-0.12398469, -0.06766567, 0.0033688), (-0.0439737, 0.07825329, 0.02258823),
    (0.03101129, 0.06382551, 0.07753657), (-0.01315361, 0.08554491, -0.08772475),
    (0.06464487, 0.05914605, 0.13262741), (-0.07863674, -0.02261737, -0.12761454),
    (-0.09923835, -0.08010759, -0.06264447), (-0.03392309, -0.0804029, -0.06078822),
)  # fmt: skip
_FLUX_LATENT_RGB: tuple[Vector3, ...] = (
    (-0.0412, 0.0149, 0.0521), (0.0056, 0.0291, 0.0768), (0.0342, -0.0681, -0.0427), (-0.0258, 0.0092, 0.0463),
    (0.0863, 0.0784, 0.0547), (-0.0017, 0.0402, 0.0158), (0.0501, 0.1058, 0.1152), (-0.0209, -0.0218, -0.0329),
    (-0.0314, 0.0083, 0.0896), (0.0851, 0.0665, -0.0472), (-0.0534, 0.0238, -0.0024), (0.0452, -0.0026, 0.0048),
    (0.0892, 0.0831, 0.0881), (-0.1117, -0.0304, -0.0789), (0.0027, -0.0479, -0.0043), (-0.1146, -0.0827, -0.0598),
)  # fmt: skip

_PICTURES = frozenset(
    {
        Feature.FOLDER,
        Feature.TEXT_TO_IMAGE,
        Feature.IMAGE_TO_IMAGE,
        Feature.INPAINT,
        Feature.CONTROLS,
        Feature.LORA,
        Feature.REPLAY,
    }
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


def _classes(name: str) -> frozenset[str]:
    """diffusers' pipelines of a family; whichever wrote a folder, the others can use it."""
    ways = ("", "Img2Img", "Inpaint", "ControlNet", "ControlNetImg2Img", "ControlNetInpaint", "ControlNetInpainting")
    return frozenset(f"{name}{way}Pipeline" for way in ways)


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
            features=_PICTURES | {Feature.PREVIEWS, Feature.SINGLE_FILE},
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
            features=_PICTURES | {Feature.PREVIEWS, Feature.SINGLE_FILE},
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
            features=_PICTURES | {Feature.PREVIEWS, Feature.SINGLE_FILE},
        ),
        # what steps, guidance and sizes to begin with is in `library.advice`
        Family(
            id=FamilyId.SD3,
            title="Stable Diffusion 3.5",
            short="SD 3.5",
            checkpoint_classes=_classes("StableDiffusion3"),
            pipeline="StableDiffusion3Pipeline",
            pooled_text=False,
            text_encoders=(
                ("text_encoder", "CLIPTextModelWithProjection", "tokenizer"),
                ("text_encoder_2", "CLIPTextModelWithProjection", "tokenizer_2"),
                ("text_encoder_3", "T5EncoderModel", "tokenizer_3"),
            ),
            tiny_decoder="madebyollin/taesd3",
            latent_rgb=_SD3_LATENT_RGB,
            denoiser="transformer",
            denoiser_class="SD3Transformer2DModel",
            inputs=(16,),
            features=_PICTURES | {Feature.PREVIEWS},
            stock=Stock(
                ways={
                    Way.TEXT: "StableDiffusion3Pipeline",
                    Way.IMAGE: "StableDiffusion3Img2ImgPipeline",
                    Way.INPAINT: "StableDiffusion3InpaintPipeline",
                    Way.CONTROL: "StableDiffusion3ControlNetPipeline",
                    Way.CONTROL_INPAINT: "StableDiffusion3ControlNetInpaintingPipeline",
                },
                guidance=Guidance.TRUE,
                nets=Nets.ANY,
                net_class="SD3ControlNetModel",
                several_class="SD3MultiControlNetModel",
                fills_key="extra_conditioning_channels",
                packed=False,
                overflows_in_float16=False,
            ),
        ),
        Family(
            id=FamilyId.FLUX,
            title="Flux.1",
            short="Flux.1",
            checkpoint_classes=_classes("Flux"),
            pipeline="FluxPipeline",
            pooled_text=False,
            text_encoders=(
                ("text_encoder", "CLIPTextModel", "tokenizer"),
                ("text_encoder_2", "T5EncoderModel", "tokenizer_2"),
            ),
            tiny_decoder="madebyollin/taef1",
            latent_rgb=_FLUX_LATENT_RGB,
            denoiser="transformer",
            denoiser_class="FluxTransformer2DModel",
            inputs=(64,),
            features=_PICTURES | {Feature.PREVIEWS},
            stock=Stock(
                ways={
                    Way.TEXT: "FluxPipeline",
                    Way.IMAGE: "FluxImg2ImgPipeline",
                    Way.INPAINT: "FluxInpaintPipeline",
                    Way.CONTROL: "FluxControlNetPipeline",
                    Way.CONTROL_IMAGE: "FluxControlNetImg2ImgPipeline",
                    Way.CONTROL_INPAINT: "FluxControlNetInpaintPipeline",
                },
                guidance=Guidance.DISTILLED,
                nets=Nets.ANY,
                net_class="FluxControlNetModel",
                shares_net=True,
                several_class="FluxMultiControlNetModel",
                packed=True,
                overflows_in_float16=True,
            ),
        ),
        Family(
            id=FamilyId.QWEN_IMAGE,
            title="Qwen-Image",
            short="Qwen-Image",
            checkpoint_classes=_classes("QwenImage"),
            pipeline="QwenImagePipeline",
            pooled_text=False,
            text_encoders=(("text_encoder", "Qwen2_5_VLForConditionalGeneration", "tokenizer"),),
            tiny_decoder="",
            latent_rgb=(),  # no numbers are published under a licence that lets them be used here
            denoiser="transformer",
            denoiser_class="QwenImageTransformer2DModel",
            vae_class="AutoencoderKLQwenImage",
            inputs=(64,),
            features=_PICTURES,
            stock=Stock(
                ways={
                    Way.TEXT: "QwenImagePipeline",
                    Way.IMAGE: "QwenImageImg2ImgPipeline",
                    Way.INPAINT: "QwenImageInpaintPipeline",
                    Way.CONTROL: "QwenImageControlNetPipeline",
                    Way.CONTROL_INPAINT: "QwenImageControlNetInpaintPipeline",
                },
                guidance=Guidance.TRUE_CFG,
                nets=Nets.ONE_NET,
                net_class="QwenImageControlNetModel",
                shares_net=True,
                several_class="QwenImageMultiControlNetModel",
                fills_key="extra_condition_channels",
                packed=True,
                overflows_in_float16=True,
            ),
        ),
        Family(
            id=FamilyId.Z_IMAGE,
            title="Z-Image",
            short="Z-Image",
            checkpoint_classes=_classes("ZImage"),
            pipeline="ZImagePipeline",
            pooled_text=False,
            text_encoders=(("text_encoder", "Qwen3Model", "tokenizer"),),
            tiny_decoder="madebyollin/taef1",
            latent_rgb=_FLUX_LATENT_RGB,  # it kept Flux.1's latent space
            denoiser="transformer",
            denoiser_class="ZImageTransformer2DModel",
            inputs=(16,),
            most_controls=1,
            features=_PICTURES | {Feature.PREVIEWS},
            stock=Stock(
                ways={
                    Way.TEXT: "ZImagePipeline",
                    Way.IMAGE: "ZImageImg2ImgPipeline",
                    Way.INPAINT: "ZImageInpaintPipeline",
                    Way.CONTROL: "ZImageControlNetPipeline",
                    Way.CONTROL_INPAINT: "ZImageControlNetInpaintPipeline",
                },
                guidance=Guidance.TRUE,
                unguided=0.0,
                nets=Nets.ONE,
                net_class="ZImageControlNetModel",
                builds_with_net=True,
                fills_key="control_in_dim",
                fills_above=16,
                fills_only=False,
                packed=False,
                overflows_in_float16=True,
            ),
        ),
    )
}

TOKENIZERS: dict[str, str] = {
    "CLIPTextModel": "CLIPTokenizer",
    "CLIPTextModelWithProjection": "CLIPTokenizer",
    "T5EncoderModel": "T5TokenizerFast",
    "Qwen2_5_VLForConditionalGeneration": "Qwen2Tokenizer",
    "Qwen3Model": "Qwen2Tokenizer",
}
"""transformers' class of the tokenizer that goes with a text encoder."""
