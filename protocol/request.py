"""The request: one tree of frozen dataclasses that holds everything that influences a picture.

The same request gives the same picture. A result carries its request, so a picture can be made again.
The tree carries *physical quantities*; what each ControlNet wants of them is the worker's business.
"""

from dataclasses import dataclass
from enum import StrEnum

from .arrays import ArrayRef
from .geometry import Camera, Extent
from .options import Options
from .sources import Source

# ---------------------------------------------------------------------------------------------- controls


class ControlKind(StrEnum):
    """What a ControlNet was trained to follow."""

    DEPTH = "depth"
    NORMAL = "normal"
    OPENPOSE = "openpose"
    CANNY = "canny"
    LINEART = "lineart"
    LINEART_ANIME = "lineart_anime"
    SOFTEDGE = "softedge"
    SCRIBBLE = "scribble"
    MLSD = "mlsd"
    SEGMENTATION = "segmentation"
    INPAINT = "inpaint"
    TILE = "tile"
    SHUFFLE = "shuffle"
    BLUR = "blur"
    GRAY = "gray"
    LOW_QUALITY = "low_quality"


@dataclass(frozen=True, kw_only=True)
class CurvePoint:
    """A control's weight at one place of the way from noise to picture."""

    at: float  # fraction of the steps, 0 to 1
    factor: float  # of the control's conditioning_scale


@dataclass(frozen=True, kw_only=True)
class Control:
    """One ControlNet, what it is shown, and how much it counts."""

    kind: ControlKind
    source: Source
    options: Options | None = None  # of the kind that goes with the source; None is every default
    controlnet: str = ""  # folder or hub id; empty takes the one that belongs to the embedded checkpoint
    conditioning_scale: float = 1.0
    start: float = 0.0  # fraction of the steps at which it sets in
    end: float = 1.0  # fraction of the steps at which it stops
    curve: tuple[CurvePoint, ...] = ()  # by `at`, straight between points and level beyond them; none is 1 throughout
    guess_mode: bool = False  # steer what the prompt asks for and not what it avoids, and fine features less


# ---------------------------------------------------------------------------------------------- sampling


class Scheduler(StrEnum):
    """Noise schedulers by diffusers' classes, with what is set otherwise behind a stroke."""

    UNIPC = "UniPCMultistepScheduler"
    DPMPP_2M = "DPMSolverMultistepScheduler"
    DPMPP_2M_SDE = "DPMSolverMultistepScheduler/sde"
    DPMPP_3M = "DPMSolverMultistepScheduler/3"
    DPMPP_2S = "DPMSolverSinglestepScheduler"
    DEIS = "DEISMultistepScheduler"
    SA_SOLVER = "SASolverScheduler"
    EULER = "EulerDiscreteScheduler"
    EULER_ANCESTRAL = "EulerAncestralDiscreteScheduler"
    DPM2 = "KDPM2DiscreteScheduler"
    DPM2_ANCESTRAL = "KDPM2AncestralDiscreteScheduler"
    HEUN = "HeunDiscreteScheduler"
    LMS = "LMSDiscreteScheduler"
    PNDM = "PNDMScheduler"
    DDIM = "DDIMScheduler"
    DDPM = "DDPMScheduler"
    LCM = "LCMScheduler"
    TCD = "TCDScheduler"


class Sigmas(StrEnum):
    """How the noise levels of the steps are spread."""

    DEFAULT = "default"  # as the checkpoint's scheduler config says
    KARRAS = "karras"
    EXPONENTIAL = "exponential"
    BETA = "beta"
    TRAILING = "trailing"  # even steps that begin at pure noise, for models distilled to few steps; "SGM uniform"


class Precision(StrEnum):
    """The number format that the models compute in."""

    AUTO = "auto"  # what the device does well and what fits
    FLOAT32 = "float32"
    FLOAT16 = "float16"
    BFLOAT16 = "bfloat16"


@dataclass(frozen=True, kw_only=True)
class Start:
    """A picture to begin with instead of noise alone: image to image, or inpainting where there is a mask."""

    image: ArrayRef  # (height, width, 3) uint8 sRGB; fitted to the picture's size
    strength: float = 0.8  # 0 leaves the image as it is, 1 leaves nothing of it
    mask: ArrayRef | None = None  # (height, width) uint8, as large as the image: 255 paints anew, 0 keeps
    mask_grow_px: int = 0  # widens what is painted anew; negative narrows it
    mask_blur_px: float = 0.0  # softens the edge at which the kept picture is put back


@dataclass(frozen=True, kw_only=True)
class SecondPass:
    """Paint small first, then once more over the enlarged picture, as a whole or in tiles."""

    factor: float = 2.0  # the first pass has the picture's size by this, rounded to multiples of 8
    strength: float = 0.5  # of the second pass, see Start
    steps: int | None = None  # of the second pass before `strength` shortens them; None takes the request's
    tile_px: int | None = None  # side of the tiles of the second pass; None paints the whole at once
    overlap_px: int = 64  # of neighbouring tiles
    tile_controlnet: str = ""  # a tile ControlNet that keeps the second pass to the first; empty goes without
    tile_scale: float = 1.0  # its conditioning_scale


class Seamless(StrEnum):
    """Which edges of the picture continue at the opposite ones."""

    OFF = "off"
    X = "x"
    Y = "y"
    BOTH = "both"


@dataclass(frozen=True, kw_only=True)
class Lora:
    """A LoRA and how much it counts."""

    lora: str  # file, folder or hub id
    weight: float = 1.0  # negative ones turn it round
    text_weight: float | None = None  # of its part for the text encoders; None takes `weight`


@dataclass(frozen=True, kw_only=True)
class Embedding:
    """A textual inversion, called up by its token in a prompt."""

    embedding: str  # file or hub id
    token: str = ""  # empty takes the file's own, or else its name


@dataclass(frozen=True, kw_only=True)
class ImagePrompt:
    """A picture as a prompt, through an IP-Adapter: its style and what it shows."""

    adapter: str  # file, folder or hub id
    image: ArrayRef  # (height, width, 3) uint8 sRGB
    scale: float = 0.6  # 0 is without, 1 listens to it as much as to the text
    start: float = 0.0  # fraction of the steps at which it sets in
    end: float = 1.0  # fraction of the steps at which it stops
    image_encoder: str = ""  # folder or hub id; empty takes the one that lies beside the adapter


@dataclass(frozen=True, kw_only=True)
class Variant:
    """A further picture of the same job: what differs from the request's own."""

    prompt: str
    negative_prompt: str = ""
    seed: int


# ---------------------------------------------------------------------------------------------- requests


@dataclass(frozen=True, kw_only=True)
class GenerateRequest:
    """Make a picture, or several that differ by prompt and seed."""

    prompt: str
    negative_prompt: str = ""
    checkpoint: str = ""  # folder or hub id; empty takes the embedded one
    size: Extent
    controls: tuple[Control, ...] = ()
    steps: int = 20
    guidance_scale: float = 7.5
    scheduler: Scheduler = Scheduler.UNIPC
    sigmas: Sigmas = Sigmas.DEFAULT
    seed: int = 0
    variants: tuple[Variant, ...] = ()  # further pictures, after that of `prompt` and `seed`
    batch_size: int = 1  # pictures painted at once: quicker on large cards; one by one they are the same to the bit
    start: Start | None = None
    second_pass: SecondPass | None = None  # None paints at the full size at once
    loras: tuple[Lora, ...] = ()  # besides those that the prompt names
    embeddings: tuple[Embedding, ...] = ()  # besides those in the models folders, which their names call up
    image_prompts: tuple[ImagePrompt, ...] = ()
    vae: str = ""  # file, folder or hub id; empty takes the checkpoint's own
    clip_skip: int = 0  # how many of the last layers of CLIP are left out; other programs count one more
    plain_prompt: bool = False  # take brackets in prompts as they are written, and not as weights and LoRAs
    seamless: Seamless = Seamless.OFF
    safety_checker: str = ""  # folder or hub id of the one that blackens what it objects to; empty goes without
    precision: Precision = Precision.AUTO
    memory_budget_gb: float | None = None  # of the device (GiB); None takes what is free
    camera: Camera | None = None  # whose view the picture is; what projecting it back needs
    allow_download: bool = False  # whether a hub id may be fetched; nothing is downloaded without the user's word

    @property
    def pictures(self) -> tuple[Variant, ...]:
        """Every picture of the job, the request's own first."""
        return (Variant(prompt=self.prompt, negative_prompt=self.negative_prompt, seed=self.seed), *self.variants)


@dataclass(frozen=True, kw_only=True)
class ControlMapsRequest:
    """Make the control images alone, to look at them before spending time on a picture."""

    size: Extent
    controls: tuple[Control, ...]
    checkpoint: str = ""  # its family decides the conventions
    allow_download: bool = False


@dataclass(frozen=True, kw_only=True)
class PlanRequest:
    """Say where a picture would be painted and how, without painting it; the answer is `JobResult.plan`."""

    picture: GenerateRequest
    hashes: bool = False  # read the models for `JobResult.models`: a second or so for each GB; else what is known


@dataclass(frozen=True, kw_only=True)
class DownloadRequest:
    """Fetch a model from the hub; the submission is the user's word for it. Its folder is `JobResult.checkpoint`."""

    reference: str  # hub id, "owner/name"
    file: str = ""  # one file of the repository; empty takes what its kind of model needs
    revision: str = ""  # a branch, tag or commit; empty is the main branch


Request = GenerateRequest | ControlMapsRequest | PlanRequest | DownloadRequest
