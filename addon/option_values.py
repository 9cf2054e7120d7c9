"""Options out of the settings of a control of the scene, and into them."""

import math
from collections.abc import Mapping
from dataclasses import fields
from enum import Enum
from typing import Any

from ..protocol.options import (
    DepthEncoding,
    DepthOptions,
    HiddenJoints,
    NormalEncoding,
    NormalOptions,
    Options,
    PoseOptions,
    SegmentationOptions,
    SegmentColours,
)
from .decimals import typed
from .option_settings import GROUPS

_SWITCHES = {"near_m": "use_range", "far_m": "use_range", "low": "use_thresholds", "high": "use_thresholds"}
_ENUMS: Mapping[tuple[type[Options], str], type[Enum]] = {
    (DepthOptions, "encoding"): DepthEncoding,
    (NormalOptions, "encoding"): NormalEncoding,
    (PoseOptions, "hidden"): HiddenJoints,
    (SegmentationOptions, "colours"): SegmentColours,
}
_ANGLES = {"crease_deg"}  # Blender keeps angles in radians


def read(control: Any, kind: type[Options]) -> Options:
    """The options of a control of the scene."""
    group = getattr(control, GROUPS[kind])
    values: dict[str, Any] = {}
    for name in (entry.name for entry in fields(kind)):
        switch = _SWITCHES.get(name, f"use_{name}")
        value = getattr(group, name)
        if not getattr(group, switch, True) or value == "AUTO":
            value = None
        elif (kind, name) in _ENUMS:
            value = _ENUMS[kind, name][value]
        elif name in _ANGLES:
            value = round(math.degrees(value), 4)
        elif isinstance(value, float):
            value = typed(value)
        values[name] = value
    return kind(**values)


def write(control: Any, options: Options) -> None:
    """Put options into a control of the scene."""
    kind = type(options)
    group = getattr(control, GROUPS[kind])
    values = {entry.name: getattr(options, entry.name) for entry in fields(kind)}
    if isinstance(options, DepthOptions) and options.far_m is not None:
        group.far_m = options.far_m  # first, as near pushes it away
    for name, value in values.items():
        switch = _SWITCHES.get(name, f"use_{name}")
        if hasattr(group, switch):
            setattr(group, switch, value is not None)
        if value is None:
            if (kind, name) in _ENUMS:
                setattr(group, name, "AUTO")
            continue
        if (kind, name) in _ENUMS:
            value = value.name
        elif name in _ANGLES:
            value = math.radians(value)
        setattr(group, name, value)
