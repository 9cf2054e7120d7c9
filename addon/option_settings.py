"""What may be chosen about a control's map, as Blender keeps it: one group of settings for each kind of source.

A group's settings bear the names of the options in `protocol.options`. Those that may be None there, for what
the ControlNet was trained on, have the item AUTO or a switch.
"""

import math
from collections.abc import Mapping
from typing import Any

import bpy
from bpy.props import BoolProperty, EnumProperty, FloatProperty, IntProperty, PointerProperty, StringProperty

from ..protocol.options import (
    DepthOptions,
    DetectorOptions,
    LineOptions,
    NormalOptions,
    Options,
    PictureOptions,
    PoseOptions,
    SegmentationOptions,
)
from . import callbacks

_AUTO_TIP = "What the ControlNet was trained on"


def _switch(what: str) -> Any:
    return BoolProperty(
        name=f"Set {what}",
        description=f"Set the {what.lower()} by hand, instead of taking what the ControlNet was trained on",
        default=False,
        update=callbacks.control_changed,
    )


def _toggle(name: str, description: str, *, default: bool) -> Any:
    return BoolProperty(name=name, description=description, default=default, update=callbacks.control_changed)


def _seed(what: str) -> Any:
    return IntProperty(
        name="Seed", description=f"Another number gives {what}", default=0, min=0, update=callbacks.control_changed
    )


class UNDERPAINT_PG_depth(bpy.types.PropertyGroup):
    """How distances become grey"""

    encoding: EnumProperty(
        name="Encoding",
        description="The quantity that the grey runs in",
        items=(
            ("AUTO", "Auto", _AUTO_TIP, 0),
            ("DISPARITY", "Disparity", "One over the distance: MiDaS, Depth Anything", 1),
            ("LINEAR", "Linear", "The distance itself: Zoe", 2),
        ),
        update=callbacks.control_changed,
    )
    use_range: BoolProperty(
        name="Lock Range",
        description=(
            "White and the farthest grey at fixed distances, so that the same distance has the same grey in every "
            "frame. Without it, each frame takes its own nearest and farthest surface"
        ),
        default=False,
        update=callbacks.control_changed,
    )
    near_m: FloatProperty(
        name="Near",
        description="The distance from the camera that is white",
        default=1.0,
        min=1e-4,
        soft_max=1000.0,
        precision=3,
        subtype="DISTANCE",
        unit="LENGTH",
        update=callbacks.keep_far,
    )
    far_m: FloatProperty(
        name="Far",
        description="The distance from the camera that has the darkest grey of a surface",
        default=10.0,
        min=2e-4,
        soft_max=1000.0,
        precision=3,
        subtype="DISTANCE",
        unit="LENGTH",
        update=callbacks.keep_near,
    )
    use_outliers: _switch("Outliers")
    outliers: FloatProperty(
        name="Outliers",
        description="The part of the pixels at each end that a frame's own range leaves out",
        default=0.01,
        min=0.0,
        max=0.45,
        soft_max=0.2,
        subtype="FACTOR",
        precision=3,
        update=callbacks.control_changed,
    )
    use_floor: _switch("Floor")
    floor: FloatProperty(
        name="Floor",
        description="The grey of the farthest surface, to set it off the black background",
        default=0.2,
        min=0.0,
        max=1.0,
        subtype="FACTOR",
        update=callbacks.control_changed,
    )
    invert: _toggle("Invert", "Near is black, for ControlNets that were trained the other way round", default=False)


class UNDERPAINT_PG_normal(bpy.types.PropertyGroup):
    """How directions become colours"""

    encoding: EnumProperty(
        name="Encoding",
        description="What red and green say; blue is toward the camera",
        items=(
            ("AUTO", "Auto", _AUTO_TIP, 0),
            ("BAE", "BAE", "Red faces left, green up: the normal ControlNets of SD 1.5 v1.1 and later", 1),
            ("OPENGL", "OpenGL", "Red faces right, green up: as baked normal maps have it", 2),
            ("DIRECTX", "DirectX", "Red faces right, green down", 3),
            ("MIDAS", "SD 1.0", "Slopes of the depth, for the abandoned first normal ControlNet", 4),
        ),
        update=callbacks.control_changed,
    )
    swap_red_blue: _toggle("Swap Red and Blue", "For ControlNets that were trained on BGR pictures", default=False)
    use_background_threshold: _switch("Background")
    background_threshold: FloatProperty(
        name="Background",
        description="The relative disparity below which a pixel counts as background",
        default=0.4,
        min=0.0,
        max=1.0,
        subtype="FACTOR",
        update=callbacks.control_changed,
    )


class UNDERPAINT_PG_pose(bpy.types.PropertyGroup):
    """How characters are drawn"""

    use_stick_px: _switch("Limbs")
    stick_px: IntProperty(
        name="Limbs",
        description="Half the width of a limb at its middle, in pixels",
        default=4,
        min=1,
        max=200,
        soft_max=32,
        subtype="PIXEL",
        update=callbacks.control_changed,
    )
    use_joint_px: _switch("Joints")
    joint_px: IntProperty(
        name="Joints",
        description="The radius of a joint's disc, in pixels",
        default=4,
        min=0,
        max=200,
        soft_max=32,
        subtype="PIXEL",
        update=callbacks.control_changed,
    )
    hidden: EnumProperty(
        name="Hidden Joints",
        description="What becomes of joints that the camera doesn't see",
        items=(
            ("DRAW", "Draw", "Draw them, as those who annotated the training pictures did", 0),
            ("DROP_BEHIND_OTHERS", "Drop Behind Others", "Leave out what another object hides", 1),
            ("DROP", "Drop", "Leave out whatever is hidden, also by the character itself", 2),
        ),
        update=callbacks.control_changed,
    )
    hands: _toggle("Hands", "Draw the fingers of characters that have any", default=True)
    face: _toggle("Face", "Draw the points of the face", default=True)


class UNDERPAINT_PG_lines(bpy.types.PropertyGroup):
    """Which lines of the geometry are drawn, and how"""

    silhouettes: _toggle("Silhouettes", "Where a surface ends in front of another, or of nothing", default=True)
    creases: _toggle("Creases", "Where a surface bends", default=True)
    crease_deg: FloatProperty(
        name="Crease Angle",
        description="Surfaces that bend by less are smooth",
        default=math.radians(30.0),
        min=math.radians(1.0),
        max=math.radians(180.0),
        subtype="ANGLE",
        unit="ROTATION",
        update=callbacks.control_changed,
    )
    objects: _toggle("Object Borders", "Where two objects meet", default=True)
    materials: _toggle("Material Borders", "Where two materials meet", default=True)
    use_width_px: _switch("Width")
    width_px: FloatProperty(
        name="Width",
        description="The width of a line in pixels",
        default=2.0,
        min=0.5,
        max=100.0,
        soft_max=24.0,
        step=50,
        precision=1,
        subtype="PIXEL",
        update=callbacks.control_changed,
    )
    use_shortest_px: _switch("Shortest")
    shortest_px: FloatProperty(
        name="Shortest",
        description="Lines shorter than so many pixels are left out",
        default=8.0,
        min=0.0,
        max=10000.0,
        soft_max=100.0,
        step=100,
        precision=1,
        subtype="PIXEL",
        update=callbacks.control_changed,
    )
    use_levels: _switch("Levels")
    levels: IntProperty(
        name="Levels",
        description="Shades of grey that are left of soft edges; 0 keeps all of them",
        default=3,
        min=0,
        max=255,
        soft_max=16,
        update=callbacks.keep_shades,
    )


class UNDERPAINT_PG_segmentation(bpy.types.PropertyGroup):
    """How classes become colours"""

    colours: EnumProperty(
        name="Colours",
        description="How things become colours",
        items=(
            ("AUTO", "Auto", _AUTO_TIP, 0),
            ("ADE20K", "ADE20K", "The colour of each thing's class; what has no class is black", 1),
            ("RANDOM", "Random", "A colour for each thing, none twice, as SAM's masks are shown", 2),
        ),
        update=callbacks.control_changed,
    )
    background: StringProperty(
        name="Background",
        description="The class of what no surface covers; empty is without a class",
        default="sky",
        search=callbacks.search_ade20k,
        update=callbacks.control_changed,
    )
    seed: _seed("other random colours")


class UNDERPAINT_PG_picture(bpy.types.PropertyGroup):
    """What is done to a picture before the ControlNet sees it"""

    use_blur_px: _switch("Blur")
    blur_px: FloatProperty(
        name="Blur",
        description="How far the picture is blurred: the Gaussian's sigma in pixels",
        default=4.0,
        min=0.0,
        max=1000.0,
        soft_max=32.0,
        subtype="PIXEL",
        update=callbacks.control_changed,
    )
    use_shrink: _switch("Shrink")
    shrink: FloatProperty(
        name="Shrink",
        description="How many times smaller the picture is made, before it is made large again",
        default=4.0,
        min=1.0,
        max=64.0,
        soft_max=16.0,
        update=callbacks.control_changed,
    )
    grow_px: IntProperty(
        name="Grow Mask",
        description="How many pixels the part to paint anew grows by; negative numbers shrink it",
        default=0,
        min=-1000,
        max=1000,
        soft_min=-64,
        soft_max=64,
        subtype="PIXEL",
        update=callbacks.control_changed,
    )
    seed: _seed("another shuffle")


class UNDERPAINT_PG_detection(bpy.types.PropertyGroup):
    """How a detector looks at the image"""

    use_resolution_px: _switch("Resolution")
    resolution_px: IntProperty(
        name="Resolution",
        description="The shorter side that the detector works at, in pixels",
        default=512,
        min=64,
        max=4096,
        soft_max=2048,
        subtype="PIXEL",
        update=callbacks.control_changed,
    )
    use_thresholds: _switch("Thresholds")
    low: FloatProperty(
        name="Low",
        description="Contrasts below are no edge",
        default=100.0,
        min=0.0,
        max=255.0,
        precision=0,
        step=100,
        update=callbacks.control_changed,
    )
    high: FloatProperty(
        name="High",
        description="Contrasts above begin an edge",
        default=200.0,
        min=0.0,
        max=255.0,
        precision=0,
        step=100,
        update=callbacks.control_changed,
    )
    use_score: _switch("Score")
    score: FloatProperty(
        name="Score",
        description="How sure the detector has to be of a line",
        default=0.1,
        min=0.0,
        max=1.0,
        subtype="FACTOR",
        update=callbacks.control_changed,
    )
    use_distance: _switch("Distance")
    distance: FloatProperty(
        name="Distance",
        description="The shortest line that counts, in the detector's pixels",
        default=0.1,
        min=0.0,
        max=1000.0,
        soft_max=20.0,
        update=callbacks.control_changed,
    )
    safe: _toggle("Safe", "Few shades, which hide the photo itself from the ControlNet", default=False)
    coarse: _toggle("Coarse", "Rough strokes", default=False)
    hands: _toggle("Hands", "Look for hands", default=True)
    face: _toggle("Face", "Look for faces", default=True)
    seed: _seed("another shuffle")


GROUPS: Mapping[type[Options], str] = {
    DepthOptions: "depth",
    NormalOptions: "normal",
    PoseOptions: "pose",
    LineOptions: "lines",
    SegmentationOptions: "segmentation",
    PictureOptions: "picture",
    DetectorOptions: "detection",
}
"""The name that each group of settings has in a control."""

CLASSES = (
    UNDERPAINT_PG_depth,
    UNDERPAINT_PG_normal,
    UNDERPAINT_PG_pose,
    UNDERPAINT_PG_lines,
    UNDERPAINT_PG_segmentation,
    UNDERPAINT_PG_picture,
    UNDERPAINT_PG_detection,
)


def pointer(kind: type[Options]) -> Any:
    """The settings that a control has for a kind of options; its name there is that in GROUPS."""
    group = CLASSES[list(GROUPS).index(kind)]
    return PointerProperty(type=group, name=GROUPS[kind].title(), description=group.__doc__)
