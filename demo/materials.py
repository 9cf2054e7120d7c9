"""Named materials of the demo's room: plain Principled surfaces, some with a pattern made of nodes."""

from dataclasses import dataclass
from typing import Any

import bpy


@dataclass(frozen=True, kw_only=True)
class Look:
    """A surface; colours are sRGB hex as a painter would mix them."""

    colour: str
    roughness: float = 0.6
    metallic: float = 0.0
    second: str = ""  # the other colour of the pattern; none where empty
    scale: tuple[float, float, float] = (4.0, 4.0, 4.0)  # of the pattern, per metre
    glow: float = 0.0


LOOKS = {
    "Plaster": Look(colour="c9bfa9", roughness=0.9, second="c1b69f", scale=(1.5, 1.5, 1.5)),
    "Plaster Green": Look(colour="6f8f86", roughness=0.9, second="688880", scale=(1.5, 1.5, 1.5)),
    "White Paint": Look(colour="efe9dc", roughness=0.45),
    "Oak Light": Look(colour="b98652", roughness=0.45, second="a87443", scale=(2.0, 22.0, 22.0)),
    "Oak": Look(colour="a87243", roughness=0.45, second="945f35", scale=(2.0, 22.0, 22.0)),
    "Oak Dark": Look(colour="965f36", roughness=0.45, second="83502b", scale=(2.0, 22.0, 22.0)),
    "Walnut": Look(colour="6b4329", roughness=0.4, second="583521", scale=(3.0, 26.0, 26.0)),
    "Beech": Look(colour="d8b07a", roughness=0.45, second="cda26a", scale=(24.0, 24.0, 3.0)),
    "Brass": Look(colour="c79a4b", roughness=0.28, metallic=1.0),
    "Linen Shade": Look(colour="f3dfb4", roughness=0.9, glow=1.6),
    "Ceramic Blue": Look(colour="33566e", roughness=0.25),
    "Ceramic White": Look(colour="ece6d8", roughness=0.25),
    "Terracotta": Look(colour="b5623f", roughness=0.8),
    "Earth": Look(colour="3b2a20", roughness=1.0),
    "Leaf": Look(colour="3f6b3a", roughness=0.45, second="5d8a4a", scale=(6.0, 6.0, 6.0)),
    "Stem": Look(colour="5a6b38", roughness=0.7),
    "Wool Red": Look(colour="9c3f35", roughness=1.0, second="8d372e", scale=(60.0, 60.0, 60.0)),
    "Wool Cream": Look(colour="dccaa4", roughness=1.0),
    "Wool Blue": Look(colour="2f4858", roughness=1.0),
    "Book Red": Look(colour="a3372d"),
    "Book Ochre": Look(colour="cf9a3b"),
    "Book Teal": Look(colour="2f7472"),
    "Book Navy": Look(colour="29405f"),
    "Book Cream": Look(colour="e3d4b0"),
    "Book Plum": Look(colour="69405a"),
    "Paper": Look(colour="efe6d0", roughness=0.9),
    "Canvas Sky": Look(colour="e7c48f", roughness=0.8),
    "Canvas Sun": Look(colour="d9673a", roughness=0.8),
    "Canvas Hill": Look(colour="4c6f74", roughness=0.8),
    "Canvas Field": Look(colour="8e9b5b", roughness=0.8),
    "Skin": Look(colour="d9a684", roughness=0.5),
    "Hair": Look(colour="4a2c1e", roughness=0.55),
    "Jumper": Look(colour="d9a02f", roughness=0.95, second="cf9427", scale=(70.0, 70.0, 70.0)),
    "Trousers": Look(colour="3c5170", roughness=0.9),
    "Shoes": Look(colour="7a3a26", roughness=0.45),
}


def material(name: str) -> Any:
    """The material of a look, made at its first use."""
    found = bpy.data.materials.get(name)
    if found is not None:
        return found
    look = LOOKS[name]
    made = bpy.data.materials.new(name)
    if bpy.app.version < (5, 0):
        made.use_nodes = True  # always so since 5.0, where setting it is deprecated
    tree = made.node_tree
    surface = next(node for node in tree.nodes if node.type == "BSDF_PRINCIPLED")
    surface.inputs["Base Color"].default_value = _linear(look.colour)
    surface.inputs["Roughness"].default_value = look.roughness
    surface.inputs["Metallic"].default_value = look.metallic
    if look.glow:
        surface.inputs["Emission Color"].default_value = _linear(look.colour)
        surface.inputs["Emission Strength"].default_value = look.glow
        made.cycles.emission_sampling = "NONE"  # it is seen, the bulb inside gives the light
    if look.second:
        _pattern(tree, surface, look)
    made.diffuse_color = _linear(look.colour)
    return made


def _pattern(tree: Any, surface: Any, look: Look) -> None:
    """Noise between the two colours, stretched by the look's scale: grain, knit or brushwork."""
    place = tree.nodes.new("ShaderNodeTexCoord")
    stretch = tree.nodes.new("ShaderNodeMapping")
    noise = tree.nodes.new("ShaderNodeTexNoise")
    ramp = tree.nodes.new("ShaderNodeValToRGB")
    stretch.inputs["Scale"].default_value = look.scale
    noise.inputs["Scale"].default_value = 1.0
    noise.inputs["Detail"].default_value = 3.0
    low, high = ramp.color_ramp.elements
    low.position, high.position = 0.35, 0.65
    low.color, high.color = _linear(look.colour), _linear(look.second)
    tree.links.new(place.outputs["Object"], stretch.inputs["Vector"])
    tree.links.new(stretch.outputs["Vector"], noise.inputs["Vector"])
    tree.links.new(noise.outputs["Fac" if "Fac" in noise.outputs else "Factor"], ramp.inputs[0])
    tree.links.new(ramp.outputs["Color"], surface.inputs["Base Color"])
    for offset, node in enumerate((place, stretch, noise, ramp)):
        node.location = (surface.location.x - 900 + 220 * offset, surface.location.y)


def _linear(colour: str) -> tuple[float, float, float, float]:
    red, green, blue = (int(colour[at : at + 2], 16) / 255 for at in (0, 2, 4))
    return (_channel(red), _channel(green), _channel(blue), 1.0)


def _channel(value: float) -> float:
    return value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4
