"""What a request calls a model, to the folder where it lies."""

import re
from collections.abc import Callable, Sequence
from pathlib import Path

from ....protocol.errors import ControlNetNotChosen, ModelBroken, ModelMissing
from ....protocol.request import ControlKind
from . import downloads, embedded

_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
_CHECKPOINT_FILES = ("model_index.json", "*/*.json", "*/*.txt", "*/*.safetensors")
_FAMILY_FILES = ("model_index.json", "unet/config.json")  # what tells a checkpoint's family
_CONTROLNET_CONFIG = ("config.json",)
_CONTROLNET_FILES = (*_CONTROLNET_CONFIG, "diffusion_pytorch_model*.safetensors")


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
    return downloads.snapshot(reference, files, models=models, allow_download=allow_download, announce=announce)
