"""A large picture denoised in overlapping tiles, which agree with each other at every evaluation.

Each evaluation asks the model for every tile's prediction and mixes them where tiles overlap, after MultiDiffusion
(https://arxiv.org/abs/2302.08113, section 4.2). The latents stay one: neighbours that are given the same pixels go on
from the same ones, so there is no border at which two pictures that were painted apart would have to be blended. The
alternative, tiles painted to the end one after the other and feathered, shows its seams from a strength of about 0.4
on, and 0.5 is the usual one here. What is on the device at once is one tile's work.
"""

import dataclasses
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np

from ....protocol.geometry import Extent
from ....protocol.request import Seamless
from ..conditioning.fitting import fit
from ..third_party import torch
from .guidance import ControlInput, GuidedModel
from .hints import ControlImage
from .seamless import surrounding, wraps

LATENT_PIXELS = 8


@dataclass(frozen=True, kw_only=True)
class Tiling:
    """Tiles of one size that cover a picture evenly. All lengths are in pixels and multiples of 8."""

    size: Extent  # of the picture
    tile: Extent
    corners: tuple[tuple[int, int], ...]  # (top, left) of each tile, row by row
    surround: Seamless  # the axes along which tiles go on at the opposite edge

    @property
    def inside(self) -> Seamless:
        """The axes along which a tile is the whole picture."""
        across, down = wraps(self.surround)
        return surrounding(across and self.tile.width == self.size.width, down and self.tile.height == self.size.height)


def tiling(size: Extent, tile_px: int, overlap_px: int, surround: Seamless = Seamless.OFF) -> Tiling:
    """Tiles of `tile_px`, or as large as a smaller picture is; neighbours share `overlap_px` or more."""
    across, down = wraps(surround)
    width, lefts = _places(size.width, tile_px, overlap_px, across)
    height, tops = _places(size.height, tile_px, overlap_px, down)
    return Tiling(
        size=size,
        tile=Extent(width=width, height=height),
        corners=tuple((top, left) for top in tops for left in lefts),
        surround=surround,
    )


def _places(side: int, tile_px: int, overlap_px: int, circular: bool) -> tuple[int, list[int]]:
    """A tile's length, and where tiles begin; at least `overlap_px` of each lie under the next one."""
    tile = min(tile_px // LATENT_PIXELS * LATENT_PIXELS, side)
    if tile == side:
        return tile, [0]
    overlap = min(-(-overlap_px // LATENT_PIXELS) * LATENT_PIXELS, tile // 2 // LATENT_PIXELS * LATENT_PIXELS)
    if circular:
        count, room = math.ceil(side / (tile - overlap)), side
        steps = count
    else:
        count, room = math.ceil((side - overlap) / (tile - overlap)), side - tile
        steps = count - 1
    cells = room // LATENT_PIXELS
    return tile, [number * cells // steps * LATENT_PIXELS for number in range(count)]


class TiledModel:
    """What a solver asks at each evaluation, tile by tile."""

    def __init__(
        self,
        model: GuidedModel,
        controls: Sequence[ControlInput],
        layout: Tiling,
        *,
        extra_channels: Any | None,
        tile_done: Callable[[int, int], None],
    ) -> None:
        """`model` is of the tiles' size, and its control images pass. `controls` hold the whole picture's.

        `extra_channels` (pictures or 1, 5, height / 8, width / 8) are of the whole picture. `tile_done` hears of the
        evaluation's index and the tile's number, from 0, when a tile is on its way, and may raise.
        """
        self._model, self._controls, self._layout = model, controls, layout
        self._extra, self._tile_done = extra_channels, tile_done
        self._cells = [_cells(layout, corner) for corner in layout.corners]
        self._kept: tuple[Any, Any] | None = None

    def __call__(self, sample: Any, index: int) -> Any:
        """The guided prediction (pictures, 4, height / 8, width / 8) float32 of a sample of this shape."""
        share, total = self._weights(sample.device)
        mixed = torch().zeros_like(sample)
        for number, (corner, (rows, columns)) in enumerate(zip(self._layout.corners, self._cells, strict=True)):
            rows, columns = rows.to(sample.device), columns.to(sample.device)
            extra = None if self._extra is None else _cut(self._extra, rows, columns)
            self._model.show([cropped(control, self._layout, corner) for control in self._controls], extra)
            prediction = self._model(_cut(sample, rows, columns), index)
            mixed[:, :, rows[:, None], columns] += prediction * share
            self._tile_done(index, number)
        return mixed / total

    def _weights(self, device: Any) -> tuple[Any, Any]:
        """How much a tile's prediction counts, and what all of them come to at each place."""
        if self._kept is None:
            library, size = torch(), self._layout.size
            share = library.from_numpy(_share(self._layout)).to(device)
            total = library.zeros(size.height // LATENT_PIXELS, size.width // LATENT_PIXELS, device=device)
            for rows, columns in self._cells:
                total[rows[:, None].to(device), columns.to(device)] += share
            self._kept = share, total
        return self._kept


def first_tile(controls: Sequence[ControlInput], layout: Tiling) -> list[ControlInput]:
    """The controls as they are shown the first tile."""
    return [dataclasses.replace(each, image=cropped(each, layout, layout.corners[0])) for each in controls]


def cropped(control: ControlInput, layout: Tiling, corner: tuple[int, int]) -> ControlImage:
    """What a control shows at a tile. Nets that pool look at the whole, made as small as the tile."""
    image = control.image
    if control.use.net.config.global_pool_conditions:
        return fit(image, layout.tile) if image.dtype == np.uint8 else image  # type: ignore[arg-type]
    rows, columns = (
        (np.arange(length) + begin) % side
        for length, begin, side in (
            (layout.tile.height, corner[0], layout.size.height),
            (layout.tile.width, corner[1], layout.size.width),
        )
    )
    return cast(ControlImage, np.ascontiguousarray(image[rows[:, None], columns]))


def _cells(layout: Tiling, corner: tuple[int, int]) -> tuple[Any, Any]:
    """A tile's rows and columns in the latents; they go on at the opposite edge."""
    arange = torch().arange
    return tuple(  # type: ignore[return-value]
        (arange(length // LATENT_PIXELS) + begin // LATENT_PIXELS) % (side // LATENT_PIXELS)
        for length, begin, side in (
            (layout.tile.height, corner[0], layout.size.height),
            (layout.tile.width, corner[1], layout.size.width),
        )
    )


def _cut(planes: Any, rows: Any, columns: Any) -> Any:
    return planes[:, :, rows[:, None], columns]


def _share(layout: Tiling) -> Any:
    """(height / 8, width / 8) float32: how much a tile's prediction counts, most in its middle.

    The square of a sine along each side: at its border, where a tile sees nothing of its surroundings, next to nothing
    of it counts beside its neighbours. Along a side that is the picture's own everything counts alike.
    """

    def along(length: int, side: int) -> Any:
        count = length // LATENT_PIXELS
        if length == side:
            return np.ones(count, np.float32)
        return (np.sin(np.pi * (np.arange(count) + 0.5) / count) ** 2).astype(np.float32)

    return along(layout.tile.height, layout.size.height)[:, None] * along(layout.tile.width, layout.size.width)
