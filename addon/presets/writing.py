"""A preset as Blender runs it: a script that sets the settings of the context's scene."""

from pathlib import Path
from typing import Any

_SETTINGS = ("negative_prompt", "checkpoint", "steps", "guidance_scale", "scheduler")
_CONTROL = ("name", "enabled", "kind", "controlnet", "conditioning_scale", "start", "end")


def write(path: Path, settings: Any) -> None:
    """Write everything but the prompt and the seed, which belong to a picture, and images, which belong to a file."""
    lines = ["import bpy", "", "underpaint = bpy.context.scene.underpaint"]
    lines += [f"underpaint.{name} = {_shown(getattr(settings, name))}" for name in _SETTINGS]
    lines += ["underpaint.controls.clear()", "underpaint.active_control = 0"]
    for control in settings.controls:
        lines.append("control = underpaint.controls.add()")
        lines += [f"control.{name} = {_shown(getattr(control, name))}" for name in _CONTROL]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def _shown(value: Any) -> str:
    """A value's Python text; floats without what single precision adds."""
    return repr(round(value, 6)) if isinstance(value, float) else repr(value)
