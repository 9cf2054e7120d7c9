"""IP-Adapters and the CLIP models that they look with: found, told apart by their headers, and loaded.

The file's layout is that of h94/IP-Adapter: `image_proj.*` makes tokens of what CLIP saw, and `ip_adapter.N.*` makes
keys and values of these for each cross-attention of a UNet, N = 1, 3, 5, ... in diffusers' order.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from ....protocol.errors import AdapterMismatch, ModelBroken, ModelMissing
from ....protocol.models import ModelKind
from ....protocol.request import ImagePrompt
from ...library import folders
from ..families import FAMILIES, FamilyId
from ..memory.plan import Group
from ..third_party import diffusers, torch
from . import downloads
from .image_encoder import EncoderInfo, Look, encoder_source, file_shapes, file_tensors, file_weights, inspect_encoder
from .inspection import CheckpointInfo, Weights
from .loading import Source

_IMAGE_PROJ, _IP_ADAPTER = "image_proj.", "ip_adapter."
_FAMILY_BY_TEXT = {768: FamilyId.SD15, 1024: FamilyId.SD2, 2048: FamilyId.SDXL}
_USUAL_FILES = ("ip-adapter_sd15.safetensors", "ip-adapter_sdxl.safetensors", "ip-adapter.safetensors")
_NEAR = ("image_encoder", "../image_encoder", "../models/image_encoder")  # of h94/IP-Adapter, from an adapter's folder


@dataclass(frozen=True, kw_only=True)
class AdapterInfo:
    """An IP-Adapter whose file is whole and goes with the checkpoint."""

    file: Path
    name: str  # as the request calls it
    look: Look
    image_width: int  # of what it takes from CLIP
    tokens: int  # that it makes of a picture
    weights: Weights

    @property
    def key(self) -> tuple[object, ...]:
        """Equal for the same bytes on disk."""
        return (str(self.file), self.weights.stamp)


@dataclass(frozen=True, kw_only=True)
class ImagePromptChoice:
    """An image prompt's models, checked and not loaded."""

    adapter: AdapterInfo
    encoder: EncoderInfo


def choose(prompt: ImagePrompt, checkpoint: CheckpointInfo, *, models: Path) -> ImagePromptChoice:
    """The models of an image prompt. Reads headers only.

    Raises ModelMissing, ModelBroken, and AdapterMismatch for an adapter of another family.
    """
    adapter = _inspect_adapter(_adapter_file(prompt.adapter, checkpoint, models), prompt.adapter, checkpoint)
    return ImagePromptChoice(adapter=adapter, encoder=_encoder(prompt.image_encoder, adapter, models))


def sources(choices: Sequence[ImagePromptChoice]) -> tuple[list[Source], list[Source]]:
    """What is to be loaded: the adapter and the image encoder of each choice."""
    return [adapter_source(each.adapter) for each in choices], [encoder_source(each.encoder) for each in choices]


# ---------------------------------------------------------------------------------------------- adapters


def _adapter_file(reference: str, checkpoint: CheckpointInfo, models: Path) -> Path:
    found = downloads.here(reference, ModelKind.IP_ADAPTER, models)
    if found is None:
        raise ModelMissing(
            model=reference,
            reason=f"there is no such IP-Adapter. Give its .safetensors file, its name in {models}, or, of a "
            'repository that was downloaded, "owner/name/folder/file.safetensors"' + folders.out_of_reach(models),
        )
    if found.is_file():
        return found
    files = sorted(file for pattern in ("*.safetensors", "*/*.safetensors") for file in found.glob(pattern))
    fitting = [file for file in files if _fits(file, reference, checkpoint)]
    usual = [file for file in fitting if file.name in _USUAL_FILES]
    if len(usual) == 1 or len(fitting) == 1:
        return (usual or fitting)[0]
    title = checkpoint.family.title
    if not fitting:
        raise ModelMissing(
            model=reference, reason=f"no .safetensors in {found} is an IP-Adapter for {title}. Name the file"
        )
    names = ", ".join(file.name for file in fitting)
    raise ModelMissing(model=reference, reason=f"{found} holds several IP-Adapters for {title}: {names}. Name one")


def _fits(file: Path, name: str, checkpoint: CheckpointInfo) -> bool:
    try:
        _inspect_adapter(file, name, checkpoint)
    except (ModelBroken, AdapterMismatch):
        return False
    return True


def _inspect_adapter(file: Path, name: str, checkpoint: CheckpointInfo) -> AdapterInfo:
    shapes = file_shapes(file, name)
    projection = {key.removeprefix(_IMAGE_PROJ): shape for key, shape in shapes.items() if key.startswith(_IMAGE_PROJ)}
    keys = _numbered(shapes, "to_k_ip")
    if not projection or not keys or len(keys) != len(_numbered(shapes, "to_v_ip")):
        raise ModelBroken(
            model=name,
            reason=f"{file.name} is no IP-Adapter for Stable Diffusion: it has no image_proj and ip_adapter weights",
        )
    if "proj.weight" in projection:
        look, width, tokens = Look.EMBEDDING, projection["proj.weight"][1], 4
    elif "latents" in projection and "proj_in.weight" in projection:
        look, width, tokens = Look.TOKENS, projection["proj_in.weight"][1], projection["latents"][1]
    elif "proj.3.weight" in projection:
        look, width, tokens = Look.TOKENS, projection["proj.0.weight"][0], 257  # one for each patch of CLIP's, and one
    elif "norm.weight" in projection or "perceiver_resampler.proj_in.weight" in projection:
        raise ModelBroken(
            model=name,
            reason=f"{file.name} is a FaceID adapter: it wants a face measured by InsightFace, which is not built in. "
            "For faces choose a plus-face adapter",
        )
    else:
        raise ModelBroken(model=name, reason=f"{file.name} is an IP-Adapter of an unknown build; choose another one")
    _check_match(name, [shapes[key] for key in keys], checkpoint)
    return AdapterInfo(file=file, name=name, look=look, image_width=width, tokens=tokens, weights=file_weights(file))


def _check_match(name: str, keys: Sequence[tuple[int, ...]], checkpoint: CheckpointInfo) -> None:
    """Raise AdapterMismatch unless there is a key for each cross-attention of the UNet, as wide as that."""
    wanted = list(_attention_widths(checkpoint.unet_config))
    text = _one(checkpoint.unet_config.get("cross_attention_dim"))
    found = [shape[0] for shape in keys]
    if found == wanted and all(shape[1] == text for shape in keys):
        return
    title = checkpoint.family.title
    family = _FAMILY_BY_TEXT.get(keys[0][1])
    theirs = "another family" if family is None else FAMILIES[family].title
    if theirs in ("another family", title):
        title += f" with {len(wanted)} attentions of {text} wide text"
        theirs = f"{theirs} with {len(found)} attentions of {keys[0][1]} wide text"
    raise AdapterMismatch(
        kind="IP-Adapter",
        adapter=name,
        adapter_family=theirs,
        checkpoint=checkpoint.name or "the embedded checkpoint",
        family=title,
    )


def _attention_widths(config: dict[str, Any]) -> Iterator[int]:
    """Channels of each cross-attention of a UNet, by its config, in the order in which adapters number them."""
    channels = cast("list[int]", config.get("block_out_channels", (320, 640, 1280, 1280)))
    levels = len(channels)
    layers = _each(config.get("layers_per_block", 2), levels)
    depths = _each(config.get("transformer_layers_per_block", 1), levels)
    up_depths = config.get("reverse_transformer_layers_per_block") or list(reversed(depths))
    for block, count, depth, width in zip(config["down_block_types"], layers, depths, channels, strict=True):
        if "CrossAttn" in block:
            yield from [width] * (count * depth)
    for block, count, depth, width in zip(
        config["up_block_types"], reversed(layers), up_depths, reversed(channels), strict=True
    ):
        if "CrossAttn" in block:
            yield from [width] * ((count + 1) * depth)
    yield from [channels[-1]] * depths[-1]


def _numbered(shapes: dict[str, tuple[int, ...]], what: str) -> list[str]:
    """The keys "ip_adapter.N.what.weight" by N."""
    found = [key for key in shapes if key.startswith(_IP_ADAPTER) and key.endswith(f".{what}.weight")]
    return sorted((key for key in found if key.split(".")[1].isdigit()), key=lambda key: int(key.split(".")[1]))


@dataclass(frozen=True, kw_only=True)
class _AdapterSource(Source):
    """`image_proj`, and the lists `to_k_ip` and `to_v_ip`, by the order of a UNet's cross-attentions."""

    file: Path

    @property
    def place(self) -> tuple[object, ...]:
        return (str(self.file), self.class_name)

    def _load(self, dtype: Any) -> Any:
        return _adapter_module(file_tensors(self.file), dtype)

    def _empty(self, dtype: Any) -> Any:
        with torch().device("meta"):
            shapes = file_shapes(self.file, self.model)
            return _adapter_module({key: torch().empty(shape) for key, shape in shapes.items()}, dtype)


def adapter_source(info: AdapterInfo) -> Source:
    """An adapter, which works where prompts are encoded: what it makes of a picture is the same at every step."""
    return _AdapterSource(
        model=info.name,
        name="IP-Adapter",
        group=Group.TEXT,
        library=diffusers,
        class_name="IPAdapter",
        weights=info.weights,
        file=info.file,
    )


def _adapter_module(tensors: dict[str, Any], dtype: Any) -> Any:
    nn = torch().nn

    def linears(what: str) -> Any:
        found: list[Any] = []
        for key in _numbered({name: tuple(tensor.shape) for name, tensor in tensors.items()}, what):
            rows, columns = tensors[key].shape
            linear = nn.Linear(columns, rows, bias=False, device="meta")
            linear.load_state_dict({"weight": tensors[key]}, assign=True)
            found.append(linear)
        return nn.ModuleList(found)

    image_proj = {
        key.removeprefix(_IMAGE_PROJ): tensor for key, tensor in tensors.items() if key.startswith(_IMAGE_PROJ)
    }
    mixin = diffusers().loaders.unet.UNet2DConditionLoadersMixin
    # diffusers' own names for the three builds; it uses nothing of the UNet that it belongs to
    made = mixin._convert_ip_adapter_image_proj_to_diffusers(None, image_proj, low_cpu_mem_usage=False)
    module = nn.ModuleDict({"image_proj": made, "to_k_ip": linears("to_k_ip"), "to_v_ip": linears("to_v_ip")})
    return module.to(dtype).eval().requires_grad_(False)


# ---------------------------------------------------------------------------------------------- what they look with


def _encoder(reference: str, adapter: AdapterInfo, models: Path) -> EncoderInfo:
    """The encoder that was named, or the first beside the adapter, and then in the models folders, that fits it."""
    if reference:
        found = downloads.here(reference, ModelKind.IMAGE_ENCODER, models)
        if found is None:
            raise ModelMissing(model=reference, reason=f"there is no such image encoder, neither in {models}")
        info = inspect_encoder(found, reference)
        if info.width(adapter.look) != adapter.image_width:
            raise ModelBroken(
                model=adapter.name,
                reason=f"it looks through a CLIP that is {adapter.image_width} wide, and the image encoder {reference} "
                f"is {info.width(adapter.look)} wide. Choose the one that came with the adapter",
            )
        return info
    broken: ModelBroken | None = None
    for candidate in _encoders_about(adapter, models):
        try:
            info = inspect_encoder(candidate, candidate.name)
        except ModelBroken as error:
            broken = error
            continue
        if info.width(adapter.look) == adapter.image_width:
            return info
    if broken is not None:
        raise broken
    raise ModelMissing(
        model=adapter.name,
        reason=f"the image encoder that it looks through (a CLIP, {adapter.image_width} wide) is not there. Put the "
        f"folder image_encoder of its repository beside {adapter.file.name}, or name it in the image prompt",
    )


def _encoders_about(adapter: AdapterInfo, models: Path) -> Iterator[Path]:
    for name in _NEAR:
        if (adapter.file.parent / name / "config.json").is_file():
            yield adapter.file.parent / name
    for root in folders.roots(models):
        for place in root.places.get(ModelKind.IMAGE_ENCODER, ()):
            yield from sorted(place.glob("*.safetensors"))
            yield from sorted(path.parent for path in place.glob("*/config.json"))
        yield from sorted(path.parent for path in root.base.glob("image_encoder*/config.json"))


def _each(value: Any, count: int) -> list[int]:
    return list(cast("list[int]", value)) if isinstance(value, list | tuple) else [int(value)] * count


def _one(value: Any) -> int:
    return int(value[0]) if isinstance(value, list | tuple) else int(value or 0)  # type: ignore[arg-type]
