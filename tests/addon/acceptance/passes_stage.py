"""A scene with something of every pass, built and rendered by the same code on every version of Blender.

    python passes_stage.py TARGET.npz

writes its passes; the tests run that with the other versions' Pythons.
"""

import sys
from typing import Any

import bpy
import numpy as np
from mathutils import Vector

CAMERAS: dict[str, dict[str, Any]] = {
    "perspective": {},
    "orthographic": {"data.type": "ORTHO"},
    "shift": {"data.shift_x": 0.2, "data.shift_y": -0.1},
    "orthographic, shift": {"data.type": "ORTHO", "data.shift_x": 0.1, "data.shift_y": 0.2},
    "portrait": {"render.resolution_y": 160},
    "portrait, horizontal fit": {"data.sensor_fit": "HORIZONTAL", "render.resolution_y": 160},
    "vertical fit": {"data.sensor_fit": "VERTICAL", "data.sensor_height": 30.0},
    "pixel aspect 1.5": {"render.pixel_aspect_x": 1.5},
    "pixel aspect 1:1.5": {"render.pixel_aspect_y": 1.5, "data.shift_y": 0.1},
    "resolution percentage 50": {
        "render.resolution_x": 256,
        "render.resolution_y": 192,
        "render.resolution_percentage": 50,
    },
    "scaled camera": {"camera.scale": (2.0, 3.0, 0.5)},
}
MOVING = ("Monkey", "Tilted")


def look_at_origin(scene: Any, x: float, y: float, z: float) -> None:
    """Put the camera there."""
    scene.camera.location = (x, y, z)
    scene.camera.rotation_euler = Vector((-x, -y, -z)).to_track_quat("-Z", "Y").to_euler()


def stage() -> dict[str, np.ndarray]:
    """Build the scene in a fresh file, and its passes at frame 4.5."""
    from underpaint.addon.capture import People, Wants, capture

    bpy.ops.wm.read_factory_settings()
    scene = bpy.context.scene
    scene.render.engine = "UNDERPAINT"
    scene.render.resolution_x, scene.render.resolution_y, scene.render.resolution_percentage = 256, 192, 100
    bpy.data.objects.remove(bpy.data.objects["Cube"])
    look_at_origin(scene, 4, -6, 3)
    scene.camera.data.shift_x = 0.05
    paints = [bpy.data.materials.new(name) for name in ("Chalk", "Ink", "Moss")]
    for number, (add, name, place) in enumerate(_THINGS):
        add(location=place)
        thing = bpy.context.object
        thing.name = name
        thing.data.materials.append(paints[number % 3])
        thing.rotation_euler = (0.1 * number, 0.2 * number, 0.3)
    # Of a flat-shaded mesh this fine, one pixel's centre lies within rounding of an edge, and its normal is either
    # facet's: 0.04 apart between 4.2 and 5.0.
    bpy.data.objects["Monkey"].data.shade_smooth()
    bpy.data.objects["Monkey"].modifiers.new("Subdivision", "SUBSURF").render_levels = 2
    for name in MOVING:
        thing = bpy.data.objects[name]
        thing.keyframe_insert("location", frame=1)
        thing.location.x += 1.5
        thing.keyframe_insert("location", frame=9)
    seen = capture(scene, frame=4.5, people=People.LEFT_OUT, wants=Wants(ids=True, uv=True, motion=True))
    names = ("depth_m", "normal_camera", "position_m", "alpha", "uv", "motion_px", "object_ids", "material_ids")
    return {name: getattr(seen, name) for name in names} | {"facing": _facing(seen)}


def _facing(seen: Any) -> np.ndarray:
    """The cosine between each pixel's normal and the way to the eye; 0 where nothing is hit."""
    camera = seen.camera
    columns, rows = np.meshgrid(np.arange(seen.width) + 0.5, np.arange(seen.height) + 0.5)
    to_eye = np.stack(
        [(camera.cx_px - columns) / camera.fx_px, (rows - camera.cy_px) / camera.fy_px, np.ones_like(rows)], axis=-1
    )
    to_eye /= np.linalg.norm(to_eye, axis=-1, keepdims=True)
    return (seen.normal_camera * to_eye).sum(axis=-1).astype(np.float32)


def wide_stage() -> None:
    """64,000 faces in a fresh file: a sphere of 250 x 128 segments and a grid of as many, in view."""
    bpy.ops.wm.read_factory_settings()
    scene = bpy.context.scene
    scene.render.engine = "UNDERPAINT"
    bpy.data.objects.remove(bpy.data.objects["Cube"])
    bpy.ops.mesh.primitive_uv_sphere_add(segments=250, ring_count=128, radius=1, location=(0, 0, 1))
    bpy.ops.object.shade_smooth()
    bpy.ops.mesh.primitive_grid_add(x_subdivisions=200, y_subdivisions=160, size=10)
    look_at_origin(scene, 3, -4, 3)
    assert 63_000 < sum(len(thing.data.polygons) for thing in scene.objects if thing.type == "MESH") < 65_000


_THINGS = (
    (bpy.ops.mesh.primitive_plane_add, "Floor", (0, 0, -1)),
    (bpy.ops.mesh.primitive_monkey_add, "Monkey", (-0.5, 0, 0.6)),
    (bpy.ops.mesh.primitive_cube_add, "Tilted", (1.8, 1, 0)),
    (bpy.ops.mesh.primitive_torus_add, "Torus", (-1.5, 1.5, 0)),
    (bpy.ops.mesh.primitive_uv_sphere_add, "Ball", (0.5, -2, -0.3)),
)


if __name__ == "__main__":
    from underpaint import addon

    addon.register()
    np.savez(sys.argv[1], **stage())
