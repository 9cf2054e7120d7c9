"""What a scene keeps for Underpaint, and which result the window manager shows."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import bpy
from bpy.props import (
    BoolProperty,
    CollectionProperty,
    EnumProperty,
    FloatProperty,
    IntProperty,
    PointerProperty,
    StringProperty,
)

from ..protocol.request import ControlKind
from . import callbacks

# (identifier, label, tooltip, icon, number): the numbers are saved in files, so they never change.
# The icons are in every Blender from 4.2 on.
KINDS = (
    ("DEPTH", "Depth", "Distance from the camera, taken from the scene", "CAMERA_DATA", 0),
    ("NORMAL", "Normal", "The way surfaces face, taken from the scene", "NORMALS_FACE", 1),
    ("OPENPOSE", "Pose", "Bodies, taken from the armatures that the camera sees", "ARMATURE_DATA", 2),
    ("CANNY", "Edges", "Edges that a detector finds in an image", "IMAGE_DATA", 3),
)

SCHEDULERS = (
    ("UNIPC", "UniPC", "Good pictures in few steps", 0),
    ("DPMPP_2M", "DPM++ 2M", "Good pictures in few steps; a common choice", 1),
    ("EULER", "Euler", "Plain and robust", 2),
    ("EULER_ANCESTRAL", "Euler Ancestral", "Adds noise at each step; the picture changes with the steps", 3),
    ("DDIM", "DDIM", "The classic; wants more steps", 4),
    ("HEUN", "Heun", "Accurate; twice the work for each step", 5),
    ("PNDM", "PNDM", "The one that Stable Diffusion was published with", 6),
    ("LMS", "LMS", "Linear multistep", 7),
)


class UNDERPAINT_PG_control(bpy.types.PropertyGroup):
    """One ControlNet, what it is shown, and how much it counts"""

    name: StringProperty(name="Name", description="What this control is called in the list", default="Control")
    enabled: BoolProperty(name="Enable", description="Let this control take part in the picture", default=True)
    kind: EnumProperty(name="Kind", description="What the ControlNet follows", items=KINDS, default="DEPTH")
    image: PointerProperty(
        type=bpy.types.Image,
        name="Image",
        description="A picture to find the control in, with a detector. Empty takes the scene itself",
        poll=callbacks.is_usable_image,
    )
    controlnet: StringProperty(
        name="ControlNet",
        description=(
            "A folder with a ControlNet, or its name on the hub. Empty takes the one that belongs to the checkpoint "
            "that Underpaint brings along"
        ),
    )
    conditioning_scale: FloatProperty(
        name="Conditioning Scale",
        description="How strongly the picture follows this control. 1 is what it was trained with, 0 is not at all",
        default=1.0,
        min=0.0,
        max=10.0,
        soft_max=2.0,
        step=5,
        precision=2,
    )
    start: FloatProperty(
        name="Start",
        description="The part of the steps after which the control sets in",
        default=0.0,
        min=0.0,
        max=1.0,
        subtype="FACTOR",
        precision=2,
        update=callbacks.keep_end,
    )
    end: FloatProperty(
        name="End",
        description="The part of the steps after which the control stops, and the details are free",
        default=1.0,
        min=0.0,
        max=1.0,
        subtype="FACTOR",
        precision=2,
        update=callbacks.keep_start,
    )


class UNDERPAINT_PG_settings(bpy.types.PropertyGroup):
    """How Underpaint paints this scene"""

    prompt: StringProperty(name="Prompt", description="What the picture shows, in words")
    negative_prompt: StringProperty(name="Negative Prompt", description="What the picture must not show, in words")
    checkpoint: StringProperty(
        name="Checkpoint",
        description=(
            "The Stable Diffusion model: a folder in the diffusers layout, or its name on the hub. "
            "Empty takes the small one that Underpaint brings along"
        ),
    )
    controls: CollectionProperty(
        type=UNDERPAINT_PG_control,
        name="Controls",
        description="The ControlNets that paint together. Without any, depth, normal and pose count in full",
    )
    active_control: IntProperty(name="Active Control", description="The control that is shown below", min=0)
    steps: IntProperty(
        name="Steps",
        description="Denoising steps. More take longer and, from some point on, change little",
        default=20,
        min=1,
        max=1000,
        soft_max=100,
    )
    guidance_scale: FloatProperty(
        name="Guidance Scale",
        description="How closely the picture follows the prompt. Low is free, high is literal and hard in colour",
        default=7.5,
        min=0.0,
        max=100.0,
        soft_min=1.0,
        soft_max=20.0,
        step=10,
        precision=1,
    )
    scheduler: EnumProperty(
        name="Scheduler",
        description="How the noise is taken away, step by step",
        items=SCHEDULERS,
        default="UNIPC",
    )
    seed: IntProperty(
        name="Seed",
        description=(
            "The noise that the picture starts from. The same settings with the same seed give the same picture"
        ),
        default=0,
        min=0,
    )
    allow_download: BoolProperty(
        name="Download Missing Models",
        description="Fetch a checkpoint or ControlNet that is given by its name on the hub and isn't on this computer",
        default=False,
    )
    use_preview: BoolProperty(
        name="Live Preview", description="Show the picture while it is painted, step by step", default=True
    )
    keep_image: BoolProperty(
        name="Keep as Image",
        description="Also keep each rendered still as an image in this file, with its settings, for the history",
        default=True,
    )


class UNDERPAINT_PG_state(bpy.types.PropertyGroup):
    """Which result is shown"""

    result_name: StringProperty(options={"HIDDEN", "SKIP_SAVE"})  # the history's active picture
    active_result: IntProperty(
        name="Active Result",
        description="The picture that is shown, restored, deleted and projected",
        get=callbacks.active_result,
        set=callbacks.set_active_result,
        update=callbacks.show_active_result,
        options={"HIDDEN", "SKIP_SAVE"},
    )


@dataclass(frozen=True, kw_only=True)
class DefaultControl:
    """A control as it is where the scene has no list of its own."""

    kind: str
    name: str
    enabled: bool = True
    image: None = None
    controlnet: str = ""
    conditioning_scale: float = 1.0
    start: float = 0.0
    end: float = 1.0


DEFAULT_CONTROLS = tuple(
    DefaultControl(kind=kind.name, name=label)
    for kind, label in ((ControlKind.DEPTH, "Depth"), (ControlKind.NORMAL, "Normal"), (ControlKind.OPENPOSE, "Pose"))
)


def add_default_controls(settings: Any, *, enabled: bool = True) -> None:
    """Put depth, normal and pose into the scene's list."""
    for default in DEFAULT_CONTROLS:
        item = settings.controls.add()
        item.kind, item.name, item.enabled = default.kind, default.name, enabled


def effective_controls(settings: Any) -> Sequence[Any]:
    """The scene's list of controls; depth, normal and pose in full where it has none."""
    return settings.controls if len(settings.controls) else DEFAULT_CONTROLS


def label_of(kind: str) -> str:
    """What a control of this kind is called in the interface."""
    return next(label for identifier, label, *_ in KINDS if identifier == kind)


def icon_of(kind: str) -> str:
    """The icon of a control of this kind."""
    return next(icon for identifier, _, _, icon, _ in KINDS if identifier == kind)


_CLASSES = (UNDERPAINT_PG_control, UNDERPAINT_PG_settings, UNDERPAINT_PG_state)


def register() -> None:
    for cls in _CLASSES:
        bpy.utils.register_class(cls)
    bpy.types.Scene.underpaint = PointerProperty(type=UNDERPAINT_PG_settings, name="Underpaint")
    bpy.types.WindowManager.underpaint = PointerProperty(type=UNDERPAINT_PG_state, name="Underpaint")


def unregister() -> None:
    del bpy.types.WindowManager.underpaint
    del bpy.types.Scene.underpaint
    for cls in reversed(_CLASSES):
        bpy.utils.unregister_class(cls)
