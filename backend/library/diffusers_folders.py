"""Telling what a folder in diffusers' layout is, by its JSON files and the headers of its weights."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

from ...protocol.errors import ModelBroken, ModelPickled
from ...protocol.models import FamilyId, ModelKind
from . import notes
from .headers import Header, read_header
from .recognised import Recognised, family_of_text, unknown
from .recognition import recognise_all
from .tensors import tensors
from .walking import PICKLED

_MAX_JSON_BYTES = 16 << 20
_STEMS = ("diffusion_pytorch_model", "model")
_DENOISERS = ("unet", "transformer")
_PARTS = (*_DENOISERS, "vae", "text_encoder", "text_encoder_2", "text_encoder_3")  # that have weights that are used
_TASKS = {
    "InstructPix2Pix": "It is for instruct-pix2pix, which changes a picture by an order. Choose the plain checkpoint.",
    "Upscale": "It is an upscaler. Choose a plain checkpoint; a second pass makes pictures larger.",
    "Depth2Img": "It takes a depth map as well. Choose the plain checkpoint, and a depth ControlNet with it.",
    "FluxFill": "It is the Flux.1 for inpainting. Choose Flux.1 dev or schnell.",
    "FluxControlPipeline": "It is the Flux.1 for depth or canny. Choose Flux.1 dev, and a ControlNet with it.",
    "Kontext": "It changes pictures by an order. Choose Flux.1 dev or schnell.",
    "QwenImageEdit": "It changes pictures by an order. Choose Qwen-Image itself.",
    "QwenImageLayered": "It takes pictures apart. Choose Qwen-Image itself.",
}  # by a part of the pipeline's class
_FAMILIES = (
    ("StableDiffusionXL", FamilyId.SDXL),
    ("StableDiffusion3", FamilyId.SD3),
    ("Flux2", None),
    ("Flux", FamilyId.FLUX),
    ("QwenImage", FamilyId.QWEN_IMAGE),
    ("ZImage", FamilyId.Z_IMAGE),
)  # by the beginning of the pipeline's class
_UNET_PIPELINES = ("StableDiffusion", "LatentConsistencyModel")
_NETS = {
    "ControlNetModel": None,
    "ControlNetUnionModel": None,
    "FluxControlNetModel": FamilyId.FLUX,
    "SD3ControlNetModel": FamilyId.SD3,
    "QwenImageControlNetModel": FamilyId.QWEN_IMAGE,
    "ZImageControlNetModel": FamilyId.Z_IMAGE,
}
_BY_SCALE = {
    0.18215: (FamilyId.SD15, FamilyId.SD2),
    0.13025: (FamilyId.SDXL,),
    1.5305: (FamilyId.SD3,),
    0.3611: (FamilyId.FLUX, FamilyId.Z_IMAGE),
}  # of a VAE's latents, "scaling_factor" in its config.json
Config = dict[str, Any]


def recognise_folder(folder: Path, name: str) -> Recognised:
    """What a folder with a model_index.json or a config.json is. Raises ModelBroken for one that isn't whole."""
    if (folder / "model_index.json").is_file():
        return _pipeline(folder, name)
    config = read_json(folder / "config.json", name)
    class_name = config.get("_class_name") or next(iter(_strings(config.get("architectures"))), "")
    headers = list(weights(folder, name))
    return _component(str(class_name), config, recognise_all(headers))


def read_json(path: Path, name: str) -> Config:
    """The object in a JSON file. Raises ModelBroken."""
    shown = f"{path.parent.name}/{path.name}"
    try:
        with path.open("rb") as stream:
            text = stream.read(_MAX_JSON_BYTES + 1)
        if len(text) > _MAX_JSON_BYTES:
            raise ValueError("it is too long")
        content: object = json.loads(text)
        if not isinstance(content, dict):
            raise ValueError("it is not an object")
    except FileNotFoundError as error:
        raise ModelBroken(model=name, reason=f"{shown} is missing; fetch it again") from error
    except OSError as error:
        raise ModelBroken(model=name, reason=f"{shown} can't be read ({error.strerror})") from error
    except (ValueError, RecursionError) as error:
        words = "nested too deep" if isinstance(error, RecursionError) else error
        raise ModelBroken(model=name, reason=f"{shown} is no JSON ({words}); fetch it again") from error
    return cast("Config", content)


def weights(folder: Path, name: str) -> Iterator[Header]:
    """The headers of a component's weights. Raises ModelBroken where there are none, or not all of them."""
    for stem in _STEMS:
        for variant in _variants(folder, stem):
            single = folder / f"{stem}{variant}.safetensors"
            index = folder / f"{stem}.safetensors.index{variant}.json"
            if single.is_file():
                yield read_header(single, name)
                return
            if index.is_file():
                shards = read_json(index, name).get("weight_map", {})
                if not isinstance(shards, dict):
                    raise ModelBroken(
                        model=name, reason=f"{folder.name}/{index.name} has no weight_map; fetch it again"
                    )
                for shard in sorted(set(map(str, cast("dict[str, object]", shards).values()))):
                    if Path(shard).name != shard or not shard.endswith(".safetensors"):
                        raise ModelBroken(
                            model=name, reason=f"{index.name} names {shard[:80]!r}, which is no file beside it"
                        )
                    yield read_header(folder / shard, name)
                return
    pickled = sorted(file.name for file in folder.iterdir() if file.name.endswith(PICKLED)) if folder.is_dir() else []
    if pickled:
        whole = folder.parent if (folder.parent / "model_index.json").is_file() else folder
        raise ModelPickled(model=name, file=f"{folder.name}/{pickled[0]}", path=whole)
    raise ModelBroken(model=name, reason=f"{folder.name} holds no weights; fetch the model again")


def _variants(folder: Path, stem: str) -> list[str]:
    """In the order in which the worker takes them: the weights themselves, in half the precision, whatever is there."""
    files = folder.glob(f"{stem}.*.safetensors")
    found = {file.name.removeprefix(stem).removesuffix(".safetensors") for file in files}
    return ["", ".fp16", *sorted(found - {".fp16"})]


def _pipeline(folder: Path, name: str) -> Recognised:
    index = read_json(folder / "model_index.json", name)
    class_name = str(index.get("_class_name", ""))
    family = next((family for start, family in _FAMILIES if class_name.startswith(start)), None)
    if family is None and not (class_name.startswith(_UNET_PIPELINES) and "Flux2" not in class_name):
        return unknown(f"It is a {class_name or 'pipeline of no known class'}, which Underpaint doesn't paint with.")
    problem = next((problem for part, problem in _TASKS.items() if part in class_name), "")
    denoiser = next((part for part in _DENOISERS if (folder / part).is_dir()), "")
    if not denoiser:
        raise ModelBroken(model=name, reason=f"it has neither of {' and '.join(_DENOISERS)}; fetch it again")
    config = read_json(folder / denoiser / "config.json", name)
    traits: list[str] = []
    if family is None:
        width = _width(config)
        linear = config.get("use_linear_projection") is True  # what tells them apart where the width doesn't
        family = FamilyId.SD2 if width == 1024 or (width != 768 and linear) else FamilyId.SD15
    if family is FamilyId.SDXL and (_width(config) == 1280 or index.get("requires_aesthetics_score") is True):
        traits.append("refiner")
        problem = problem or (
            "It is the refiner of Stable Diffusion XL, which only goes over what the base model painted. Choose a base "
            "model; a second pass does what a refiner is for."
        )
    if denoiser == "unet":
        traits += ["inpainting"] if config.get("in_channels") == 9 else []
        traits += ["distilled"] if config.get("time_cond_proj_dim") is not None else []
    if family is FamilyId.FLUX and not problem:
        traits += ["dev", "distilled guidance"] if config.get("guidance_embeds") else ["schnell"]
    traits += _schedule(folder, name)
    heads = [header for part in _PARTS if _has_weights(index, folder, part) for header in weights(folder / part, name)]
    return Recognised(
        kind=ModelKind.CHECKPOINT,
        family=family,
        precision=tensors(weights(folder / denoiser, name)).precision,
        traits=(*traits, *(("mixed precision",) if tensors(heads).mixed else ())),
        problem=problem,
    )


def _has_weights(index: Config, folder: Path, part: str) -> bool:
    """Whether a pipeline has a part, by its index where that tells, else by its folder."""
    entry = index.get(part)
    if isinstance(entry, list):
        return any(value is not None for value in cast("list[object]", entry))
    return (folder / part).is_dir()


def _schedule(folder: Path, name: str) -> list[str]:
    file = folder / "scheduler" / "scheduler_config.json"
    config = read_json(file, name) if file.is_file() else {}
    traits = ["v-prediction"] if config.get("prediction_type") == "v_prediction" else []
    return [*traits, *(["zero-terminal SNR"] if config.get("rescale_betas_zero_snr") is True else [])]


def _component(class_name: str, config: Config, found: Recognised) -> Recognised:
    if class_name in _NETS:
        if found.kind is not ModelKind.CONTROLNET:
            return replace(found, kind=ModelKind.CONTROLNET, family=_net_family(class_name, config))
        return replace(found, family=found.family or _net_family(class_name, config))
    if class_name in ("T2IAdapter", "MultiAdapter"):
        return Recognised(
            kind=ModelKind.CONTROLNET,
            traits=("T2I-Adapter",),
            problem="It is a T2I-Adapter, which isn't read here. Use a ControlNet for the same control.",
        )
    if class_name == "AutoencoderTiny":
        return replace(found, kind=ModelKind.TINY_DECODER, problem="")
    if class_name.startswith("Autoencoder"):
        families = _BY_SCALE.get(config.get("scaling_factor", 0.0), ())
        family = families[0] if len(families) == 1 else found.family
        return replace(found, kind=ModelKind.VAE, family=family)
    if class_name == "StableDiffusionSafetyChecker":
        return replace(found, kind=ModelKind.SAFETY_CHECKER, problem="")
    if class_name == "CLIPVisionModelWithProjection":
        return replace(found, kind=ModelKind.IMAGE_ENCODER)
    if found.kind is ModelKind.CHECKPOINT:
        return replace(found, problem=f"It is the {class_name} alone. Fetch the whole checkpoint that it belongs to.")
    return found


def _net_family(class_name: str, config: Config) -> FamilyId | None:
    if config.get("addition_embed_type") == "text_time":
        return FamilyId.SDXL
    return _NETS[class_name] or family_of_text(_width(config))


def _width(config: Config) -> int:
    """How wide the text is that a UNet reads."""
    width: object = config.get("cross_attention_dim")
    if isinstance(width, list):
        width = next(iter(cast("list[object]", width)), 0)
    return width if isinstance(width, int) else 0


def _strings(value: object) -> list[str]:
    return [str(entry) for entry in cast("list[object]", value)] if isinstance(value, list) else []


def licence_beside(folder: Path) -> str:
    """The licence in the model card of a folder; empty where there is no card, or nothing in it."""
    try:
        with (folder / "README.md").open("rb") as stream:
            return notes.front_matter_licence(stream.read(64 << 10).decode("utf-8", "replace"))
    except OSError:
        return ""
