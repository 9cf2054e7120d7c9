"""Which control a ControlNet is for, as its name hints: nothing else in a plain net tells.

Only asked of what is a ControlNet by its keys. The words are those of the ControlNet 1.1 files and of the nets in
docs/conventions.md.
"""

import re

from ...protocol.request import ControlKind

_WORDS: tuple[tuple[str, ControlKind], ...] = (
    (r"lineart[-_ ]?anime|anime[-_ ]?lineart|s2[-_ ]?anime", ControlKind.LINEART_ANIME),
    (r"line[-_ ]?art", ControlKind.LINEART),
    (r"normal([-_ ]?(bae|map))?s?", ControlKind.NORMAL),
    (r"depth", ControlKind.DEPTH),
    (r"open[-_ ]?pose|pose", ControlKind.OPENPOSE),
    (r"canny", ControlKind.CANNY),
    (r"soft[-_ ]?edge|hed|pidi(net)?", ControlKind.SOFTEDGE),
    (r"scribble", ControlKind.SCRIBBLE),
    (r"mlsd", ControlKind.MLSD),
    (r"seg(mentation)?", ControlKind.SEGMENTATION),
    (r"inpaint(ing)?", ControlKind.INPAINT),
    (r"tile", ControlKind.TILE),
    (r"shuffle", ControlKind.SHUFFLE),
    (r"blur", ControlKind.BLUR),
    (r"gr[ae]y(scale)?", ControlKind.GRAY),
)


def control_kinds(*names: str) -> tuple[str, ...]:
    """The controls that the last of the names with any names; empty where none does."""
    for name in reversed(names):
        left, found = name.lower(), list[str]()
        for pattern, kind in _WORDS:
            left, times = re.subn(rf"(?<![a-z])({pattern})(?![a-z])", " ", left)
            if times:
                found.append(kind.value)
        if found:
            return tuple(found)
    return ()
