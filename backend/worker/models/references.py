"""What a request calls a model, to the folder or file where it lies."""

import re
from collections.abc import Callable, Sequence
from pathlib import Path

from ....protocol.errors import ControlNetNotChosen, ModelMissing
from ....protocol.models import ModelKind
from ....protocol.request import ControlKind
from ...library import folders
from . import downloads, embedded

_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
_CHECKPOINT_FILES = ("model_index.json", "*/*.json", "*/*.txt", "*/*.safetensors")
_FAMILY_FILES = ("model_index.json", "unet/config.json")  # what tells a checkpoint's family
_CONTROLNET_CONFIG = ("config.json",)
_CONTROLNET_FILES = (*_CONTROLNET_CONFIG, "diffusion_pytorch_model*.safetensors")

_VAE_FILES = ("config.json", "diffusion_pytorch_model*.safetensors", "vae/*")


def _nobody(_: str) -> None:
    """Nobody listens."""


def checkpoint_folder(
    reference: str, *, models: Path, allow_download: bool, announce: Callable[[str], None] = _nobody
) -> Path:
    """The file or diffusers folder of a checkpoint: embedded for `""`, what is on the disk, or a hub id's snapshot.

    `announce` hears of a download before it begins, and may raise to prevent it. Raises ModelMissing, saying what to
    do.
    """
    if not reference:
        return embedded.checkpoint(models)
    return _find(reference, ModelKind.CHECKPOINT, _CHECKPOINT_FILES, models, allow_download, announce)


def family_folder(reference: str, *, models: Path, allow_download: bool) -> Path:
    """A checkpoint's file, or its folder as far as its family must be known; of a hub id no weights are fetched.

    Raises as `checkpoint_folder` does. Not for the embedded checkpoint, whose family is known.
    """
    return _find(reference, ModelKind.CHECKPOINT, _FAMILY_FILES, models, allow_download, _nobody)


def vae_folder(
    reference: str, *, models: Path, allow_download: bool, announce: Callable[[str], None] = _nobody
) -> Path:
    """The file or folder of a VAE, or of a checkpoint whose VAE is meant. Raises ModelMissing."""
    return _find(reference, ModelKind.VAE, _VAE_FILES, models, allow_download, announce)


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
    """The file or folder of a ControlNet; `""` is the one that belongs to the embedded checkpoint, and only to that.

    `vet` is shown the folder with its config.json before any weights are fetched, and may raise.
    """
    if reference:
        if allow_download:  # a few hundred bytes first, and perhaps not the gigabytes
            vet(_find(reference, ModelKind.CONTROLNET, _CONTROLNET_CONFIG, models, allow_download, announce))
        return _find(reference, ModelKind.CONTROLNET, _CONTROLNET_FILES, models, allow_download, announce)
    if checkpoint:
        raise ControlNetNotChosen(kind=kind, checkpoint=checkpoint)
    return embedded.controlnet(models, kind)


def controlnet_config_folder(reference: str, *, models: Path, allow_download: bool) -> Path:
    """A ControlNet's file, or the folder with its config.json; of a hub id no weights are fetched."""
    return _find(reference, ModelKind.CONTROLNET, _CONTROLNET_CONFIG, models, allow_download, _nobody)


def _find(
    reference: str,
    kind: ModelKind,
    files: Sequence[str],
    models: Path,
    allow_download: bool,
    announce: Callable[[str], None],
) -> Path:
    found = folders.find(reference, kind, models)
    if found is not None:
        return found
    path = Path(reference).expanduser()
    fetched = downloads.file(reference, announce=announce) if allow_download else None
    if fetched is not None:
        return fetched
    if path.is_absolute() or not _HUB_ID.fullmatch(reference):
        raise ModelMissing(
            model=reference,
            reason=f"there is no such file or folder. Give a .safetensors file, a diffusers folder, the name of one in "
            f'{models} or in another models folder, or a hub id such as "owner/name"{folders.out_of_reach(models)}',
        )
    return downloads.snapshot(reference, files, models=models, allow_download=allow_download, announce=announce)
