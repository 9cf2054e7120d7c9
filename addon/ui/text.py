"""Longer texts in panels."""

import textwrap
from typing import Any

_POINTS_A_CHARACTER = 6.4  # of Blender's interface font, on average, at 72 dpi
_MARGIN_POINTS = 60  # of a panel, an icon and the scroll bar


def paragraph(layout: Any, context: Any, text: str, *, icon: str = "NONE") -> None:
    """A text over as many lines as the region's width asks for; Blender's labels don't wrap."""
    width = context.region.width / context.preferences.system.ui_scale - _MARGIN_POINTS
    lines = textwrap.wrap(text, max(20, int(width / _POINTS_A_CHARACTER)))
    column = layout.column(align=True)
    column.scale_y = 0.8
    for number, line in enumerate(lines):
        column.label(text=line, icon=icon if number == 0 else "BLANK1" if icon != "NONE" else "NONE")
