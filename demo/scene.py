"""The demo's scene: a figure in the corner of a furnished room, a camera and the light of a late morning."""

import math
from pathlib import Path
from typing import Any

import bpy
from mathutils import Matrix, Vector

from . import figure, room

SIZE = 512
CAMERA = "Camera"


def build(size: int = SIZE) -> Any:
    """Replace whatever is open by the demo's scene and return it."""
    bpy.ops.wm.read_factory_settings(use_empty=True)
    scene = bpy.context.scene
    scene.name = "Corner"
    furniture = _collection(scene, "Room")
    people = _collection(scene, "People")
    lights = _collection(scene, "Light and Camera")
    room.build(furniture)
    figure.build(people, location=(0.02, 0.1, room.RUG_M), turn=math.radians(10))
    _camera(scene, lights)
    _light(scene, lights)
    _render_settings(scene, size)
    return scene


def save(path: Path, size: int = SIZE) -> None:
    """Build the scene and leave it in a .blend file."""
    build(size)
    bpy.context.preferences.filepaths.save_version = 0  # no .blend1 beside it
    bpy.ops.wm.save_as_mainfile(filepath=str(path), compress=True)


def _collection(scene: Any, name: str) -> Any:
    made = bpy.data.collections.new(name)
    scene.collection.children.link(made)
    return made


def _camera(scene: Any, collection: Any) -> None:
    data = bpy.data.cameras.new(CAMERA)
    data.lens = 50
    data.clip_end = 50
    made = bpy.data.objects.new(CAMERA, data)
    made.matrix_world = _looking((1.95, -3.05, 1.42), (-0.2, 0.25, 0.99))
    collection.objects.link(made)
    scene.camera = made


def _light(scene: Any, collection: Any) -> None:
    """Sun through the window as the key, two soft fills, a lamp that is on, and a pale sky."""
    # A spot from far away: Cycles' light tree gives a real sun too few samples beside lamps that are near.
    sun = _lamp(
        collection, "Sun", "SPOT", (-9.65, 2.79, 8.43), (-1.65, 0.55, 1.63), energy=36000, colour=(1.0, 0.84, 0.64)
    )
    sun.spot_size = math.radians(14)
    sun.shadow_soft_size = 0.06
    key = _lamp(collection, "Key", "AREA", (-0.9, -2.6, 2.9), (0.0, 0.1, 1.1), energy=34, colour=(1.0, 0.93, 0.84))
    key.size = 1.5
    fill = _lamp(collection, "Fill", "AREA", (3.0, -0.8, 2.3), (0.1, 0.2, 1.0), energy=26, colour=(0.80, 0.89, 1.0))
    fill.size = 2.0
    bulb = _lamp(collection, "Bulb", "POINT", (-1.36, 0.93, 1.13), (0, 0, 0), energy=5, colour=(1.0, 0.75, 0.45))
    bulb.shadow_soft_size = 0.04
    world = bpy.data.worlds.new("Pale Sky")
    if bpy.app.version < (5, 0):
        world.use_nodes = True  # always so since 5.0, where setting it is deprecated
    sky = next(node for node in world.node_tree.nodes if node.type == "BACKGROUND")
    sky.inputs["Color"].default_value = (0.66, 0.80, 1.0, 1.0)
    sky.inputs["Strength"].default_value = 0.5
    scene.world = world


def _lamp(collection: Any, name: str, kind: str, place: Any, target: Any, *, energy: float, colour: Any) -> Any:
    data = bpy.data.lights.new(name, kind)
    data.energy = energy
    data.color = colour
    made = bpy.data.objects.new(name, data)
    made.matrix_world = _looking(place, target)
    collection.objects.link(made)
    return data


def _looking(place: Any, target: Any) -> Matrix:
    """At a place, looking along -z at a target, upright."""
    turn = (Vector(target) - Vector(place)).to_track_quat("-Z", "Y")
    return Matrix.Translation(place) @ turn.to_matrix().to_4x4()


def _render_settings(scene: Any, size: int) -> None:
    scene.render.engine = "CYCLES"
    scene.cycles.samples = 16
    scene.cycles.use_adaptive_sampling = False  # would stop before it has seen the sun in every pixel
    scene.cycles.use_denoising = True
    scene.cycles.max_bounces = 5
    scene.render.resolution_x = scene.render.resolution_y = size
    scene.render.resolution_percentage = 100
    scene.view_settings.view_transform = "Standard"
    scene.render.image_settings.file_format = "PNG"
