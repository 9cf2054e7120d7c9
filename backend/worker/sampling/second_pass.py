"""Two passes: a small picture first, then once more over it enlarged, as a whole or in tiles.

Between the passes the picture is decoded, enlarged by Lanczos and encoded again. Latents that are enlarged as they are
come out soft and with halos unless much of them is painted over, for the VAE never made such ones; pixels survive any
strength. It costs a decoding and an encoding.
"""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

from ....protocol.arrays import UInt8Array
from ....protocol.geometry import Extent
from ....protocol.request import Seamless
from ..conditioning.fitting import fit
from ..models.nets import NetUse
from ..third_party import torch
from .decoding import LatentDistribution
from .guidance import ControlInput
from .seamless import enlarged
from .solvers import Solver
from .start import LATENT_PIXELS, EncodedStart, StartPicture, kept_put_back
from .tiles import Tiling

_LEAST_SIDE = 64  # of a first pass; models know nothing smaller


@dataclass(frozen=True, kw_only=True, eq=False)
class SecondPassInput:
    """A second pass whose models are in memory."""

    first_size: Extent
    solver: Solver
    strength: float
    controls: Sequence[ControlInput]  # of the picture's size
    image_weights: Sequence[Sequence[float]]  # of each image prompt at each evaluation
    tiling: Tiling | None  # None paints the whole at once
    tile_net: "TileNet | None"


@dataclass(frozen=True, kw_only=True, eq=False)
class TileNet:
    """A tile ControlNet that keeps the second pass to the first."""

    use: NetUse
    scale: float

    def control(self, picture: UInt8Array, evaluations: int) -> ControlInput:
        """Is shown the enlarged picture, which is what tile nets have to put details into, all the way."""
        return ControlInput(use=self.use, image=picture, weights=(self.scale,) * evaluations)


def first_size(size: Extent, factor: float) -> Extent:
    """The first pass's size: by `factor` smaller, in multiples of 8, at least 64, never larger than the picture."""

    def side(length: int) -> int:
        return min(max(round(length / factor / LATENT_PIXELS) * LATENT_PIXELS, _LEAST_SIDE), length)

    return Extent(width=side(size.width), height=side(size.height))


def first_start(start: StartPicture, size: Extent) -> StartPicture:
    """The start picture of the first pass.

    Its mask paints every latent anew that the whole picture's mask touches, so that the thinnest one still does. What
    is to be kept is put back after the second pass.
    """
    painted = None
    if start.painted is not None:
        cells = (size.width // LATENT_PIXELS, size.height // LATENT_PIXELS)
        share = cv2.resize(start.painted.astype(np.float32), cells, interpolation=cv2.INTER_AREA)
        painted = np.kron(share > 0, np.ones((LATENT_PIXELS, LATENT_PIXELS), np.bool_)).astype(np.bool_)
    return dataclasses.replace(start, image=fit(start.image, size), painted=painted)


def second_start(
    picture: UInt8Array | None, start: StartPicture | None, size: Extent, *, strength: float, surround: Seamless
) -> StartPicture:
    """What the second pass begins with: the first pass's picture enlarged, and what a mask keeps.

    `picture` is None where nothing was painted, because the start picture has a strength of 0; then it is that picture
    itself, in all its sharpness.
    """
    if picture is None:
        assert start is not None
        return dataclasses.replace(start, strength=strength)
    large = enlarged(picture, size, surround)
    if start is None:
        return StartPicture(image=large, painted=None, strength=strength, blur_px=0)
    return dataclasses.replace(start, image=kept_put_back(start, large), strength=strength)


def stacked_starts(starts: Sequence[EncodedStart]) -> EncodedStart:
    """The starts of a batch of pictures as one, each row its own."""
    first = starts[0]
    if all(each is first for each in starts):
        return first
    return dataclasses.replace(
        first, whole=_stacked([each.whole for each in starts]), rest=_stacked([each.rest for each in starts])
    )


def _stacked(found: Sequence[LatentDistribution | None]) -> LatentDistribution | None:
    given = [each for each in found if each is not None]
    if not given:
        return None
    cat: Any = torch().cat
    return LatentDistribution(
        mean=cat([each.mean for each in given]),
        deviation=cat([each.deviation for each in given]),
        config=given[0].config,
    )
