"""Every style of line map, from one room."""

import cv2
import numpy as np
import pytest
from lines_scene import Seen, blocks, box, ground, see, sphere
from underpaint.backend.worker.conditioning.edges import find_lines
from underpaint.backend.worker.conditioning.lines import draw_lines
from underpaint.backend.worker.conditioning.table import LineConvention, convention
from underpaint.backend.worker.families import FamilyId
from underpaint.protocol.arrays import UInt8Array
from underpaint.protocol.errors import InvalidRequest
from underpaint.protocol.options import LineOptions
from underpaint.protocol.request import ControlKind

KINDS = (
    ControlKind.CANNY,
    ControlKind.LINEART,
    ControlKind.LINEART_ANIME,
    ControlKind.SOFTEDGE,
    ControlKind.SCRIBBLE,
    ControlKind.MLSD,
)


def room(side: int) -> Seen:
    return see(
        ground(-1.4),
        box(0, 0.2, -7, 9, 3.6, 0.2),
        box(-1.2, -1.0, -4.5, 1.2, 0.8, 1.0, turn_deg=20),
        box(1.0, -0.9, -5.0, 0.9, 1.0, 0.9, turn_deg=-35),
        box(0.2, 0.6, -6.8, 1.2, 1.0, 0.1),
        sphere(-1.1, -0.3, -4.5, 0.3),
        side=side,
    )


def rule(kind: ControlKind) -> LineConvention:
    found = convention(FamilyId.SD15, kind)
    assert isinstance(found, LineConvention)
    return found


def drawn(seen: Seen, kind: ControlKind, **options: object) -> UInt8Array:
    chosen = LineOptions(**options)
    passes = (seen.metres, seen.normal_camera, seen.objects, seen.materials)
    image = draw_lines(find_lines(*passes, seen.camera, chosen), rule(kind), chosen)
    assert image.shape == (*seen.metres.shape, 3)
    assert image.dtype == np.uint8
    assert (image == image[:, :, :1]).all()
    return image[:, :, 0]


def stroke_width(seen: Seen, kind: ControlKind, **options: object) -> float:
    """Of the wall's upper edge, in pixels, across."""
    image = drawn(seen, kind, **options).astype(np.float32)
    return float(image[: seen.extent.height // 3, seen.extent.width // 6].sum() / 255)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("side", [64, 256])
def test_every_kind_draws_white_lines_on_black(kind: ControlKind, side: int) -> None:
    image = drawn(room(side), kind)
    assert image.max() >= 200
    assert 0.005 < (image > 0).mean() < 0.5
    assert image[0, 0] == 0


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_and_next_to_nothing_are_drawn_too(kind: ControlKind) -> None:
    assert not drawn(see(side=64), kind).any()
    for shape in ((1, 1), (1, 8), (8, 1), (8, 8)):
        drawn(see(sphere(0, 0, -4, 1.0), side=shape[0], width=shape[1]), kind)


def test_canny_is_one_pixel_wide_black_or_white() -> None:
    image = drawn(room(512), ControlKind.CANNY)
    assert set(np.unique(image)) == {0, 255}
    assert blocks(image) <= 0.01 * (image > 0).sum()


def test_lineart_has_soft_sides_and_lighter_creases() -> None:
    seen = room(512)
    image = drawn(seen, ControlKind.LINEART)
    assert len(np.unique(image)) > 30
    assert 1.0 <= stroke_width(seen, ControlKind.LINEART) <= 3.0
    assert stroke_width(seen, ControlKind.LINEART_ANIME) < stroke_width(seen, ControlKind.LINEART)
    edge = seen.normal_camera[:, 1:, 0] - seen.normal_camera[:, :-1, 0]
    row = 400  # through the upright edge between two faces of a box
    column = int(np.abs(edge[row] * (seen.objects[row, 1:] == 4) * (seen.objects[row, :-1] == 4)).argmax())
    assert 0.5 <= image[row, column - 4 : column + 6].sum() / 255 < 0.8 * stroke_width(seen, ControlKind.LINEART)


@pytest.mark.parametrize(("levels", "shades"), [(None, {0, 127, 255}), (2, {0, 255}), (5, {0, 63, 127, 191, 255})])
def test_softedge_has_as_many_shades_as_wished(levels: int | None, shades: set[int]) -> None:
    assert set(np.unique(drawn(room(256), ControlKind.SOFTEDGE, levels=levels))) == shades


def test_softedge_fades_without_levels() -> None:
    assert len(np.unique(drawn(room(256), ControlKind.SOFTEDGE, levels=0))) > 100


@pytest.mark.parametrize("side", [512, 1024])
def test_scribbles_are_wide_black_or_white(side: int) -> None:
    seen = room(side)
    assert set(np.unique(drawn(seen, ControlKind.SCRIBBLE))) == {0, 255}
    assert 4 <= stroke_width(seen, ControlKind.SCRIBBLE) * 512 / side <= 12


@pytest.mark.parametrize("kind", [ControlKind.LINEART, ControlKind.LINEART_ANIME, ControlKind.SCRIBBLE])
def test_strokes_grow_with_the_picture_unless_a_width_is_wished(kind: ControlKind) -> None:
    small, large = room(256), room(512)
    grown = stroke_width(large, kind) / stroke_width(small, kind)
    assert 1.3 < grown < 2.4
    for seen in (small, large):
        assert stroke_width(seen, kind, width_px=5.0) == pytest.approx(5, abs=0.7)


def test_mlsd_finds_the_room_s_straight_edges() -> None:
    seen = room(512)
    image = drawn(seen, ControlKind.MLSD)
    assert set(np.unique(image)) == {0, 255}
    assert blocks(image) <= 0.01 * (image > 0).sum()
    found = cv2.HoughLinesP(image, 1, np.pi / 360, 18, minLineLength=18, maxLineGap=2)
    assert len(found) > 16
    ball = seen.objects == 6
    assert not image[cv2.erode(ball.astype(np.uint8), np.ones((5, 5), np.uint8)) > 0].any()
    assert (image[ball] > 0).sum() < 60  # nearly nothing of its outline is straight, over 300 pixels
    canny = cv2.dilate(drawn(seen, ControlKind.CANNY), np.ones((3, 3), np.uint8))
    assert (canny[image > 0] > 0).mean() > 0.99


@pytest.mark.parametrize("kind", KINDS)
def test_short_lines_are_left_out_if_wished(kind: ControlKind) -> None:
    assert not drawn(room(128), kind, shortest_px=10_000.0).any()


@pytest.mark.parametrize(
    "options", [{"width_px": 0.0}, {"width_px": float("nan")}, {"shortest_px": -1.0}, {"levels": 1}, {"levels": 999}]
)
def test_impossible_lines_are_refused(options: dict[str, float]) -> None:
    with pytest.raises(InvalidRequest):
        drawn(room(64), ControlKind.SOFTEDGE, **options)


@pytest.mark.parametrize("crease_deg", [-1.0, 181.0, float("nan")])
def test_impossible_angles_are_refused(crease_deg: float) -> None:
    with pytest.raises(InvalidRequest, match="crease"):
        drawn(room(64), ControlKind.CANNY, crease_deg=crease_deg)
