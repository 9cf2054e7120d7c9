"""Lines are looked for once for all the kinds of control that draw the same ones."""

import dataclasses

import numpy as np
import pytest
from underpaint.backend.blobstore import BlobStore
from underpaint.backend.worker.conditioning.edges import find_lines
from underpaint.backend.worker.conditioning.found import FoundLines
from underpaint.protocol.arrays import UInt8Array
from underpaint.protocol.geometry import Camera, Extent, Projection
from underpaint.protocol.options import LineOptions
from underpaint.protocol.sources import LinesPass
from worker_scene import depth_pass, normal_pass

SIZE = Extent(width=64, height=64)
CAMERA = Camera(
    projection=Projection.PERSPECTIVE, fx_px=64, fy_px=64, cx_px=32, cy_px=32,
    world_from_camera=(1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1), clip_start_m=0.1, clip_end_m=100,
)  # fmt: skip


@pytest.fixture(scope="module")
def source(blobs: BlobStore) -> LinesPass:
    metres = depth_pass(blobs, SIZE).metres
    objects = np.isfinite(blobs.read_array(metres)).astype(np.int32)
    objects[48:] *= 2
    ids = blobs.write_array(objects)
    normal = normal_pass(blobs, SIZE).normal_camera
    return LinesPass(metres=metres, normal_camera=normal, objects=ids, materials=ids, camera=CAMERA)


def find(lines: FoundLines, blobs: BlobStore, source: LinesPass, options: LineOptions) -> UInt8Array:
    refs = (source.metres, source.normal_camera, source.objects, source.materials)
    return lines.find(source, *(blobs.read_array(ref) for ref in refs), options)


def test_drawing_them_otherwise_finds_no_others(blobs: BlobStore, source: LinesPass) -> None:
    lines = FoundLines()
    first = find(lines, blobs, source, LineOptions())
    assert first.any()
    for options in (LineOptions(width_px=9), LineOptions(shortest_px=40), LineOptions(levels=4)):
        assert find(lines, blobs, source, options) is first
    assert lines.searches == 1


def test_other_lines_are_looked_for(blobs: BlobStore, source: LinesPass) -> None:
    lines = FoundLines()
    refs = (source.metres, source.normal_camera, source.objects, source.materials)
    arrays = [blobs.read_array(ref) for ref in refs]
    choices = [
        LineOptions(), LineOptions(silhouettes=False), LineOptions(creases=False), LineOptions(crease_deg=70),
        LineOptions(objects=False), LineOptions(materials=False),
    ]  # fmt: skip
    for options in choices:
        assert (find(lines, blobs, source, options) == find_lines(*arrays, source.camera, options)).all()
    assert lines.searches == len(choices)
    moved = dataclasses.replace(source, camera=dataclasses.replace(CAMERA, fx_px=80))
    find(lines, blobs, moved, LineOptions())
    assert lines.searches == len(choices) + 1


def test_what_is_kept_can_not_be_spoiled(blobs: BlobStore, source: LinesPass) -> None:
    with pytest.raises(ValueError, match="read-only"):
        find(FoundLines(), blobs, source, LineOptions())[0, 0] = 1
