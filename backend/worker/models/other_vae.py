"""Another VAE in the place of a checkpoint's own, checked before anything loads. No torch."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

from ....protocol.errors import AdapterMismatch, ModelBroken
from ....protocol.models import FamilyId, ModelKind
from ...library.headers import read_header
from ...library.recognition import recognise
from ..families import FAMILIES
from . import references, shapes
from .component_folders import find_weights
from .inspection import CheckpointInfo
from .single_file import vae_part
from .weights import Weights

_SPACES = {
    (4, 0.18215): "Stable Diffusion 1.5 and 2",
    (4, 0.13025): "Stable Diffusion XL",
    (16, 1.5305): "Stable Diffusion 3",
    (16, 0.3611): "Flux.1",
}
"""Whose latents a VAE makes, by their channels and what they are scaled by."""


def with_vae(
    checkpoint: CheckpointInfo,
    reference: str,
    *,
    models: Path,
    allow_download: bool,
    announce: Callable[[str], None],
) -> CheckpointInfo:
    """The checkpoint with the VAE that `reference` names: a file, a folder, or a checkpoint whose VAE is meant.

    Raises AdapterMismatch for one that makes other latents than the checkpoint paints, and ModelError of every sort.
    """
    path = references.vae_folder(reference, models=models, allow_download=allow_download, announce=announce)
    wanted = _own_config(checkpoint)
    if path.is_file():
        recognised = recognise(read_header(path, reference))
        if recognised.kind is ModelKind.CHECKPOINT and not _shares_latents(recognised.family, checkpoint.family.id):
            raise _mismatch(checkpoint, reference, _title(recognised.family))
        weights = vae_part(path, reference, checkpoint.family.id)
        assert weights.part is not None
        config = dict(weights.part.config)
    else:
        weights, config = _from_folder(path, checkpoint, reference)
    if _space(config) != _space(wanted):
        raise _mismatch(checkpoint, reference, _whose(config))
    return replace(checkpoint, weights={**checkpoint.weights, "vae": weights})


def _from_folder(folder: Path, checkpoint: CheckpointInfo, reference: str) -> tuple[Weights, dict[str, Any]]:
    if (folder / "model_index.json").is_file():
        folder /= "vae"
    file = folder / "config.json"
    try:
        config = json.loads(file.read_bytes())
    except FileNotFoundError as error:
        raise ModelBroken(
            model=reference, reason=f"{folder} has no config.json, so it is no VAE. Choose a VAE's file or folder"
        ) from error
    except (OSError, ValueError) as error:
        raise ModelBroken(model=reference, reason=f"{file} can't be read ({error}); fetch it again") from error
    if not isinstance(config, dict):
        raise ModelBroken(model=reference, reason=f"{file} is not a JSON object; fetch it again")
    found = cast("dict[str, Any]", config)
    class_name, wanted = found.get("_class_name"), checkpoint.family.vae_class
    if class_name != wanted:
        raise ModelBroken(model=reference, reason=f"it is a {class_name}, and a VAE ({wanted}) is needed")
    return find_weights(folder, "diffusion_pytorch_model", reference), found


def _own_config(checkpoint: CheckpointInfo) -> dict[str, Any]:
    """Of the VAE that the checkpoint was trained with, which need not be there."""
    family = checkpoint.family.id
    if checkpoint.family.stock is None:
        return shapes.shipped_config(family, "vae/config.json")
    return cast("dict[str, Any]", json.loads((checkpoint.folder / "vae" / "config.json").read_bytes()))


def _space(config: dict[str, Any]) -> tuple[int, float]:
    return int(config.get("latent_channels", 4)), round(float(config.get("scaling_factor", 0.18215)), 5)


def _shares_latents(family: FamilyId | None, other: FamilyId) -> bool:
    old = (FamilyId.SD15, FamilyId.SD2)  # SD 2 kept SD 1's
    return family is None or family == other or (family in old and other in old)


def _whose(config: dict[str, Any]) -> str:
    channels, scaling = _space(config)
    return _SPACES.get((channels, scaling), f"another family, with {channels} latent channels scaled by {scaling}")


def _title(family: FamilyId | None) -> str:
    return FAMILIES[family].title if family is not None and family in FAMILIES else str(family)


def _mismatch(checkpoint: CheckpointInfo, reference: str, theirs: str) -> AdapterMismatch:
    return AdapterMismatch(
        kind="VAE",
        adapter=reference,
        adapter_family=theirs,
        checkpoint=checkpoint.name or "the embedded checkpoint",
        family=checkpoint.family.title,
    )
