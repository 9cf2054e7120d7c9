"""A projected texture as datablocks: a packed image, and a material that shows it.

The picture holds its own light, so the material shines with it: the mesh looks as the picture does, in
every engine and under any light. The Mix Shader's one number brings the scene's light back (0: the
picture as painted, 1: a surface of those colours, lit by the scene).
"""

from typing import Any

import bpy
import numpy as np

from ...protocol.arrays import UInt8Array

TEXTURE = "underpaint_texture"  # on a material: the image it shows
_REPLACED = "underpaint_replaced"  # on a material: what it took the place of, by slot; keeps them in the file


def new_image(name: str, texture: UInt8Array) -> Any:
    """A packed byte image of a texture (size, size, 3) sRGB, row 0 at the bottom; opaque."""
    height, width, _ = texture.shape
    image = bpy.data.images.new(name, width, height, alpha=False, float_buffer=False)
    image.colorspace_settings.name = "sRGB"
    values = np.ones((height, width, 4), np.float32)
    np.divide(texture, np.float32(255), out=values[..., :3])
    image.pixels.foreach_set(values.ravel())
    image.update()
    image.pack()
    return image


def new_material(name: str, image: Any, uv_map: str) -> Any:
    """A material that shows an image on a UV map."""
    material = bpy.data.materials.new(name)
    material[TEXTURE] = image
    if material.node_tree is None:  # since 5.0 materials have their nodes at once
        material.use_nodes = True
    tree = material.node_tree
    tree.nodes.clear()

    def node(kind: str, x: float, y: float) -> Any:
        made = tree.nodes.new(kind)
        made.location = (x, y)
        return made

    place, picture = node("ShaderNodeUVMap", -900, 0), node("ShaderNodeTexImage", -700, 0)
    glow, surface = node("ShaderNodeEmission", -350, 150), node("ShaderNodeBsdfPrincipled", -350, 0)
    mix, output = node("ShaderNodeMixShader", 0, 100), node("ShaderNodeOutputMaterial", 200, 100)
    place.uv_map, picture.image = uv_map, image
    mix.label = "0: as painted, 1: lit by the scene"
    mix.inputs[0].default_value = 0.0
    surface.inputs["Roughness"].default_value = 0.8
    for source, target in (
        (place.outputs[0], picture.inputs[0]),
        (picture.outputs["Color"], glow.inputs["Color"]),
        (picture.outputs["Color"], surface.inputs["Base Color"]),
        (glow.outputs[0], mix.inputs[1]),
        (surface.outputs[0], mix.inputs[2]),
        (mix.outputs[0], output.inputs["Surface"]),
    ):
        tree.links.new(source, target)
    tree.nodes.active = picture  # what texture painting and the Solid view's textures look for
    return material


def show(thing: Any, material: Any) -> None:
    """Put a material into every slot of an object; what was there stays in the file, held by the material.

    Faces keep their slots. A mesh that others use too gets the material on this object alone.
    """
    shared = thing.data.users > 1 or thing.data.library is not None
    if not thing.material_slots:
        thing.data.materials.append(None if shared else material)
    replaced = {str(i): slot.material for i, slot in enumerate(thing.material_slots) if slot.material is not None}
    replaced = {slot: kept for slot, kept in replaced.items() if kept != material}
    if replaced:
        material[_REPLACED] = replaced
    for slot in thing.material_slots:
        if shared:
            slot.link = "OBJECT"
        slot.material = material


def shown_texture(thing: Any) -> Any:
    """The image of an earlier projection that an object shows; None where there is none."""
    for slot in thing.material_slots:
        if slot.material is not None and slot.material.get(TEXTURE) is not None:
            return slot.material[TEXTURE]
    return None
