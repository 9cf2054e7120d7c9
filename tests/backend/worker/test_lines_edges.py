"""Where lines lie, on scenes whose edges are known."""

from dataclasses import replace

import cv2
import numpy as np
import pytest
from lines_scene import Seen, blocks, box, faceted, ground, see, solid, sphere
from underpaint.backend.worker.conditioning.edges import LineKind
from underpaint.protocol.arrays import UInt8Array


def border(inside: np.ndarray) -> np.ndarray:
    """The pixels of a region that touch its outside; a border of the picture is none."""
    padded = np.pad(inside, 1, mode="edge")
    return inside & ~(padded[:-2, 1:-1] & padded[2:, 1:-1] & padded[1:-1, :-2] & padded[1:-1, 2:])


def near(lines: UInt8Array, mask: np.ndarray, least: float = 1.0) -> bool:
    """Whether every line lies within a pixel of the mask, and this part of the mask's pixels of a line."""
    square = np.ones((3, 3), np.uint8)
    around_mask = cv2.dilate(mask.astype(np.uint8), square) > 0
    around_lines = cv2.dilate((lines > 0).astype(np.uint8), square) > 0
    return bool(around_mask[lines > 0].all() and around_lines[mask].mean() >= least)


@pytest.mark.parametrize("parallel", [False, True])
def test_a_sphere_has_its_silhouette_alone(parallel: bool) -> None:
    seen = see(sphere(0.1, 0, -4, 1.0), side=256, parallel=parallel)
    lines = seen.lines()
    assert set(np.unique(lines)) == {0, LineKind.SILHOUETTE}
    assert (seen.objects[lines > 0] == 1).all()
    assert near(lines, border(seen.objects == 1))
    assert blocks(lines) == 0
    assert cv2.connectedComponents((lines > 0).astype(np.uint8))[0] == 2  # one ring, closed: it parts the picture
    assert cv2.connectedComponents((lines == 0).astype(np.uint8), connectivity=4)[0] == 3


@pytest.mark.parametrize("faces", [60, 150, 600])
def test_a_coarse_ball_that_is_shaded_smooth_shows_no_faces(faces: int) -> None:
    seen = see(faceted(0, 0, -4, 1.0, faces, smooth=True), side=256)
    lines = seen.lines()
    assert near(lines, border(seen.objects == 1))


def test_a_coarse_ball_that_is_shaded_flat_shows_the_faces_that_bend_enough() -> None:
    seen = see(faceted(0, 0, -4, 1.0, 24, smooth=False), side=256)
    creases = seen.lines() == LineKind.CREASE
    assert creases.sum() > 300
    assert not (seen.lines(crease_deg=90.0) == LineKind.CREASE).any()
    assert not (seen.lines(creases=False) == LineKind.CREASE).any()


@pytest.mark.parametrize("side", [64, 256, 512])
def test_an_endless_floor_has_its_horizon_alone(side: int) -> None:
    seen = see(ground(-1.6), side=side)
    lines = seen.lines()
    rows, columns = np.nonzero(lines)
    assert set(rows) == {side // 2}
    assert set(columns) == set(range(side))


def test_a_steep_floor_has_no_lines_in_a_parallel_projection() -> None:
    tilted = np.radians(88)
    plane = np.array([[0.0, np.sin(tilted), np.cos(tilted)]])
    seen = see(solid(plane, plane @ np.array([0.0, 0.0, -100.0])), parallel=True)
    assert np.isfinite(seen.metres).all()
    assert not seen.lines().any()


def test_a_box_has_its_outline_and_the_edges_between_its_visible_faces() -> None:
    seen = see(box(0, -1.2, -5, 2, 1, 2, turn_deg=30), side=256)
    lines = seen.lines()
    facing = np.unique(seen.normal_camera[seen.objects == 1].round(4), axis=0)
    assert len(facing) == 3
    edges = np.zeros(seen.metres.shape, bool)
    for normal in facing:
        face = (np.abs(seen.normal_camera - normal) < 1e-3).all(axis=2) & (seen.objects == 1)
        edges |= border(face)
    assert near(lines, edges, 0.98)  # where an edge runs into another, both are one
    assert (lines == LineKind.CREASE).sum() > 50
    assert blocks(lines) == 0
    without = seen.lines(creases=False)
    assert near(without, border(seen.objects == 1))


def test_a_line_between_two_depths_lies_on_what_is_in_front() -> None:
    seen = see(box(0.3, 0.2, -3, 1, 1, 0.1), box(-0.2, -0.1, -6, 3, 2.4, 0.1), side=256)
    lines = seen.lines()
    outer = border(seen.objects > 0) | border(seen.objects == 1)
    assert near(lines, outer)
    ring = cv2.dilate((seen.objects == 1).astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
    around = ring & (seen.objects == 2)
    assert around.sum() > 200
    assert (lines[around] > 0).sum() <= 2  # where the farther one's own outline ends


def test_objects_and_materials_that_lie_in_one_plane_are_parted_if_wished() -> None:
    seen = see(ground(-1.6), side=128)
    square = (np.indices((128, 128)).sum(axis=0) * 0 + np.indices((128, 128))[1] > 60).astype(np.int32) + 1
    floor = seen.objects == 1
    two = replace(seen, objects=np.where(floor, square, 0).astype(np.int32))
    assert (two.lines()[70:, 61] == LineKind.OBJECT).all()
    assert not two.lines(objects=False)[70:].any()
    painted = replace(seen, materials=np.where(floor, square, 0).astype(np.int32))
    assert (painted.lines()[70:, 61] == LineKind.MATERIAL).all()
    assert not painted.lines(materials=False)[70:].any()


def test_a_checker_has_lines_one_pixel_wide() -> None:
    seen = see(ground(-1.6), side=256)
    height, width = seen.metres.shape
    fields = (np.arange(height)[:, None] // 20 + np.arange(width)[None] // 20) % 2
    painted = replace(seen, materials=np.where(seen.objects == 1, fields + 1, 0).astype(np.int32))
    lines = painted.lines()
    assert (lines == LineKind.MATERIAL).sum() > 1000
    assert blocks(lines) <= 0.01 * (lines > 0).sum()


@pytest.mark.parametrize("thick_px", [1, 2])
def test_a_thin_wire_is_one_line(thick_px: int) -> None:
    pixel = 4 / 128
    wire = box(pixel * (thick_px % 2) / 2, 0, -3, thick_px * pixel, 6, 0.02)
    seen = see(wire, box(0, 0, -6, 9, 9, 0.1), side=128, parallel=True)
    assert (seen.objects[64] == 1).sum() == thick_px
    lines = seen.lines()
    assert ((lines[8:-8] > 0).sum(axis=1) == 1).all()


def test_bump_maps_draw_nothing() -> None:
    seen = see(box(0, 0, -5, 20, 20, 0.1), side=128)
    rng = np.random.default_rng(3)
    bumpy = seen.normal_camera + rng.normal(0, 0.5, seen.normal_camera.shape)
    bumpy /= np.linalg.norm(bumpy, axis=2, keepdims=True)
    stripes = seen.normal_camera.copy()
    stripes[:, ::16] = (0.8, 0.0, 0.6)
    for normal in (bumpy, stripes):
        assert not replace(seen, normal_camera=normal.astype(np.float32)).lines().any()


def test_a_bevel_is_one_line_between_its_faces() -> None:
    """A wall and a floor that meet in a rounding of three pixels."""
    side = 512
    rows = np.arange(side) - 60.0
    angle = np.radians(80) * np.clip((rows + 1.5) / 3, 0, 1)  # a wall above, a floor below
    normal = np.zeros((side, side, 3), np.float32)
    normal[:, :, 1], normal[:, :, 2] = np.sin(angle)[:, None], np.cos(angle)[:, None]
    slope = np.tan(angle)[:, None]  # toward the viewer, downwards
    seen = see(box(0, 0, -50, 200, 200, 0.1), side=side, parallel=True)
    pixel = 4 / side
    metres = seen.metres - np.cumsum(slope, axis=0).astype(np.float32) * pixel
    lines = replace(seen, metres=metres, normal_camera=normal).lines()
    rows_with = np.nonzero(lines)[0]
    assert ((lines[:, 8:-8] > 0).sum(axis=0) == 1).all()
    assert np.abs(rows_with - 60).max() <= 2


@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (9, 1), (2, 2), (8, 8), (8, 64)])
def test_small_pictures_have_lines_of_their_size(shape: tuple[int, int]) -> None:
    seen = see(sphere(0, 0, -4, 1.0), side=shape[0], width=shape[1])
    assert seen.lines().shape == shape


def test_nothing_in_view_draws_nothing() -> None:
    assert not see(side=64).lines().any()


def broken(seen: Seen) -> Seen:
    metres, normal = seen.metres.copy(), seen.normal_camera.copy()
    metres[20:24, 20:24], metres[40, 40], metres[41, 41] = np.nan, -1.0, 0.0
    normal[50:54, 50:54], normal[80, 80] = np.nan, np.inf
    normal[90:94, 90:94] = 0
    return replace(seen, metres=metres, normal_camera=normal)


def test_what_is_no_number_is_no_surface() -> None:
    seen = broken(see(box(0, 0, -5, 20, 20, 0.1), side=128))
    lines = seen.lines()
    assert near(lines[:48, :48], border(np.isfinite(seen.metres) & (seen.metres > 0))[:48, :48])
    assert not lines[48:, 48:].any()


def test_hidden_surfaces_of_one_object_have_silhouettes() -> None:
    """A plate in front of another of the same object, as far apart as a book is thick, seen at a slant."""
    seen = see(box(-0.5, 0, -4.9, 1, 9, 0.1, turn_deg=40), box(0, 0, -6, 30, 30, 0.1, turn_deg=40), side=256)
    one = replace(seen, objects=np.minimum(seen.objects, 1), materials=np.minimum(seen.materials, 1))
    lines = one.lines(creases=False)
    assert near(lines, border(seen.objects == 1))


def test_hair_is_outlined_and_not_filled() -> None:
    """Strands a pixel wide with as much room between them, before a wall."""
    seen = see(box(0, 0, -6, 30, 30, 0.1), side=256, parallel=True)
    rows, columns = np.indices(seen.metres.shape)
    strands = (np.hypot(rows - 128, columns - 128) < 80) & (columns % 2 == 0)
    metres = np.where(strands, seen.metres - 1 - 0.1 * np.sin(columns), seen.metres).astype(np.float32)
    hairy = replace(seen, metres=metres, objects=np.where(strands, 2, 1).astype(np.int32))
    lines = hairy.lines() > 0
    distance = np.hypot(rows - 128, columns - 128)
    assert not lines[distance < 70].any()
    angle = np.degrees(np.arctan2(rows - 128, columns - 128))[lines]
    assert (np.histogram(angle, bins=24, range=(-180, 180))[0] > 0).all()
