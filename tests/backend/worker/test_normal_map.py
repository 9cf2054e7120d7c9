"""Normals to colours: NormalBAE's, where red faces image-left, the others that are known, and SD 1.0's slopes."""

import cv2
import numpy as np
import pytest
from underpaint.backend.worker.conditioning.normals import normal_map, slope_map
from underpaint.backend.worker.conditioning.table import NetKind, NormalConvention, convention
from underpaint.backend.worker.families import FamilyId
from underpaint.protocol.arrays import Float32Array, UInt8Array
from underpaint.protocol.errors import InvalidRequest
from underpaint.protocol.geometry import Projection
from underpaint.protocol.options import NormalEncoding, NormalOptions
from underpaint.protocol.request import ControlKind

_SIN, _COS = np.sin(np.radians(60)), np.cos(np.radians(60))
_CENTRE, _LEFT, _RIGHT = (0, 0, 1), (-_SIN, 0, _COS), (_SIN, 0, _COS)
_TOP, _BOTTOM = (0, _SIN, _COS), (0, -_SIN, _COS)


def colours(*normals: tuple[float, float, float], **options: object) -> list[list[int]]:
    image = normal_map(np.array([normals], np.float32), NormalConvention(), NormalOptions(**options))
    assert image.dtype == np.uint8
    return image[0].tolist()


@pytest.mark.parametrize(
    ("encoding", "expected"),
    [  # docs/conventions.md, the table of a unit sphere's five points
        (NormalEncoding.BAE, [(127, 127, 255), (237, 127, 193), (18, 127, 192), (127, 237, 193), (127, 18, 192)]),
        (NormalEncoding.OPENGL, [(128, 127, 255), (18, 127, 193), (237, 127, 192), (128, 237, 193), (128, 18, 192)]),
        (NormalEncoding.DIRECTX, [(128, 128, 255), (18, 128, 193), (237, 128, 192), (128, 18, 193), (128, 237, 192)]),
    ],
)
def test_colours_of_a_sphere(encoding: NormalEncoding, expected: list[tuple[int, int, int]]) -> None:
    found = colours(_CENTRE, _LEFT, _RIGHT, _TOP, _BOTTOM, encoding=encoding)
    assert np.abs(np.array(found) - expected).max() <= 2


@pytest.mark.parametrize(
    ("family", "net"),
    [*((f, NetKind.PLAIN) for f in (FamilyId.SD15, FamilyId.SD2, FamilyId.SDXL)), (FamilyId.SDXL, NetKind.UNION)],
)
def test_every_family_s_nets_are_shown_bae(family: FamilyId, net: NetKind) -> None:
    rule = convention(family, ControlKind.NORMAL, net)
    assert isinstance(rule, NormalConvention)
    assert (rule.encoding, rule.background) == (NormalEncoding.BAE, (128, 128, 255))


def test_background_is_exact_and_length_does_not_matter() -> None:
    assert colours((0, 0, 0), (0, 0.5, 0), (0, 1, 0)) == [[128, 128, 255], [128, 255, 128], [128, 255, 128]]


def test_a_normal_that_is_no_direction_is_background() -> None:
    strange = colours((np.nan, 0, 1), (np.inf, 0, 0), (0, -np.inf, np.nan), (0, 0, 1))
    assert strange == [[128, 128, 255], [128, 128, 255], [128, 128, 255], [128, 128, 255]]
    assert colours((1, 0, 0), (np.inf, 0, 0))[0] == [0, 128, 128]


def test_red_and_blue_can_be_swapped() -> None:
    for encoding in (NormalEncoding.BAE, NormalEncoding.OPENGL, NormalEncoding.DIRECTX):
        ordinary = colours(_LEFT, _TOP, encoding=encoding)
        assert colours(_LEFT, _TOP, encoding=encoding, swap_red_blue=True) == [colour[::-1] for colour in ordinary]


def _slopes(metres: Float32Array, **options: object) -> UInt8Array:
    return slope_map(Projection.PERSPECTIVE, metres, NormalConvention(), NormalOptions(**options))


def _ball() -> Float32Array:
    """A ball 3 m away before nothing."""
    rows, columns = (np.mgrid[0:512, 0:512] + 0.5 - 256) / 200
    height = 1 - rows**2 - columns**2
    return np.where(height > 0, 4 - np.sqrt(np.maximum(height, 0)), np.inf).astype(np.float32)


def test_slopes_hold_z_y_x_in_the_order_of_the_net_s_tensor() -> None:
    z, y, x = np.moveaxis(_slopes(_ball()).astype(int), 2, 0)
    # As the README of lllyasviel/ControlNet tells of the (x, y, z) picture: the left is red, the top green.
    assert x[256, 156] > 200 > 55 > x[256, 356]
    assert y[156, 256] > 200 > 55 > y[356, 256]
    assert abs(x[156, 256] - 127) <= 2
    assert abs(y[256, 156] - 127) <= 2
    assert z[256, 256] >= 253  # facing the camera
    assert z.min() >= 127
    assert [z[0, 0], y[0, 0], x[0, 0]] == [255, 127, 127]  # background: no slope


def test_slopes_are_those_of_the_model_card() -> None:
    metres = 2 + np.random.default_rng(2).random((16, 16)).astype(np.float32)
    metres = np.asarray(cv2.resize(metres, (512, 512), interpolation=cv2.INTER_CUBIC), np.float32)
    disparity = 1 / metres
    relative = (disparity - disparity.min()) / np.ptp(disparity)
    raw = 1000 * relative  # as MiDaS's network gives it
    x, y = cv2.Sobel(raw, cv2.CV_32F, 1, 0, ksize=3), cv2.Sobel(raw, cv2.CV_32F, 0, 1, ksize=3)
    x[relative < 0.4] = y[relative < 0.4] = 0
    vectors = np.stack([x, y, np.full_like(x, 2 * np.pi)], axis=2)
    card = (vectors / np.linalg.norm(vectors, axis=2, keepdims=True) * 127.5 + 127.5).clip(0, 255).astype(int)
    assert np.mean(np.abs(_slopes(metres)[:, :, ::-1] - card) > 1) < 1e-3  # but where the threshold falls between


def test_slopes_end_below_the_background_threshold() -> None:
    metres = np.tile(np.linspace(1, 10, 512, dtype=np.float32), (512, 1))
    relative = (1 / metres[0] - 1 / 10) / (1 - 1 / 10)
    for threshold in (0.1, 0.4):
        x = _slopes(metres, background_threshold=threshold)[256, :, 2]
        assert (x[relative < threshold - 1e-3] == 127).all()
        assert (x[1:-1][relative[1:-1] > threshold + 1e-3] < 127).all()


def test_slopes_look_alike_at_every_size() -> None:
    ball = _ball()
    rows, columns = (np.mgrid[0:1024, 0:1024] + 0.5 - 512) / 400
    height = 1 - rows**2 - columns**2
    large = np.where(height > 0, 4 - np.sqrt(np.maximum(height, 0)), np.inf).astype(np.float32)
    difference = _slopes(ball)[200:300, 200:300].astype(int) - _slopes(large)[400:600:2, 400:600:2]
    assert np.abs(difference).max() <= 4


def test_slopes_of_anything_are_finite() -> None:
    metres = np.array([[np.nan, np.inf, -1], [0, 1e-45, 2], [2, 2, 2]], np.float32)
    assert _slopes(metres).shape == (3, 3, 3)
    assert _slopes(np.full((1, 1), np.inf, np.float32)).tolist() == [[[255, 127, 127]]]


def test_an_encoding_and_its_source_must_go_together() -> None:
    with pytest.raises(InvalidRequest, match="choose the midas encoding, and a DepthPass"):
        colours(_CENTRE, encoding=NormalEncoding.MIDAS)
    with pytest.raises(InvalidRequest, match="want a NormalPass"):
        _slopes(_ball(), encoding=NormalEncoding.BAE)
