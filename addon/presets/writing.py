"""A preset as Blender runs it: a script that sets the settings of the context's scene."""

from pathlib import Path
from typing import Any

from .. import option_settings

_SETTINGS = (
    "negative_prompt",
    "checkpoint",
    "steps",
    "guidance_scale",
    "scheduler",
    "sigmas",
    "pictures",
    "batch_size",
)
_START = ("source", "strength", "mask_from", "mask_grow_px", "mask_blur_px")
_EXTRAS = ("vae", "clip_skip", "plain_prompt", "seamless", "safety_checker")
_LORA = ("enabled", "lora", "weight", "use_text_weight", "text_weight")
_EMBEDDING = ("embedding", "token")
_SECOND_PASS = (
    "use",
    "factor",
    "strength",
    "steps",
    "use_tiles",
    "tile_px",
    "overlap_px",
    "tile_controlnet",
    "tile_scale",
)
_CONTROL = (
    "name",
    "enabled",
    "kind",
    "image_is",
    "detector",
    "mask_from",
    "controlnet",
    "conditioning_scale",
    "start",
    "end",
    "guess_mode",
)


def write(path: Path, settings: Any) -> None:
    """Write everything but what belongs to a picture, as prompt and seed, or to a file, as images and objects."""
    lines = ["import bpy", "", "underpaint = bpy.context.scene.underpaint"]
    lines += [f"underpaint.{name} = {_shown(getattr(settings, name))}" for name in _SETTINGS]
    lines += [f"underpaint.start.{name} = {_shown(getattr(settings.start, name))}" for name in _START]
    lines += [f"underpaint.extras.{name} = {_shown(getattr(settings.extras, name))}" for name in _EXTRAS]
    second = settings.extras.second_pass
    lines += [f"underpaint.extras.second_pass.{name} = {_shown(getattr(second, name))}" for name in _SECOND_PASS]
    for rows, names in (("loras", _LORA), ("embeddings", _EMBEDDING)):
        lines.append(f"underpaint.extras.{rows}.clear()")
        for item in getattr(settings.extras, rows):
            lines.append(f"item = underpaint.extras.{rows}.add()")
            lines += [f"item.{name} = {_shown(getattr(item, name))}" for name in names]
    lines += ["underpaint.controls.clear()", "underpaint.active_control = 0"]
    for control in settings.controls:
        lines.append("control = underpaint.controls.add()")
        lines += [f"control.{name} = {_shown(getattr(control, name))}" for name in _CONTROL]
        for point in control.curve:
            lines.append("point = control.curve.add()")
            lines.append(f"point.at, point.factor = {_shown(point.at)}, {_shown(point.factor)}")
        lines += [
            f"control.{group}.{item.identifier} = {_shown(getattr(getattr(control, group), item.identifier))}"
            for group in option_settings.GROUPS.values()
            for item in getattr(control, group).bl_rna.properties
            if getattr(control, group).is_property_set(item.identifier) and not item.is_readonly
        ]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def _shown(value: Any) -> str:
    """A value's Python text; floats without what single precision adds."""
    return repr(round(value, 6)) if isinstance(value, float) else repr(value)
