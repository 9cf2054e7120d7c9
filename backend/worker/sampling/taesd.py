"""TAESD, the tiny decoder by Ollin Boer Bohan, where the user has it: previews that look like the picture.

It is never downloaded: a folder of that name under `models`, a snapshot in the hub's cache, or "<name>_decoder" among
the models, in its author's own layout (https://github.com/madebyollin/taesd), is taken as it is.
"""

import functools
import importlib
from pathlib import Path
from typing import Any

from ....protocol.errors import ModelBroken
from ....protocol.models import ModelKind
from ...library import folders
from ...library.headers import read_header
from ..families import Family
from ..models.component_folders import find_weights
from ..models.layouts import Piece
from ..models.weights import Part, Weights, fill, make_stamp, recipe_shapes
from ..third_party import diffusers, torch

_WEIGHTS = "diffusion_pytorch_model"
_TILE = 64  # latents each side; a picture of 512 x 512 is one tile, larger ones need no more memory than that
_MARGIN = 8  # latents around a tile, which the decoder sees and which are cut off again


def find(family: Family, models: Path) -> Path | None:
    """The folder of the family's TAESD on this computer, or its decoder's file as ComfyUI and A1111 have it."""
    if not family.tiny_decoder:
        return None
    for folder in (models / family.tiny_decoder.rpartition("/")[2], models / family.tiny_decoder):
        if folder.is_dir():
            return folder
    hub: Any = importlib.import_module("huggingface_hub")
    # A path, None for what was never asked for, or a mark for what the hub is known not to have.
    config = hub.try_to_load_from_cache(family.tiny_decoder, "config.json")
    if isinstance(config, str):
        return Path(config).parent
    file = folders.find(f"{family.tiny_decoder.rpartition('/')[2]}_decoder.safetensors", ModelKind.TINY_DECODER, models)
    return file if file is not None and file.is_file() else None


class TinyDecoder:
    """A TAESD on its device."""

    def __init__(self, folder: Path, *, device: str, dtype: Any) -> None:
        """Load it, or take the one that was loaded last. Raises ModelBroken."""
        weights = _decoder_file(folder) if folder.is_file() else find_weights(folder, _WEIGHTS, folder.name)
        self._decoder, self._scaling = _load(weights, device, dtype)
        self._dtype = dtype

    def picture(self, latents: Any) -> Any:
        """(8 h, 8 w, 3) uint8 of a model's latents (4, h, w), on their device."""
        rows, columns = latents.shape[-2:]
        latents = (latents / self._scaling).to(self._dtype)[None]
        parts = [
            torch().cat([self._tile(latents, top, left) for left in range(0, columns, _TILE)], dim=-1)
            for top in range(0, rows, _TILE)
        ]
        return torch().cat(parts, dim=-2).permute(1, 2, 0).contiguous()

    def _tile(self, latents: Any, top: int, left: int) -> Any:
        """(3, 8 h, 8 w) uint8 of the tile that begins there."""
        above, before = min(top, _MARGIN), min(left, _MARGIN)
        bottom, right = min(top + _TILE, latents.shape[-2]), min(left + _TILE, latents.shape[-1])
        seen = latents[:, :, top - above : bottom + _MARGIN, left - before : right + _MARGIN]
        picture = self._decoder(seen)[0]
        scale = picture.shape[-1] // seen.shape[-1]
        rows = slice(above * scale, (above + bottom - top) * scale)
        columns = slice(before * scale, (before + right - left) * scale)
        return to_bytes(picture[:, rows, columns].float())


def to_bytes(values: Any) -> Any:
    """-1..1 to uint8, where the values lie."""
    return values.mul(127.5).add(128).clamp(0, 255).to(torch().uint8)


def _decoder_file(file: Path) -> Weights:
    """A decoder by itself. Its layers are numbered from 1: the first one bounds the latents and has no weights."""
    header = read_header(file, file.name)
    recipe: dict[str, Piece] = {}
    for key in header:
        number, _, rest = key.partition(".")
        if number.isdecimal():
            recipe[f"layers.{int(number) - 1}.{rest}"] = Piece(key=key)
    first = header.get("1.weight", {}).get("shape", [0, 0])
    if len(first) != 4:
        raise ModelBroken(model=file.name, reason="it is no decoder of a TAESD; fetch taesd_decoder.safetensors again")
    shapes = recipe_shapes(recipe, header)
    part = Part(
        recipe=recipe,
        shapes=shapes,
        config={"latent_channels": first[1], "decoder_block_out_channels": (first[0],) * 4},
    )
    return Weights(folder=file.parent, stamp=make_stamp([file]), part=part)


def _from_file(weights: Weights, part: Part, dtype: Any) -> Any:
    accelerate: Any = importlib.import_module("accelerate")
    with accelerate.init_empty_weights(include_buffers=False):
        vae = diffusers().AutoencoderTiny.from_config(dict(part.config))
    fill(vae.decoder, weights, part.recipe, dtype, weights.files[0].name)
    return vae


@functools.lru_cache(maxsize=1)
def _load(weights: Weights, device: str, dtype: Any) -> tuple[Any, float]:
    """The decoder alone (5 MB in float32), and what latents are divided by. The stamp in `weights` tells new files."""
    if weights.part is not None:
        vae = _from_file(weights, weights.part, dtype)
        return vae.decoder.eval().requires_grad_(False).to(device), float(vae.config.scaling_factor)
    try:
        vae = diffusers().AutoencoderTiny.from_pretrained(
            str(weights.folder), dtype=dtype, variant=weights.variant, use_safetensors=True, local_files_only=True
        )
    except (OSError, ValueError, KeyError, RuntimeError, TypeError) as error:
        first_line = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise ModelBroken(model=weights.folder.name, reason=first_line) from error
    return vae.decoder.eval().requires_grad_(False).to(device), float(vae.config.scaling_factor)
