"""A picture's settings as A1111 writes them into its files, which most viewers and model sites read.

The names of samplers, schedules and fields are those of AUTOMATIC1111/stable-diffusion-webui 1.9
(modules/processing.py, sd_samplers_kdiffusion.py, sd_schedulers.py), those of ControlNets of
Mikubill/sd-webui-controlnet (scripts/infotext.py). What they have no word for is told by our own; the whole request
stands in the record beside this text.
"""

import json
from collections.abc import Iterator, Sequence

from .geometry import Extent
from .models import ModelKind, UsedModel
from .request import Control, GenerateRequest, ImagePrompt, Lora, Scheduler, Seamless, SecondPass, Sigmas, Variant
from .sources import Detector, Photo

SIZE_STEP = 8  # pixels, of a first pass
MODEL_DIGITS = 10  # of a checkpoint's and a VAE's SHA-256: A1111's "Model hash", model sites' "AutoV2"
EMBEDDING_DIGITS = 12

SAMPLERS: dict[Scheduler, str] = {
    Scheduler.UNIPC: "UniPC",
    Scheduler.DPMPP_2M: "DPM++ 2M",
    Scheduler.DPMPP_2M_SDE: "DPM++ 2M SDE",
    Scheduler.DPMPP_3M: "DPM++ 3M",  # theirs is the SDE alone
    Scheduler.DPMPP_2S: "DPM++ 2S",  # theirs is the ancestral one alone
    Scheduler.DEIS: "DEIS",
    Scheduler.SA_SOLVER: "SA-Solver",
    Scheduler.EULER: "Euler",
    Scheduler.EULER_ANCESTRAL: "Euler a",
    Scheduler.DPM2: "DPM2",
    Scheduler.DPM2_ANCESTRAL: "DPM2 a",
    Scheduler.HEUN: "Heun",
    Scheduler.LMS: "LMS",
    Scheduler.PNDM: "PLMS",
    Scheduler.DDIM: "DDIM",
    Scheduler.DDPM: "DDPM",
    Scheduler.LCM: "LCM",
    Scheduler.TCD: "TCD",
}

SCHEDULES: dict[Sigmas, str] = {
    Sigmas.DEFAULT: "Uniform",
    Sigmas.KARRAS: "Karras",
    Sigmas.EXPONENTIAL: "Exponential",
    Sigmas.BETA: "Beta",
    Sigmas.TRAILING: "SGM Uniform",
}

_MODULES: dict[Detector, str] = {
    Detector.CANNY: "canny",
    Detector.HED: "softedge_hed",
    Detector.PIDINET: "softedge_pidinet",
    Detector.TEED: "softedge_teed",
    Detector.LINEART: "lineart_realistic",
    Detector.LINEART_STANDARD: "lineart_standard",
    Detector.LINEART_ANIME: "lineart_anime",
    Detector.MLSD: "mlsd",
    Detector.OPENPOSE: "openpose_full",
    Detector.DWPOSE: "dw_openpose_full",
    Detector.MIDAS: "depth_midas",
    Detector.ZOE: "depth_zoe",
    Detector.LERES: "depth_leres",
    Detector.NORMAL_BAE: "normal_bae",
    Detector.SHUFFLE: "shuffle",
    Detector.SAM: "mobile_sam",
}


def written(request: GenerateRequest, picture: Variant, models: Sequence[UsedModel], *, program: str) -> str:
    """The text of one of a request's pictures; `program` is what made it, with its version."""
    prompt, negative = picture.prompt, picture.negative_prompt
    if request.plain_prompt:
        prompt, negative = _escaped(prompt), _escaped(negative)
    prompt = " ".join((prompt, *(_lora_tag(lora, models) for lora in request.loras)))
    lines = [prompt.strip()]
    if negative.strip():
        lines.append(f"Negative prompt: {negative.strip()}")
    fields = _fields(request, picture, models, program)
    lines.append(", ".join(f"{name}: {quoted(value)}" for name, value in fields if value))
    return "\n".join(lines)


def quoted(value: str) -> str:
    """A value as the line of fields holds it: in quotes where it would be taken for several."""
    if any(character in value for character in ',:\n"'):
        return json.dumps(value, ensure_ascii=False)
    return value


def first_pass_size(size: Extent, factor: float) -> Extent:
    """How large a picture is painted first that a second pass enlarges to `size`."""

    def side(length: int) -> int:
        return max(SIZE_STEP, round(length / factor / SIZE_STEP) * SIZE_STEP)

    return Extent(width=side(size.width), height=side(size.height))


def stem(reference: str) -> str:
    """The name of a model as people know it: without folders and without the ending of its file."""
    name = reference.replace("\\", "/").rstrip("/").rpartition("/")[2]
    return name[: -len(".safetensors")] if name.lower().endswith(".safetensors") else name


def title(kind: ModelKind, reference: str, models: Sequence[UsedModel]) -> str:
    """What a model is called: as the result tells it, or else by its reference."""
    used = _used(kind, reference, models)
    return used.title if used is not None and used.title else stem(reference)


def _fields(
    request: GenerateRequest, picture: Variant, models: Sequence[UsedModel], program: str
) -> Iterator[tuple[str, str]]:
    second, size = request.second_pass, request.size
    if second is not None:
        size = first_pass_size(size, second.factor)
    yield "Steps", str(request.steps)
    yield "Sampler", SAMPLERS[request.scheduler]
    yield "Schedule type", SCHEDULES[request.sigmas]
    yield "CFG scale", _number(request.guidance_scale)
    yield "Seed", str(picture.seed)
    yield "Size", f"{size.width}x{size.height}"
    yield "Model hash", _digits(ModelKind.CHECKPOINT, request.checkpoint, models, MODEL_DIGITS)
    yield "Model", title(ModelKind.CHECKPOINT, request.checkpoint, models)
    if request.vae:
        yield "VAE hash", _digits(ModelKind.VAE, request.vae, models, MODEL_DIGITS)
        yield "VAE", title(ModelKind.VAE, request.vae, models)
    if request.start is not None:
        yield "Denoising strength", _number(request.start.strength)
        if request.start.mask is not None and request.start.mask_blur_px:
            yield "Mask blur", _number(request.start.mask_blur_px)
    elif second is not None:
        yield "Denoising strength", _number(second.strength)
    if request.clip_skip:
        yield "Clip skip", str(request.clip_skip + 1)
    if request.seamless is not Seamless.OFF:
        yield "Tiling", "True"
    if second is not None:
        yield from _hires(second)
    for number, unit in enumerate(_units(request, models)):
        yield f"ControlNet {number}", unit
    yield "Lora hashes", _hashes(ModelKind.LORA, models, MODEL_DIGITS)
    yield "TI hashes", _hashes(ModelKind.EMBEDDING, models, EMBEDDING_DIGITS)
    yield "Version", program


def _hires(second: SecondPass) -> Iterator[tuple[str, str]]:
    yield "Hires upscale", _number(second.factor)
    if second.steps is not None:
        yield "Hires steps", str(second.steps)
    yield "Hires upscaler", "Latent" if second.tile_px is None else "Tiles"


def _units(request: GenerateRequest, models: Sequence[UsedModel]) -> Iterator[str]:
    """Each ControlNet, then each IP-Adapter, which sd-webui-controlnet takes for one."""
    for control in request.controls:
        yield _unit(_module(control), _net(control, models), control.conditioning_scale, control)
    for prompt in request.image_prompts:
        name = title(ModelKind.IP_ADAPTER, prompt.adapter, models)
        yield _unit("ip-adapter-auto", name, prompt.scale, prompt)


def _unit(module: str, model: str, weight: float, window: Control | ImagePrompt) -> str:
    important = isinstance(window, Control) and window.guess_mode
    entries = {
        "Module": module,
        "Model": model.translate({ord(","): " ", ord(":"): " "}),  # the format knows no quotes within
        "Weight": _number(weight),
        "Resize Mode": "Crop and Resize",
        "Guidance Start": _number(window.start),
        "Guidance End": _number(window.end),
        "Pixel Perfect": "True",
        "Control Mode": "ControlNet is more important" if important else "Balanced",
    }
    return ", ".join(f"{name}: {value}" for name, value in entries.items())


def _module(control: Control) -> str:
    return _MODULES[control.source.detector] if isinstance(control.source, Photo) else "none"


def _net(control: Control, models: Sequence[UsedModel]) -> str:
    if not control.controlnet:
        return f"embedded {control.kind}"
    return title(ModelKind.CONTROLNET, control.controlnet, models)


def _lora_tag(lora: Lora, models: Sequence[UsedModel]) -> str:
    weights = [_number(lora.weight)]
    if lora.text_weight is not None:  # theirs names the text encoder's first
        weights = [_number(lora.text_weight), _number(lora.weight)]
    return f"<lora:{title(ModelKind.LORA, lora.lora, models)}:{':'.join(weights)}>"


def _hashes(kind: ModelKind, models: Sequence[UsedModel], digits: int) -> str:
    used = (model for model in models if model.kind is kind and model.sha256)
    return ", ".join(
        f"{model.title.translate({ord(','): ' ', ord(':'): ' '})}: {model.sha256[:digits]}" for model in used
    )


def _digits(kind: ModelKind, reference: str, models: Sequence[UsedModel], digits: int) -> str:
    used = _used(kind, reference, models)
    return "" if used is None else used.sha256[:digits]


def _used(kind: ModelKind, reference: str, models: Sequence[UsedModel]) -> UsedModel | None:
    return next((model for model in models if (model.kind, model.reference) == (kind, reference)), None)


def _number(value: float) -> str:
    """Without a point where there is nothing behind it, and with every digit that counts."""
    return str(int(value)) if value == int(value) and abs(value) < 1e15 else repr(value)


def _escaped(prompt: str) -> str:
    """A prompt whose brackets mean nothing, for programs to which they do."""
    return "".join(f"\\{character}" if character in "()[]\\" else character for character in prompt)
