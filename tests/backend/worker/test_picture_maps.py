"""Pictures for nets that are shown a picture: tile, blur, gray, low quality, shuffle and inpaint."""

import cv2
import numpy as np
import pytest
from underpaint.backend.worker.conditioning.inpaint import grown, inpaint_map
from underpaint.backend.worker.conditioning.pictures import picture_map, shuffled
from underpaint.backend.worker.conditioning.table import (
    InpaintConvention,
    NetKind,
    PictureConvention,
    convention,
)
from underpaint.backend.worker.families import FamilyId
from underpaint.protocol.arrays import UInt8Array
from underpaint.protocol.errors import InvalidRequest
from underpaint.protocol.geometry import Extent
from underpaint.protocol.options import PictureOptions
from underpaint.protocol.request import ControlKind

_SIZE = Extent(width=96, height=64)
_NO_OPTIONS = PictureOptions()


def _rule(kind: ControlKind) -> PictureConvention:
    rule = convention(FamilyId.SD15, kind)
    assert isinstance(rule, PictureConvention)
    return rule


def _noise(size: Extent = _SIZE) -> UInt8Array:
    return np.random.default_rng(3).integers(0, 256, (size.height, size.width, 3), np.uint8)


def _map(kind: ControlKind, image: UInt8Array, size: Extent = _SIZE, **options: object) -> UInt8Array:
    found = picture_map(image, size, _rule(kind), PictureOptions(**options))
    assert found.dtype == np.uint8
    assert found.shape == (size.height, size.width, 3)
    return found


def _detail(image: UInt8Array) -> float:
    """How much neighbouring pixels differ."""
    return float(np.abs(np.diff(image.astype(int), axis=1)).mean())


def test_tile_is_the_picture_itself() -> None:
    assert (_map(ControlKind.TILE, _noise()) == _noise()).all()
    assert _map(ControlKind.TILE, _noise(Extent(width=48, height=48))).shape == (64, 96, 3)


def test_tile_can_be_shrunk_and_blurred_for_more_freedom() -> None:
    plain = _map(ControlKind.TILE, _noise())
    small = _map(ControlKind.TILE, _noise(), shrink=4.0)
    soft = _map(ControlKind.TILE, _noise(), blur_px=3.0)
    assert _detail(small) < 0.3 * _detail(plain)
    assert _detail(soft) < 0.1 * _detail(plain)
    for image in (small, soft):
        assert np.abs(image.mean(axis=(0, 1)) - plain.mean(axis=(0, 1))).max() < 3


def test_blur_spreads_by_its_sigma_which_grows_with_the_picture() -> None:
    point = np.zeros((512, 512, 3), np.uint8)
    point[254:258, 254:258] = 255

    def spread(image: UInt8Array) -> float:
        line = image[:, :, 0].sum(axis=0).astype(float)
        place = np.arange(len(line)) + 0.5
        middle = (line * place).sum() / line.sum()
        return float(np.sqrt((line * (place - middle) ** 2).sum() / line.sum()))

    point[250:262, 250:262] = 255
    size = Extent(width=512, height=512)
    assert spread(_map(ControlKind.BLUR, point, size)) == pytest.approx(np.hypot(9, 12 / np.sqrt(12)), rel=0.1)
    assert spread(_map(ControlKind.BLUR, point, size, blur_px=4.0)) == pytest.approx(np.hypot(4, 3.5), rel=0.1)
    assert _detail(_map(ControlKind.BLUR, _noise(), blur_px=0)) == _detail(_noise())


def test_a_blur_wider_than_the_picture_leaves_one_colour() -> None:
    for size in (_SIZE, Extent(width=4096, height=8)):
        found = _map(ControlKind.BLUR, _noise(size), size, blur_px=1e6)
        assert np.ptp(found.astype(int), axis=(0, 1)).max() <= 2


def test_a_wide_blur_is_a_gaussian_s() -> None:
    image = np.repeat(np.repeat(_noise(Extent(width=12, height=8)), 32, axis=0), 32, axis=1)
    size = Extent(width=384, height=256)
    exact = cv2.GaussianBlur(image, (0, 0), 20, borderType=cv2.BORDER_REFLECT)
    assert np.abs(_map(ControlKind.BLUR, image, size, blur_px=20.0).astype(int) - exact).max() <= 4


def test_gray_is_the_luma() -> None:
    image = np.array([[[255, 0, 0], [0, 255, 0], [0, 0, 255], [10, 10, 10]]], np.uint8)
    found = _map(ControlKind.GRAY, image, Extent(width=4, height=1))
    assert found[0].tolist() == [[76] * 3, [150] * 3, [29] * 3, [10] * 3]  # ITU-R BT.601


def test_low_quality_has_a_quarter_of_the_detail() -> None:
    found = _map(ControlKind.LOW_QUALITY, _noise())
    assert _detail(found) < 0.3 * _detail(_noise())


def test_shuffle_keeps_the_colours_and_nothing_else() -> None:
    rows, columns = np.mgrid[0:256, 0:256]
    image = np.stack([rows, columns, 255 - rows], axis=2).astype(np.uint8)
    found = shuffled(image, 0)
    assert (found[:, :, 0].astype(int) + found[:, :, 2] - 255 <= 1).all()  # only colours that were there
    assert np.abs(found.astype(int) - image).mean() > 30
    assert _detail(found) < 6  # neighbours come from near each other
    # Reached from border to border, as the annotator's displacement is stretched to.
    assert found[:, :, 0].min() <= 1
    assert found[:, :, 0].max() >= 254
    assert found[:, :, 1].max() >= 254


def test_shuffle_depends_on_its_seed_alone() -> None:
    image = _noise()
    assert (shuffled(image, 1) == shuffled(image, 1)).all()
    assert (shuffled(image, 1) != shuffled(image, 2)).any()
    small, large = np.zeros((64, 64, 3), np.uint8), np.zeros((128, 128, 3), np.uint8)
    small[:, 32:], large[:, 64:] = 255, 255
    differing = shuffled(large, 5)[::2, ::2, 0].astype(int) - shuffled(small, 5)[:, :, 0]
    assert (np.abs(differing) > 127).mean() < 0.05  # the same bend at another size


@pytest.mark.parametrize("kind", [ControlKind.TILE, ControlKind.BLUR, ControlKind.LOW_QUALITY, ControlKind.SHUFFLE])
def test_one_pixel_is_a_picture(kind: ControlKind) -> None:
    one = np.full((1, 1, 3), 77, np.uint8)
    assert _map(kind, one, Extent(width=1, height=1)).tolist() == [[[77, 77, 77]]]
    assert (_map(kind, one, Extent(width=16, height=8)) == 77).all()


def test_senseless_wear_is_refused() -> None:
    for options in ({"shrink": 0.5}, {"shrink": float("nan")}, {"blur_px": -1.0}, {"blur_px": float("inf")}):
        with pytest.raises(InvalidRequest, match="expected"):
            _map(ControlKind.TILE, _noise(), **options)


# ---------------------------------------------------------------------------------------------- inpaint


def _hole() -> UInt8Array:
    mask = np.zeros((64, 96), np.uint8)
    mask[20:40, 30:60] = 255
    return mask


def test_sd15_s_inpaint_net_sees_exactly_minus_one_where_it_paints() -> None:
    rule = convention(FamilyId.SD15, ControlKind.INPAINT)
    assert isinstance(rule, InpaintConvention)
    found = inpaint_map(_noise(), _hole(), _SIZE, rule, _NO_OPTIONS)
    assert found.dtype == np.float32
    assert (found[_hole() == 255] == -1.0).all()
    assert (found[_hole() == 0] == _noise()[_hole() == 0].astype(np.float32) / np.float32(255)).all()


@pytest.mark.parametrize(("net", "value"), [(NetKind.UNION, 0), (NetKind.PLAIN, 255)])
def test_sdxl_s_inpaint_nets_see_black_or_white_where_they_paint(net: NetKind, value: int) -> None:
    rule = convention(FamilyId.SDXL, ControlKind.INPAINT, net)
    assert isinstance(rule, InpaintConvention)
    picture = _noise()
    found = inpaint_map(picture, _hole(), _SIZE, rule, _NO_OPTIONS)
    assert found.dtype == np.uint8
    assert (found[_hole() == 255] == value).all()
    assert (found[_hole() == 0] == picture[_hole() == 0]).all()
    assert (picture == _noise()).all()  # what was handed in is left alone


def test_the_mask_grows_and_shrinks_by_pixels() -> None:
    hole = _hole() == 255
    assert (grown(hole, 0) == hole).all()
    larger, smaller = grown(hole, 3), grown(hole, -3)
    assert np.argwhere(larger).min(axis=0).tolist() == [17, 27]
    assert np.argwhere(larger).max(axis=0).tolist() == [42, 62]
    assert not larger[17, 27]  # round at corners
    assert np.argwhere(smaller).min(axis=0).tolist() == [23, 33]
    assert np.argwhere(smaller).max(axis=0).tolist() == [36, 56]
    assert not grown(hole, -40).any()
    assert grown(np.ones((4, 4), bool), -2).all()  # the picture's own border is none of the mask's


@pytest.mark.parametrize(("mask", "grow_px"), [(np.zeros((64, 96), np.uint8), 50), (_hole(), -10)])
def test_a_mask_of_nothing_is_refused(mask: UInt8Array, grow_px: int) -> None:
    with pytest.raises(InvalidRequest, match="mask is empty"):
        inpaint_map(_noise(), mask, _SIZE, InpaintConvention(masked=-1.0), PictureOptions(grow_px=grow_px))


def test_mask_and_picture_of_another_size_are_fitted_together() -> None:
    picture, mask = np.full((32, 48, 3), 200, np.uint8), np.zeros((32, 48), np.uint8)
    mask[:, 24:] = 255
    found = inpaint_map(picture, mask, _SIZE, InpaintConvention(masked=-1.0), _NO_OPTIONS)
    assert found.shape == (64, 96, 3)
    assert (found[:, 48:] == -1).all()
    assert (found[:, :48] > 0.7).all()


def test_a_family_without_inpaint_nets_says_so() -> None:
    with pytest.raises(InvalidRequest, match="no inpaint ControlNet for Stable Diffusion 2"):
        convention(FamilyId.SD2, ControlKind.INPAINT)
