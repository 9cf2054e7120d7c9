"""The models that a picture job loads, by what its request calls them, and their files."""

from collections.abc import Iterator
from pathlib import Path

from ...protocol.errors import ModelError
from ...protocol.models import ModelKind
from ...protocol.request import GenerateRequest
from .inspecting import Inspected
from .models.component_folders import find_weights
from .models.hashing import LoadedModel
from .models.inspection import CheckpointInfo, Weights

_EMBEDDED = "Embedded"  # the title of what is made here rather than found


def loaded_models(request: GenerateRequest, inspected: Inspected) -> tuple[LoadedModel, ...]:
    """Every model that is read from files, once each: the checkpoint, the ControlNets that count, what prompts name."""
    found = (
        *_of_checkpoint(request, inspected.checkpoint),
        *_of_controls(request, inspected),
        *_of_prompts(inspected),
        *_of_further(request, inspected),
    )
    return tuple({(model.kind, model.reference, model.files): model for model in found}.values())


def _of_checkpoint(request: GenerateRequest, info: CheckpointInfo) -> Iterator[LoadedModel]:
    """The checkpoint with all its components, and the VAE that stands in for its own.

    Its own is part of it all the same, or the checkpoint would pass for another one with each VAE.
    """
    folder = info.folder if (info.folder / "model_index.json").is_file() else None
    parts = dict(info.weights)
    vae = parts.pop("vae") if request.vae else None
    own = _own_vae(folder, info.name) if vae is not None and folder is not None else None
    parts |= {} if own is None else {"vae": own}
    files = dict.fromkeys(file for weights in parts.values() for file in _files(weights))
    yield LoadedModel(
        kind=ModelKind.CHECKPOINT,
        reference=info.name,
        files=tuple(files),
        folder=folder,
        title="" if info.name else _EMBEDDED,
    )
    if vae is not None:
        yield LoadedModel(
            kind=ModelKind.VAE,
            reference=request.vae,
            files=_files(vae),
            folder=None if vae.part is not None else vae.folder,
        )


def _own_vae(folder: Path, name: str) -> Weights | None:
    """A folder's VAE; one whose VAE is replaced may be without."""
    try:
        return find_weights(folder / "vae", "diffusion_pytorch_model", name)
    except ModelError:
        return None


def _of_controls(request: GenerateRequest, inspected: Inspected) -> Iterator[LoadedModel]:
    for index in inspected.used:
        info, control = inspected.nets[index].info, request.controls[index]
        folder = info.folder if (info.folder / "config.json").is_file() else None
        yield LoadedModel(
            kind=ModelKind.CONTROLNET,
            reference=control.controlnet,
            files=_files(info.weights),
            folder=folder,
            title="" if control.controlnet else f"{_EMBEDDED} {control.kind}",
        )


def _of_prompts(inspected: Inspected) -> Iterator[LoadedModel]:
    """LoRAs and textual inversions, wherever they were asked for."""
    for lora in inspected.loras:
        yield LoadedModel(kind=ModelKind.LORA, reference=lora.reference, files=(lora.file,))
    for embedding in inspected.embeddings:
        yield LoadedModel(kind=ModelKind.EMBEDDING, reference=embedding.reference, files=(embedding.file,))


def _of_further(request: GenerateRequest, inspected: Inspected) -> Iterator[LoadedModel]:
    """Image prompts' adapters and encoders, a second pass's tile net, the safety checker."""
    further = inspected.further
    for place in further.used_images:
        choice, prompt = further.image_prompts[place], request.image_prompts[place]
        adapter, encoder = choice.adapter, choice.encoder
        yield LoadedModel(kind=ModelKind.IP_ADAPTER, reference=prompt.adapter, files=_files(adapter.weights))
        yield LoadedModel(
            kind=ModelKind.IMAGE_ENCODER,
            reference=prompt.image_encoder or str(encoder.path),
            files=_files(encoder.weights),
            folder=encoder.path if encoder.path.is_dir() else None,
        )
    if further.second is not None and further.second.tile_net is not None and request.second_pass is not None:
        info = further.second.tile_net.info
        yield LoadedModel(
            kind=ModelKind.CONTROLNET,
            reference=request.second_pass.tile_controlnet,
            files=_files(info.weights),
            folder=info.folder if (info.folder / "config.json").is_file() else None,
        )
    if further.safety is not None:
        yield LoadedModel(
            kind=ModelKind.SAFETY_CHECKER,
            reference=request.safety_checker,
            files=_files(further.safety.weights),
            folder=further.safety.folder,
        )


def _files(weights: Weights) -> tuple[Path, ...]:
    return tuple(weights.folder / name for name, _, _ in weights.stamp)
