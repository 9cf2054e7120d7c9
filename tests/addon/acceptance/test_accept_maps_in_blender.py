"""Acceptance figures of control maps from Blender's own render to what the worker makes of it."""

import math
from collections.abc import Callable
from typing import Any

import bpy
import numpy as np
import pytest
from mathutils import Vector
from underpaint.addon import controls, segmentation
from underpaint.addon.capture import Capture, Wants, capture, depth_range
from underpaint.addon.controls import ControlSettings
from underpaint.protocol import client
from underpaint.protocol.client import Connection
from underpaint.protocol.geometry import Extent
from underpaint.protocol.options import DepthOptions, NormalEncoding, NormalOptions
from underpaint.protocol.request import ControlKind, ControlMapsRequest

Accept = Callable[..., None]
Array = np.ndarray[Any, Any]

# docs/conventions.md, the table of a sphere: centre, 60 degrees left, right, top and bottom, outside.
BAE = ((127, 127, 255), (237, 127, 193), (18, 127, 192), (127, 237, 193), (127, 18, 192), (128, 128, 255))
FRAMES = 24
NOISE = 8  # of 255: the world itself varies by 2 in a picture that Cycles rendered and denoised


def look_at_origin(camera: Any, place: tuple[float, float, float]) -> None:
    camera.location = place
    camera.rotation_euler = (-Vector(place)).to_track_quat("-Z", "Y").to_euler()


def maps(backend: Connection, seen: list[Capture], settings: list[ControlSettings], scene: Any) -> list[Array]:
    """The control map of each capture and settings, as the worker makes it."""
    classes = segmentation.classes(scene)
    asked = tuple(
        controls.control(item, each, classes, backend.upload) for each, item in zip(seen, settings, strict=True)
    )
    found: list[Array] = []
    for first in range(0, len(asked), 12):  # a request holds sixteen at most
        request = ControlMapsRequest(size=seen[0].extent, controls=asked[first : first + 12])
        job = client.wait(backend, backend.submit(request, client="test"))
        assert job.result is not None
        found += [backend.download(ref) for ref in job.result.control_maps]
    return found


# ---------------------------------------------------------------------------------------------- 4: normals


@pytest.mark.parametrize("place", [(0, -8, 0), (8, 0, 0), (0, 0, 8)], ids=["front", "side", "above"])
def test_a_sphere_has_the_colours_of_the_table(
    scene: Any, backend: Connection, accept: Accept, place: tuple[float, float, float]
) -> None:
    bpy.data.objects.remove(bpy.data.objects["Cube"])
    bpy.ops.mesh.primitive_uv_sphere_add(segments=256, ring_count=128, radius=1)
    bpy.ops.object.shade_smooth()
    scene.camera.data.type = "ORTHO"
    scene.camera.data.ortho_scale = 512 / 200  # the sphere's radius is 200 pixels
    look_at_origin(scene.camera, place)
    seen = capture(scene, extent=Extent(width=512, height=512))
    (image,) = maps(backend, [seen], [ControlSettings(kind=ControlKind.NORMAL)], scene)
    aside = round(200 * math.sin(math.radians(60)))
    places = ((0, 0), (0, -aside), (0, aside), (-aside, 0), (aside, 0))
    found = [image[256 + down, 256 + right] for down, right in places] + [image[4, 4]]
    off = np.abs(np.array(found, int) - BAE)
    accept(4, f"BAE colours of a rendered sphere at five points, from {place}", off[:5].max(), 3, unit="/255")
    accept(4, f"BAE background of a rendered sphere, from {place}", off[5].max(), 0, unit="/255")


# ---------------------------------------------------------------------------------------------- 11: row order


def person(scene: Any, x: float, z: float) -> None:
    """An armature with Unreal's names, 1.2 m high, its feet at (x, -1, z)."""
    data = bpy.data.armatures.new("Man")
    rig = bpy.data.objects.new("Man", data)
    scene.collection.objects.link(rig)
    bpy.context.view_layer.objects.active = rig
    bpy.ops.object.mode_set(mode="EDIT")
    bones: dict[str, tuple[tuple[float, float], tuple[float, float]]] = {"head": ((0, 1.55), (0, 1.74))}
    for side, name in ((1, "l"), (-1, "r")):
        bones |= {
            f"upperarm_{name}": ((0.19 * side, 1.42), (0.45 * side, 1.40)),
            f"lowerarm_{name}": ((0.45 * side, 1.40), (0.70 * side, 1.39)),
            f"hand_{name}": ((0.70 * side, 1.39), (0.80 * side, 1.39)),
            f"thigh_{name}": ((0.10 * side, 0.94), (0.11 * side, 0.50)),
            f"calf_{name}": ((0.11 * side, 0.50), (0.11 * side, 0.09)),
            f"foot_{name}": ((0.11 * side, 0.09), (0.11 * side, 0.02)),
        }
    for name, ((head_x, head_z), (tail_x, tail_z)) in bones.items():
        bone = data.edit_bones.new(name)
        bone.head, bone.tail = (head_x, 0, head_z), (tail_x, -0.02, tail_z)
    chain = {"lowerarm": "upperarm", "hand": "lowerarm", "calf": "thigh", "foot": "calf"}
    for bone in data.edit_bones:
        stem, _, side = bone.name.partition("_")
        bone.parent = data.edit_bones.get(f"{chain.get(stem)}_{side}")
    bpy.ops.object.mode_set(mode="OBJECT")
    rig.location, rig.scale = (x, -1, z), (0.7, 0.7, 0.7)


# Every kind but shuffle, which leaves nothing where it was. The second normal map is SD 1.0's, out of the depth.
CORNER = {
    kind: ControlSettings(kind=kind) for kind in ControlKind if kind not in (ControlKind.SHUFFLE, ControlKind.INPAINT)
}


def test_a_cube_at_the_top_right_is_at_the_top_right_of_every_map(
    scene: Any, backend: Connection, accept: Accept
) -> None:
    cube = bpy.data.objects["Cube"]
    cube.name = "Chair"  # which segmentation knows
    cube.location, cube.scale, cube.rotation_euler = (1.8, 0, 1.8), (0.5, 0.5, 0.5), (0.4, 0.3, 0.5)
    paint = bpy.data.materials.new("Paint")
    if bpy.app.version < (5, 0):
        paint.use_nodes = True  # always so since 5.0, where setting it is deprecated
    paint.node_tree.nodes["Principled BSDF"].inputs["Emission Color"].default_value = (1, 0.1, 0.05, 1)
    paint.node_tree.nodes["Principled BSDF"].inputs["Emission Strength"].default_value = 1.0
    cube.data.materials[0] = paint
    look_at_origin(scene.camera, (0, -10, 0))  # it sees 3.6 m to each side
    person(scene, 1.8, 1.2)
    settings = [
        *CORNER.values(),
        ControlSettings(kind=ControlKind.INPAINT, mask_objects=frozenset({"Chair"})),
        ControlSettings(kind=ControlKind.NORMAL, options=NormalOptions(encoding=NormalEncoding.MIDAS)),
    ]
    seen = capture(scene, extent=Extent(width=256, height=256), wants=Wants(ids=True, beauty=True))
    images = maps(backend, [seen] * len(settings), settings, scene)
    for item, image in zip(settings, images, strict=True):
        eight_bit = image * (255.0 if image.dtype == np.float32 else 1.0)  # inpaint
        shown = np.abs(eight_bit - eight_bit[-1, 0]).max(axis=2)  # what differs from the lower left corner
        shown[shown <= NOISE] = 0
        assert shown.any(), f"the {item.kind} map is blank"
        elsewhere = shown.sum() - shown[:128, 128:].sum()
        what = f"{item.kind}{', SD 1.0' if item.options is not None else ''}: part of the cube not at the top right"
        accept(11, what, elsewhere / shown.sum(), 0)


# ---------------------------------------------------------------------------------------------- 31: flicker


def test_a_locked_range_keeps_the_background_from_flickering(scene: Any, backend: Connection, accept: Accept) -> None:
    cube = bpy.data.objects["Cube"]
    bpy.ops.mesh.primitive_plane_add(size=60, location=(0, 9, 0), rotation=(math.radians(70), 0, 0))
    look_at_origin(scene.camera, (0, -10, 0))
    for number, place in ((1, (-1, -4, 0)), (FRAMES, (1, 5, 0.5))):  # from before the camera to the wall
        cube.location = place
        cube.keyframe_insert("location", frame=number)
    frames = range(1, FRAMES + 1)
    near_m, far_m = depth_range(scene, frames=frames)
    seen = [capture(scene, frame=number, wants=Wants(ids=True)) for number in frames]
    wall = 1 + seen[0].object_names.index("Plane")
    background = np.logical_and.reduce([each.object_ids == wall for each in seen])
    assert background.mean() > 0.3

    def flicker(options: DepthOptions) -> float:
        images = maps(backend, seen, [ControlSettings(kind=ControlKind.DEPTH, options=options)] * FRAMES, scene)
        greys = np.stack([image[background][:, 0].astype(int) for image in images])
        assert len(np.unique(greys[0])) > 10  # a wall with a slope
        return float(np.ptp(greys, axis=0).max())

    assert flicker(DepthOptions()) > 20  # the cube's distance takes the range along
    locked = flicker(DepthOptions(near_m=near_m, far_m=far_m))
    accept(31, f"locked range: change of the background's grey over {FRAMES} frames", locked, 0, unit="/255")
