"""Things to flat colours, by ADE20K's classes or one for each."""

import hashlib

import numpy as np
import pytest
from underpaint.backend.worker.conditioning.segmentation import distinct_colours, segmentation_map
from underpaint.backend.worker.conditioning.table import NetKind, SegmentationConvention, convention
from underpaint.backend.worker.families import FamilyId
from underpaint.protocol.ade20k import NAMES, PALETTE, class_of
from underpaint.protocol.arrays import UInt8Array
from underpaint.protocol.errors import InvalidArray
from underpaint.protocol.options import SegmentationOptions, SegmentColours
from underpaint.protocol.request import ControlKind
from underpaint.protocol.sources import Segment

_CHAIR, _FLOOR, _SKY = NAMES.index("chair"), NAMES.index("floor"), NAMES.index("sky")
_SEGMENTS = (
    Segment(name="Chair.001", ade20k=_CHAIR),
    Segment(name="Floor", ade20k=_FLOOR),
    Segment(name="Suzanne"),
    Segment(name="Chair.002", ade20k=_CHAIR),
)
_INDICES = np.array([[-1, 0, 0, 1], [-1, 2, 3, 1]], np.int32)
_RANDOM = SegmentationOptions(colours=SegmentColours.RANDOM)


def _map(background: int | None = None, options: SegmentationOptions | None = None) -> UInt8Array:
    return segmentation_map(_INDICES, _SEGMENTS, background, SegmentationConvention(), options or SegmentationOptions())


def test_classes_have_their_own_colours() -> None:
    image = _map(background=_SKY)
    assert image.dtype == np.uint8
    chair, floor, sky, black = [204, 70, 3], [80, 50, 50], [6, 230, 230], [0, 0, 0]
    assert image.tolist() == [[sky, chair, chair, floor], [sky, black, chair, floor]]


def test_an_unlabelled_background_is_black() -> None:
    assert _map()[:, 0].max() == 0


def test_random_colours_tell_equal_classes_apart_and_leave_the_background_black() -> None:
    image = _map(background=_SKY, options=_RANDOM)
    assert image[0, 0].tolist() == [0, 0, 0]
    assert len({tuple(image[row, column]) for row, column in ((0, 1), (1, 1), (1, 2), (0, 3))}) == 4
    assert (image[0, 1] == image[0, 2]).all()


def test_a_union_net_is_shown_random_colours_and_a_plain_one_classes() -> None:
    union = convention(FamilyId.SDXL, ControlKind.SEGMENTATION, NetKind.UNION)
    assert isinstance(union, SegmentationConvention)
    assert union.colours is SegmentColours.RANDOM
    for family in (FamilyId.SD15, FamilyId.SD2, FamilyId.SDXL):
        plain = convention(family, ControlKind.SEGMENTATION)
        assert isinstance(plain, SegmentationConvention)
        assert plain.colours is SegmentColours.ADE20K


def test_random_colours_come_from_the_name_and_the_seed() -> None:
    names = [f"Object.{number:03}" for number in range(60)]
    colours = dict(zip(names, distinct_colours(names, 7), strict=True))
    assert dict(zip(names[::-1], distinct_colours(names[::-1], 7), strict=True)) == colours
    assert distinct_colours(names, 8) != distinct_colours(names, 7)
    # Most of a scene's things keep their colours when others come or go.
    fewer = names[::2]
    kept = [colours[name] == colour for name, colour in zip(fewer, distinct_colours(fewer, 7), strict=True)]
    assert sum(kept) >= 0.8 * len(kept)


@pytest.mark.parametrize("seed", range(5))
def test_random_colours_are_far_apart_and_never_near_black(seed: int) -> None:
    colours = np.array(distinct_colours([f"thing {number}" for number in range(100)], seed))
    apart = np.abs(colours[:, None] - colours[None]).max(axis=2)
    assert apart[~np.eye(100, dtype=bool)].min() >= 51
    assert colours.max(axis=1).min() >= 102


def test_thousands_of_things_and_equal_names_have_a_colour_each() -> None:
    assert len(set(distinct_colours([str(number) for number in range(5000)], 0))) == 5000
    assert len(set(distinct_colours(["Cube"] * 300, 0))) == 300


def test_a_name_that_is_no_utf_8_has_a_colour_too() -> None:
    assert distinct_colours(["\udc80", "a"], 0)[0] == distinct_colours(["\udc80"], 0)[0]


def test_an_index_that_names_nothing_is_refused() -> None:
    for wrong in (-2, 4):
        indices = np.array([[0, wrong]], np.int32)
        with pytest.raises(InvalidArray, match=f"segment {wrong} of 4"):
            segmentation_map(indices, _SEGMENTS, None, SegmentationConvention(), SegmentationOptions())


def test_a_scene_of_nothing_is_black() -> None:
    nothing = np.full((2, 2), -1, np.int32)
    for options in (SegmentationOptions(), _RANDOM):
        assert segmentation_map(nothing, (), None, SegmentationConvention(), options).max() == 0


def test_the_palette_is_ade20k_s() -> None:
    flat = bytes(channel for colour in PALETTE for channel in colour)
    assert hashlib.sha256(flat).hexdigest() == "ce475c9151035eff51f4cf27fd7d906959b1480f6d15b9423ae2417c1b23a0ed"
    assert len(set(PALETTE)) == 149
    assert class_of("road") is not None


@pytest.mark.parametrize(
    ("name", "colour"),
    [
        ("ceiling", "787850"),
        ("road", "8C8C8C"),
        ("windowpane", "E6E6E6"),
        ("grass", "04FA07"),
        ("cabinet", "E005FF"),
        ("sidewalk", "EBFF07"),
        ("person", "96053D"),
        ("earth", "787846"),
        ("door", "08FF33"),
        ("table", "FF0652"),
        ("mountain", "8FFF8C"),
        ("plant", "CCFF04"),
        ("curtain", "FF3307"),
        ("chair", "CC4603"),
        ("car", "0066C8"),
        ("water", "3DE6FA"),
        ("painting", "FF0633"),
        ("sofa", "0B66FF"),
        ("shelf", "FF0747"),
        ("house", "FF09E0"),
        ("sea", "0907E6"),
        ("mirror", "DCDCDC"),
        ("rug", "FF095C"),
        ("rock", "FF290A"),
        ("lamp", "E0FF08"),
        ("flag", "5C00FF"),
    ],
)
def test_names_and_colours_belong_together(name: str, colour: str) -> None:
    assert PALETTE[NAMES.index(name)] == tuple(bytes.fromhex(colour))
