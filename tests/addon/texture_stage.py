"""What the projection tests project: pictures, meshes, and how they are rendered and compared."""

from pathlib import Path
from typing import Any

import bpy
import numpy as np
from mathutils import Vector
from underpaint.addon import images
from underpaint.addon.camera import frame, protocol_camera
from underpaint.addon.texture.bake import grow
from underpaint.addon.texture.meshes import read
from underpaint.addon.texture.raster import hits
from underpaint.protocol.request import GenerateRequest

SIDE = 384  # of the pictures


def look(scene: Any, place: tuple[float, float, float]) -> None:
    scene.camera.location = place
    scene.camera.rotation_euler = (-Vector(place)).to_track_quat("-Z", "Y").to_euler()


def result(scene: Any, picture: np.ndarray) -> Any:
    """A picture in the history, as if it had been painted over the scene."""
    camera = protocol_camera(scene, bpy.context.evaluated_depsgraph_get())
    request = GenerateRequest(prompt="test", size=frame(scene), camera=camera)
    return images.new_result(picture, request)


def rendered(scene: Any, path: Path) -> np.ndarray:
    """What Cycles and the Standard view make of the scene, (height, width, 3) uint8, row 0 at the top."""
    scene.render.engine = "CYCLES"
    scene.render.filepath = str(path / "render.png")
    bpy.ops.render.render(write_still=True)
    loaded = bpy.data.images.load(scene.render.filepath)
    values = np.empty(SIDE * SIDE * loaded.channels, np.float32)
    loaded.pixels.foreach_get(values)
    bpy.data.images.remove(loaded)
    scene.render.engine = "UNDERPAINT"
    return np.rint(values.reshape(SIDE, SIDE, -1)[::-1, :, :3] * 255).astype(np.uint8)


def texels(image: Any) -> np.ndarray:
    """(size, size, 4) 0..1, row 0 at the bottom."""
    values = np.empty(len(image.pixels), np.float32)
    image.pixels.foreach_get(values)
    return values.reshape(image.size[1], image.size[0], 4)


def smooth_picture(height: int = SIDE, width: int = SIDE) -> np.ndarray:
    """Colours that change slowly and tell every place from every other."""
    y, x = np.mgrid[:height, :width] / np.array([height, width]).reshape(2, 1, 1)
    waves = [np.sin(9 * x + 2 * y), np.cos(7 * y - 3 * x), np.sin(5 * (x + y) + 1)]
    return np.rint(np.stack([127.5 + 110 * wave for wave in waves], axis=-1)).astype(np.uint8)


def known_texture(thing: Any, size: int = 512) -> Any:
    """A texture whose colours change slowly over the surface, across the UV map's seams too."""
    mesh = read(thing, bpy.context.evaluated_depsgraph_get())
    values, inside = np.zeros((size, size, 3), np.float32), np.zeros((size, size), bool)
    for batch in hits(mesh.triangles.uv, size):
        place = np.einsum("nc,ncd->nd", batch.weights, mesh.triangles.position_m[batch.triangle])
        waves = np.stack([np.sin(3 * place[:, i] + 2 * place[:, i - 1]) for i in range(3)], axis=-1)
        values.reshape(-1, 3)[batch.texel] = 0.5 + 0.4 * waves
        inside.reshape(-1)[batch.texel] = True
    grow(values, inside, ~inside, 8)
    image = bpy.data.images.new("Known", size, size, alpha=False)
    image.pixels.foreach_set(np.concatenate([values, np.ones((size, size, 1), np.float32)], axis=-1).ravel())
    image.pack()
    return image


def glowing(image: Any) -> Any:
    """A material that shows an image without light."""
    material = bpy.data.materials.new("Known")
    if material.node_tree is None:
        material.use_nodes = True
    tree = material.node_tree
    tree.nodes.clear()
    picture, glow = tree.nodes.new("ShaderNodeTexImage"), tree.nodes.new("ShaderNodeEmission")
    picture.image = image
    output = tree.nodes.new("ShaderNodeOutputMaterial")
    tree.links.new(picture.outputs[0], glow.inputs[0])
    tree.links.new(glow.outputs[0], output.inputs[0])
    return material


def psnr(a: np.ndarray, b: np.ndarray) -> float:
    error = (a.astype(np.float64) - b).ravel()
    return float(10 * np.log10(255**2 / max(1e-9, (error**2).mean())))


def suzanne() -> Any:
    bpy.ops.mesh.primitive_monkey_add()
    thing = bpy.context.object
    thing.modifiers.new("Subdivision", "SUBSURF").levels = 1
    thing.modifiers[0].render_levels = 2  # what is rendered isn't what the viewport shows
    bpy.ops.object.mode_set(mode="EDIT")
    bpy.ops.mesh.select_all(action="SELECT")
    bpy.ops.uv.smart_project(island_margin=0.01)
    bpy.ops.object.mode_set(mode="OBJECT")
    bpy.ops.object.shade_smooth()
    return thing


def sphere() -> Any:
    bpy.ops.mesh.primitive_uv_sphere_add(segments=64, ring_count=32)
    bpy.ops.object.shade_smooth()
    return bpy.context.object


def stretched() -> Any:
    thing = sphere()
    thing.scale, thing.rotation_euler = (1.2, 0.5, 0.8), (0.3, 0.2, 0.1)
    return thing


def mirrored() -> Any:
    thing = suzanne()
    thing.scale = (-1, 1, 1)
    return thing
