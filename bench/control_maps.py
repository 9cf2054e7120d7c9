"""What each control map costs: medians in milliseconds at three sizes, printed and kept nowhere.

    .venvs/main/bin/python bench/control_maps.py
    .venvs/main/bin/python bench/control_maps.py --sheet maps.png    # and all of them in one picture

The scene is balls over a chequered floor before nothing, its passes computed here; no Blender, no service, no torch.
"""

import argparse
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import cv2
import numpy as np
from underpaint.backend.worker.conditioning import ControlMap, control_map
from underpaint.backend.worker.conditioning.found import FoundLines
from underpaint.backend.worker.conditioning.table import NetKind
from underpaint.backend.worker.families import FamilyId
from underpaint.protocol.ade20k import NAMES
from underpaint.protocol.arrays import AnyArray, ArrayRef, DType, UInt8Array
from underpaint.protocol.geometry import Camera, Extent, Projection
from underpaint.protocol.options import DepthEncoding, DepthOptions, NormalEncoding, NormalOptions, Options
from underpaint.protocol.request import Control, ControlKind
from underpaint.protocol.sources import (
    DepthPass,
    InpaintPass,
    Keypoint,
    LinesPass,
    NormalPass,
    Person,
    PicturePass,
    PosePass,
    Segment,
    SegmentationPass,
    Source,
)

_SIZES = (512, 1024, 2048)
_BALLS = ((-1.2, 0.0, -5.0, 1.0), (1.1, -0.3, -4.2, 0.7), (0.2, 0.9, -7.5, 1.6), (2.4, 0.1, -9.0, 1.1))
_FLOOR_Y = -1.0
_LINES = (
    ControlKind.CANNY,
    ControlKind.LINEART,
    ControlKind.LINEART_ANIME,
    ControlKind.SOFTEDGE,
    ControlKind.SCRIBBLE,
    ControlKind.MLSD,
)


@dataclass(frozen=True, kw_only=True)
class Case:
    """One map."""

    name: str
    kind: ControlKind
    source: Source
    options: Options | None = None
    net: NetKind = NetKind.PLAIN
    family: FamilyId = FamilyId.SD15


def main() -> None:
    """Time every map at every size, and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=5, help="after one to warm up")
    parser.add_argument("--sheet", type=Path, help="a PNG that gets the maps of the smallest size")
    parser.add_argument("--sizes", type=int, nargs="+", default=_SIZES)
    options = parser.parse_args()
    table: dict[str, list[float]] = {}
    together: list[float] = []
    for side in options.sizes:
        cases, read = scene(side)
        pictures: list[tuple[str, ControlMap]] = []
        for case in cases:
            took, (picture,) = _timed([case], side, read, options.runs)
            table.setdefault(case.name, []).append(took)
            pictures.append((case.name, picture))
        together.append(_timed(cases, side, read, options.runs)[0])
        if options.sheet and side == options.sizes[0]:
            cv2.imwrite(str(options.sheet), sheet(pictures)[:, :, ::-1])
    print(f"{'ms per map, median':<26}" + "".join(f"{side:>9}" for side in options.sizes))
    for name, times in table.items():
        print(f"{name:<26}" + "".join(f"{took:9.1f}" for took in times))
    print(f"{'all of them in one request':<26}" + "".join(f"{took:9.1f}" for took in together))


def scene(side: int) -> tuple[list[Case], Callable[[ArrayRef], AnyArray]]:
    """Every map's case, and what reads the arrays that they name."""
    arrays: dict[str, AnyArray] = {}

    def keep(array: AnyArray) -> ArrayRef:
        name = str(len(arrays))
        arrays[name] = array
        return ArrayRef(sha256=name, shape=array.shape, dtype=DType(array.dtype.name))

    camera = Camera(
        projection=Projection.PERSPECTIVE,
        fx_px=side,
        fy_px=side,
        cx_px=side / 2,
        cy_px=side / 2,
        world_from_camera=(1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1),
        clip_start_m=0.1,
        clip_end_m=1000,
    )
    metres, normal, objects, materials = _trace(side)
    depth, normals = keep(metres), keep(normal)
    depth_pass = DepthPass(metres=depth, projection=camera.projection)
    lines = LinesPass(
        metres=depth, normal_camera=normals, objects=keep(objects), materials=keep(materials), camera=camera
    )
    classes = ["floor", "ball", "lamp", "person", "tree"]
    segments = tuple(Segment(name=name, ade20k=NAMES.index(name)) for name in classes)
    segmentation = SegmentationPass(indices=keep(objects - 1), segments=segments, background=NAMES.index("sky"))
    shaded = _shaded(normal, materials)
    picture = PicturePass(image=keep(shaded))
    mask = np.zeros((side, side), np.uint8)
    cv2.circle(mask, (side // 2, side // 2), side // 5, 255, thickness=-1)
    inpaint = InpaintPass(image=picture.image, mask=keep(mask))
    pictures = (ControlKind.TILE, ControlKind.BLUR, ControlKind.GRAY, ControlKind.LOW_QUALITY, ControlKind.SHUFFLE)
    cases = [
        Case(name="depth", kind=ControlKind.DEPTH, source=depth_pass),
        Case(
            name="depth, Zoe",
            kind=ControlKind.DEPTH,
            source=depth_pass,
            options=DepthOptions(encoding=DepthEncoding.LINEAR),
        ),
        Case(name="normal, BAE", kind=ControlKind.NORMAL, source=NormalPass(normal_camera=normals)),
        Case(
            name="normal, OpenGL",
            kind=ControlKind.NORMAL,
            source=NormalPass(normal_camera=normals),
            options=NormalOptions(encoding=NormalEncoding.OPENGL),
        ),
        Case(name="normal, SD 1.0", kind=ControlKind.NORMAL, source=depth_pass),
        Case(name="openpose", kind=ControlKind.OPENPOSE, source=PosePass(people=tuple(_people(side)))),
        *(Case(name=kind, kind=kind, source=lines) for kind in _LINES),
        Case(name="segmentation", kind=ControlKind.SEGMENTATION, source=segmentation),
        Case(
            name="segmentation, union",
            kind=ControlKind.SEGMENTATION,
            source=segmentation,
            net=NetKind.UNION,
            family=FamilyId.SDXL,
        ),
        Case(name="inpaint", kind=ControlKind.INPAINT, source=inpaint),
        Case(name="inpaint, union", kind=ControlKind.INPAINT, source=inpaint, net=NetKind.UNION, family=FamilyId.SDXL),
        *(Case(name=kind, kind=kind, source=picture) for kind in pictures),
    ]
    return cases, lambda ref: arrays[ref.sha256]


def sheet(pictures: list[tuple[str, ControlMap]], *, side: int = 256, columns: int = 6) -> UInt8Array:
    """All maps in one picture, each with its name."""
    tiles: list[UInt8Array] = []
    for name, picture in pictures:
        shown = picture if picture.dtype == np.uint8 else (np.clip(picture, 0, 1) * 255).astype(np.uint8)
        tile = np.asarray(cv2.resize(shown, (side, side), interpolation=cv2.INTER_AREA), np.uint8)
        cv2.putText(tile, name, (6, 18), cv2.FONT_HERSHEY_SIMPLEX, 0.5, (0, 0, 0), 3, cv2.LINE_AA)
        cv2.putText(tile, name, (6, 18), cv2.FONT_HERSHEY_SIMPLEX, 0.5, (255, 255, 255), 1, cv2.LINE_AA)
        tiles.append(tile)
    tiles += [np.zeros((side, side, 3), np.uint8)] * (-len(tiles) % columns)
    return np.vstack([np.hstack(tiles[row : row + columns]) for row in range(0, len(tiles), columns)])


def _timed(
    cases: list[Case], side: int, read: Callable[[ArrayRef], AnyArray], runs: int
) -> tuple[float, list[ControlMap]]:
    """The median time of making these maps one after another, as the worker does for a request, and the maps."""
    took: list[float] = []
    images: list[ControlMap] = []
    for _ in range(runs + 1):
        lines = FoundLines()  # the kinds that are drawn from lines share them
        began = time.perf_counter()
        images = [
            control_map(
                Control(kind=case.kind, source=case.source, options=case.options),
                family=case.family,
                net=case.net,
                extent=Extent(width=side, height=side),
                read=read,
                detect=_no_detector,
                lines=lines,
            )
            for case in cases
        ]
        took.append(1e3 * (time.perf_counter() - began))
    return median(took[1:]), images


def _no_detector(*_: Any, **__: Any) -> UInt8Array:
    raise AssertionError("no photo is among the cases")


def _trace(side: int) -> tuple[AnyArray, AnyArray, AnyArray, AnyArray]:
    """Depth, normals, objects and materials of the balls over the floor, seen from the origin along -z."""
    rows, columns = (np.mgrid[0:side, 0:side].astype(np.float32) + 0.5) / side - 0.5
    rays = np.stack([columns, -rows, -np.ones_like(rows)], axis=2)  # their length is the depth's unit
    depth = np.full((side, side), np.inf, np.float32)
    normal = np.zeros((side, side, 3), np.float32)
    objects, materials = np.zeros((side, side), np.int32), np.zeros((side, side), np.int32)
    with np.errstate(divide="ignore"):
        floor = _FLOOR_Y / rays[:, :, 1]
    hit = (floor > 0) & (floor < 60)
    place = rays * floor[:, :, None]
    depth[hit], normal[hit], objects[hit] = floor[hit], (0, 1, 0), 1
    materials[hit] = (1 + (np.floor(place[:, :, 0]) + np.floor(place[:, :, 2])) % 2)[hit].astype(np.int32)
    for number, (x, y, z, radius) in enumerate(_BALLS):
        centre = np.array((x, y, z), np.float32)
        along = rays @ centre / np.einsum("hwc,hwc->hw", rays, rays)
        away = np.linalg.norm(rays * along[:, :, None] - centre, axis=2)
        inside = away < radius
        half = np.sqrt(np.maximum(radius**2 - away**2, 0)) / np.linalg.norm(rays, axis=2)
        distance = along - half
        nearer = inside & (distance < depth)
        depth[nearer] = distance[nearer]
        normal[nearer] = ((rays * distance[:, :, None] - centre) / radius)[nearer]
        objects[nearer], materials[nearer] = number + 2, number + 3
    return depth, normal, objects, materials


def _shaded(normal: AnyArray, materials: AnyArray) -> UInt8Array:
    colours = np.array(
        [(150, 190, 230), (200, 190, 170), (90, 70, 60), (210, 60, 50), (60, 140, 210), (240, 200, 60), (90, 170, 90)]
    )
    light = 0.35 + 0.65 * np.clip(normal @ np.array((-0.4, 0.7, 0.6)), 0, 1)
    light[materials == 0] = 1
    return (colours[materials] * light[:, :, None]).astype(np.uint8)


def _people(side: int) -> list[Person]:
    joints = [
        (0, -30), (0, -20), (-10, -20), (-20, -14), (-26, -2), (10, -20), (20, -26), (26, -38), (-6, 5),
        (-8, 20), (-7, 35), (6, 5), (9, 20), (8, 35), (-2, -32), (2, -32), (-5, -31), (5, -31),
    ]  # fmt: skip
    unit = side / 100
    return [
        Person(
            body=tuple(Keypoint(x_px=side * x + dx * unit, y_px=side / 2 + dy * unit) for dx, dy in joints),
            depth_m=4 + number,
        )
        for number, x in enumerate((0.3, 0.55, 0.75))
    ]


if __name__ == "__main__":
    main()
