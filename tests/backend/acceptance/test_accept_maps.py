"""Acceptance figures of control maps that need no renderer: colours of normals, depth's grey, segmentation."""

import hashlib
from collections.abc import Callable

import numpy as np
import pytest
from underpaint.backend.worker.conditioning.depth import depth_map
from underpaint.backend.worker.conditioning.normals import normal_map
from underpaint.backend.worker.conditioning.segmentation import segmentation_map
from underpaint.backend.worker.conditioning.table import (
    DepthConvention,
    NormalConvention,
    SegmentationConvention,
    convention,
)
from underpaint.backend.worker.families import FamilyId
from underpaint.protocol.ade20k import PALETTE
from underpaint.protocol.arrays import Float32Array, UInt8Array
from underpaint.protocol.geometry import Projection
from underpaint.protocol.options import DepthOptions, NormalEncoding, NormalOptions, SegmentationOptions
from underpaint.protocol.request import ControlKind
from underpaint.protocol.sources import Segment

Accept = Callable[..., None]

# The table of a unit sphere's colours: centre, 60 degrees left, right, top and bottom, outside.
SPHERE: dict[NormalEncoding, tuple[tuple[int, int, int], ...]] = {
    NormalEncoding.BAE: (
        (127, 127, 255), (237, 127, 193), (18, 127, 192), (127, 237, 193), (127, 18, 192), (128, 128, 255),
    ),
    NormalEncoding.OPENGL: (
        (128, 127, 255), (18, 127, 193), (237, 127, 192), (128, 237, 193), (128, 18, 192), (128, 128, 255),
    ),
    NormalEncoding.DIRECTX: (
        (128, 128, 255), (18, 128, 193), (237, 128, 192), (128, 18, 193), (128, 237, 192), (128, 128, 255),
    ),
}  # fmt: skip
_SIDE = 512
_RADIUS = 200.0


def _sphere() -> Float32Array:
    """Normals of a unit sphere in a parallel projection; (512, 512, 3), background 0."""
    rows, columns = np.mgrid[0:_SIDE, 0:_SIDE] + 0.5
    x, y = (columns - _SIDE / 2) / _RADIUS, (_SIDE / 2 - rows) / _RADIUS
    inside = x * x + y * y < 1
    z = np.sqrt(np.maximum(1 - x * x - y * y, 0))
    return (np.stack([x, y, z], axis=2) * inside[:, :, None]).astype(np.float32)


def five_points(image: UInt8Array) -> list[tuple[int, ...]]:
    """The colours where the table samples a sphere of radius 200 in the middle of 512 x 512, and of a corner."""
    aside = round(_RADIUS * np.sin(np.radians(60)))
    places = ((0, 0), (0, -aside), (0, aside), (-aside, 0), (aside, 0))
    middle = _SIDE // 2
    return [tuple(image[middle + down, middle + right]) for down, right in places] + [tuple(image[4, 4])]


@pytest.mark.parametrize("encoding", SPHERE)
def test_normals_have_the_colours_of_the_table(encoding: NormalEncoding, accept: Accept) -> None:
    image = normal_map(_sphere(), NormalConvention(), NormalOptions(encoding=encoding))
    off = np.abs(np.array(five_points(image), int) - SPHERE[encoding])
    accept(4, f"{encoding} colours of an analytic sphere at five points", off[:5].max(), 3, unit="/255")
    accept(4, f"{encoding} background", off[5].max(), 0, unit="/255")


def _grey(metres: Float32Array, **options: object) -> np.ndarray[tuple[int, ...], np.dtype[np.int64]]:
    rule = convention(FamilyId.SD15, ControlKind.DEPTH)
    assert isinstance(rule, DepthConvention)
    return depth_map(Projection.PERSPECTIVE, metres, rule, DepthOptions(**options))[:, :, 0].astype(np.int64)


@pytest.mark.parametrize("floor", [0.0, 0.2])
def test_depth_is_monotone_and_reaches_its_ends(floor: float, accept: Accept) -> None:
    metres = np.random.default_rng(0).uniform(0.2, 300, (256, 256)).astype(np.float32)
    metres[:40] = np.inf
    grey = _grey(metres, floor=floor)
    surface = np.isfinite(metres)
    order = np.argsort(metres[surface])
    wrong = np.count_nonzero(np.diff(grey[surface][order]) > 0)
    accept(5, f"farther pixels that are brighter, floor {floor}", wrong, 0)
    ends = max(abs(grey[surface].min() - 255 * floor), abs(grey[surface].max() - 255))
    accept(5, f"ends of the surfaces' grey off floor and white, floor {floor}", ends, 1, unit="/255")
    accept(5, f"background, floor {floor}", grey[~surface].max(), 0, unit="/255")


def test_a_locked_range_gives_the_same_depth_the_same_grey(accept: Accept) -> None:
    shared = np.linspace(2, 30, 4096, dtype=np.float32).reshape(64, 64)
    frames = [np.concatenate([shared, np.full((1, 64), other, np.float32)]) for other in (0.5, 200)]
    greys = [_grey(metres, near_m=1.0, far_m=50.0)[:64] for metres in frames]
    accept(5, "locked range: grey of the same depth in two frames", np.abs(greys[0] - greys[1]).max(), 0, unit="/255")


@pytest.mark.parametrize("metres", [(1.0, 2.0, 4.0), tuple(np.geomspace(1, 4, 1000))], ids=["three", "thousand"])
def test_grey_is_proportional_to_disparity(metres: tuple[float, ...], accept: Accept) -> None:
    disparity = 1 / np.array(metres)
    grey = _grey(np.array([metres], np.float32))[0].astype(float)
    design = np.stack([disparity, np.ones_like(disparity)], axis=1)
    residual = grey - design @ np.linalg.lstsq(design, grey, rcond=None)[0]
    what = f"R^2 of grey over 1/z at {len(metres)} distances from 1 to 4 m"
    accept(6, what, 1 - residual.var() / grey.var(), 0.9999, better="more")


def test_segmentation_has_no_colours_but_the_palette_s(accept: Accept) -> None:
    random = np.random.default_rng(0)
    segments = tuple(Segment(name=str(number), ade20k=number) for number in range(150))
    indices = random.integers(-1, 150, (512, 512)).astype(np.int32)
    image = segmentation_map(indices, segments, 2, SegmentationConvention(), SegmentationOptions())
    strange = {tuple(colour) for colour in np.unique(image.reshape(-1, 3), axis=0).tolist()} - set(PALETTE)
    accept(20, "colours that are not the palette's", len(strange), 0)
    digest = hashlib.sha256(bytes(channel for colour in PALETTE for channel in colour)).hexdigest()
    known = "ce475c9151035eff51f4cf27fd7d906959b1480f6d15b9423ae2417c1b23a0ed"
    accept(20, "hexadecimal digits in which the palette's SHA-256 is off", sum(map(str.__ne__, digest, known)), 0)
