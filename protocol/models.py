"""What is known of the model files on a computer, and what is recommended to those who have none."""

from dataclasses import dataclass
from enum import StrEnum


class FamilyId(StrEnum):
    """What a checkpoint is built like, and so what goes with it."""

    SD15 = "sd15"
    SD2 = "sd2"
    SDXL = "sdxl"
    SD3 = "sd3"
    FLUX = "flux"
    QWEN_IMAGE = "qwen_image"
    Z_IMAGE = "z_image"


class ModelKind(StrEnum):
    """What a model is for."""

    CHECKPOINT = "checkpoint"
    CONTROLNET = "controlnet"
    VAE = "vae"
    LORA = "lora"
    EMBEDDING = "embedding"  # textual inversion
    IP_ADAPTER = "ip_adapter"
    IMAGE_ENCODER = "image_encoder"  # what an IP-Adapter looks with
    TINY_DECODER = "tiny_decoder"  # TAESD, for previews
    SAFETY_CHECKER = "safety_checker"
    UNKNOWN = "unknown"


class Layout(StrEnum):
    """How a model lies on disk."""

    FILE = "file"  # one .safetensors
    FOLDER = "folder"  # diffusers' layout
    SNAPSHOT = "snapshot"  # the same, in the Hugging Face cache


class Origin(StrEnum):
    """Whose folder a model was found in; nothing is ever copied from or written there."""

    UNDERPAINT = "underpaint"
    HUGGING_FACE = "hugging_face"
    COMFYUI = "comfyui"
    A1111 = "a1111"
    FOLDER = "folder"  # any other that the user added


@dataclass(frozen=True, kw_only=True)
class Advice:
    """What a model was trained for, and so what is set when it is chosen; None leaves a setting as it is."""

    scheduler: str | None = None  # a member of request.Scheduler
    sigmas: str | None = None  # a member of request.Sigmas
    steps: int | None = None
    guidance_scale: float | None = None
    clip_skip: int | None = None
    width: int | None = None  # pixels
    height: int | None = None


@dataclass(frozen=True, kw_only=True)
class ModelEntry:
    """One model that was found."""

    reference: str  # what a request calls it: a hub id, a path under the models folder, or an absolute path
    id: str  # 32 hex digits, of the reference; what addresses its thumbnail
    title: str  # for people
    kind: ModelKind
    family: FamilyId | None = None  # None where it isn't known, or where it goes with several
    layout: Layout
    origin: Origin
    precision: str = ""  # "float16", "bfloat16", "float8_e4m3fn", ...: that of most of the bytes
    size_bytes: int
    changed_at: float  # Unix seconds, of the newest file
    traits: tuple[str, ...] = ()  # "inpainting", "v-prediction", "zero-terminal SNR", "EMA", "distilled", "union", ...
    control_kinds: tuple[str, ...] = ()  # of a ControlNet, as far as it is known: members of request.ControlKind
    words: tuple[str, ...] = ()  # that call it up in a prompt: an embedding's token, a LoRA's trained words
    advice: Advice | None = None
    licence: str = ""  # as the file or the folder beside it says
    has_thumbnail: bool = False
    sha256: str = ""  # as in UsedModel, once it has been computed because a picture was made with it
    problem: str = ""  # why it can't be used, and the way out; empty where nothing speaks against it


@dataclass(frozen=True, kw_only=True)
class ModelFolder:
    """A folder that is looked through for models."""

    path: str
    origin: Origin
    problem: str = ""  # why it can't be read


@dataclass(frozen=True, kw_only=True)
class ModelPage:
    """The answer to `GET /v1/models`."""

    models: tuple[ModelEntry, ...]  # by kind, family and title
    folders: tuple[ModelFolder, ...]
    scanning: bool  # whether folders are still being looked through; ask again in a moment
    revision: int  # rises with every change of the list


@dataclass(frozen=True, kw_only=True)
class CatalogueEntry:
    """A model that is recommended."""

    reference: str  # the hub id
    file: str = ""  # in the repository, where a single file is meant
    title: str
    kind: ModelKind
    family: FamilyId
    control_kinds: tuple[str, ...] = ()
    convention: str = ""  # what its control images look like, in a sentence
    size_bytes: int  # of what is downloaded, as far as is known
    licence: str  # SPDX identifier, or the hub's name for it
    gated: bool = False  # its terms have to be accepted on the hub first
    advice: Advice | None = None
    note: str = ""  # why one would choose it
    source: str  # where these facts are from


@dataclass(frozen=True, kw_only=True)
class Catalogue:
    """The answer to `GET /v1/models/catalogue`."""

    entries: tuple[CatalogueEntry, ...]


@dataclass(frozen=True, kw_only=True)
class UsedModel:
    """A model that a picture was made with, so that it can be found again."""

    kind: ModelKind
    reference: str  # as the request calls it
    title: str
    sha256: str  # of the file; of a folder, of the lines "sha256 path" of its weights, by path
