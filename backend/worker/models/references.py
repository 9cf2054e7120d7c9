"""What a request calls a model, to the folder where it lies."""

import importlib
import json
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from ....protocol.errors import ControlNetNotChosen, ModelBroken, ModelMissing
from ....protocol.request import ControlKind
from ..third_party import hub_is_offline
from . import embedded

_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
_CHECKPOINT_FILES = ("model_index.json", "*/*.json", "*/*.txt", "*/*.safetensors")
_FAMILY_FILES = ("model_index.json", "unet/config.json")  # what tells a checkpoint's family
_CONTROLNET_CONFIG = ("config.json",)
_CONTROLNET_FILES = (*_CONTROLNET_CONFIG, "diffusion_pytorch_model*.safetensors")
# Twins of the same weights in other precisions, and parts that are never used here.
_NOT_NEEDED = ("*.fp16.*", "*.non_ema.*", "*flax*", "*openvino*", "*onnx*", "safety_checker/*", "feature_extractor/*")


def _nobody(_: str) -> None:
    """Nobody listens."""


def checkpoint_folder(
    reference: str, *, models: Path, allow_download: bool, announce: Callable[[str], None] = _nobody
) -> Path:
    """The diffusers folder of a checkpoint: embedded for `""`, a local folder, or a hub id's snapshot.

    `announce` hears of a download before it begins, and may raise to prevent it.

    Raises ModelMissing, saying what to do, and ModelBroken for a file where a folder is needed.
    """
    if not reference:
        return embedded.checkpoint(models)
    return _folder(reference, _CHECKPOINT_FILES, models, allow_download, announce)


def family_folder(reference: str, *, models: Path, allow_download: bool) -> Path:
    """A checkpoint's folder as far as its family must be known; of a hub id no weights are fetched.

    Raises as `checkpoint_folder` does. Not for the embedded checkpoint, whose family is known.
    """
    return _folder(reference, _FAMILY_FILES, models, allow_download, _nobody)


def controlnet_folder(
    reference: str,
    *,
    kind: ControlKind,
    checkpoint: str,
    models: Path,
    allow_download: bool,
    vet: Callable[[Path], None],
    announce: Callable[[str], None] = _nobody,
) -> Path:
    """The folder of a ControlNet; `""` is the one that belongs to the embedded checkpoint, and only to that.

    `vet` is shown the folder with its config.json before any weights are fetched, and may raise.
    """
    if reference:
        if allow_download:  # a few hundred bytes first, and perhaps not the gigabytes
            vet(_folder(reference, _CONTROLNET_CONFIG, models, allow_download, announce))
        return _folder(reference, _CONTROLNET_FILES, models, allow_download, announce)
    if checkpoint:
        raise ControlNetNotChosen(kind=kind, checkpoint=checkpoint)
    return embedded.controlnet(models, kind)


def controlnet_config_folder(reference: str, *, models: Path, allow_download: bool) -> Path:
    """The folder with a ControlNet's config.json; of a hub id no weights are fetched. Raises ModelMissing."""
    return _folder(reference, _CONTROLNET_CONFIG, models, allow_download, _nobody)


def _folder(
    reference: str, files: Sequence[str], models: Path, allow_download: bool, announce: Callable[[str], None]
) -> Path:
    path = Path(reference).expanduser()
    for candidate in (path,) if path.is_absolute() else (models / path,):
        if candidate.is_dir():
            return candidate
        if candidate.is_file():
            raise ModelBroken(
                model=reference,
                reason="it is a single file, and a diffusers folder is needed. Convert it with diffusers: "
                f'StableDiffusionPipeline.from_single_file("{candidate.name}").save_pretrained("folder")',
            )
    if path.is_absolute() or not _HUB_ID.fullmatch(reference):
        raise ModelMissing(
            model=reference,
            reason=f"there is no such folder. Give a diffusers folder, the name of one in {models}, or a hub id "
            'such as "owner/name"',
        )
    return _snapshot(reference, files, models, allow_download, announce)


def _snapshot(
    hub_id: str, files: Sequence[str], models: Path, allow_download: bool, announce: Callable[[str], None]
) -> Path:
    hub: Any = importlib.import_module("huggingface_hub")
    offline = hub_is_offline()
    try:
        cached = Path(hub.snapshot_download(hub_id, local_files_only=True))
    except FileNotFoundError:  # huggingface_hub's LocalEntryNotFoundError among them
        cached = None
    if not allow_download or offline:
        if cached is not None:
            return cached  # should a part be missing, inspection names it
        forbidden = "HF_HUB_OFFLINE is set" if offline else "downloads are not allowed for this job"
        raise ModelMissing(
            model=hub_id,
            reason=f"it is not in the Hugging Face cache, and {forbidden}. Allow the download, or put the "
            f"diffusers folder at {models / hub_id}",
        )
    # Plain names are there or not; a pattern is never a file, and so asks for the whole.
    if cached is not None and (_has_weights(cached) or all((cached / file).is_file() for file in files)):
        return cached
    announce(f"Downloading {hub_id}")
    try:
        return Path(hub.snapshot_download(hub_id, allow_patterns=list(files), ignore_patterns=list(_NOT_NEEDED)))
    except (hub.errors.HfHubHTTPError, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None and not isinstance(error, ConnectionError):
            raise  # the disk's trouble, not the hub's
        raise ModelMissing(model=hub_id, reason=f"the download failed: {_first_line(error)}") from error


def _has_weights(folder: Path) -> bool:
    """Whether a snapshot was fetched to its end; one that was cut off is fetched on."""
    index = folder / "model_index.json"
    if not index.is_file():
        return _complete(folder)
    parts = {"unet", "vae", "text_encoder", *json.loads(index.read_bytes())}
    return all(_complete(folder / part) for part in parts if part.startswith(("unet", "vae", "text_encoder")))


def _complete(folder: Path) -> bool:
    """Whether a component has weights, and every shard that its index names."""
    shards = {
        name
        for index in folder.glob("*.safetensors.index.json")
        for name in json.loads(index.read_bytes()).get("weight_map", {}).values()
    }
    present = {file.name for file in folder.glob("*.safetensors")}
    return bool(present) and shards <= present


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
