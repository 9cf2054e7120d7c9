"""Nose, eyes and ears on the skin of a head, for rigs that have a head bone and nothing on it. Arrays only.

docs/adding-a-rig.md tells the rules: the nose is the farthest forward, the ears the farthest out, the eyes
stand in a fixed relation to them. All in the head's own frame: x to the person's left, y forward, z up.
"""

import numpy as np

from .face import HEAD_MM, TRAGUS_MM, Features, Points

_FEWEST = 30  # vertices that a head has at least
# What an ear is, in heights of the head: 63 mm long, 36 wide and 20 off a head of 225 (Farkas 1994). The
# point farthest out is on its rim; the ear's own point, the tragus, lies before, below and further in.
_RIM_TO_TRAGUS = np.array((-0.08, 0.08, -0.06))
_PROTRUSION = 0.035  # less than this, and the head is modelled without ears
_EARS_WIDEN = 1.2  # the head with its ears, by the head without
# Eyes above the tip of the nose, in heights of the head, and from the middle, in widths with ears. Measured on
# the humans of Rigify (0.17, 0.21) and MPFB (0.16, 0.19); Farkas has 0.16 and 0.17.
_EYES_UP, _EYES_OUT = 0.17, 0.185


def features(skin: Points) -> Features | None:
    """Nose, eyes and ears of a head's vertices (n, 3); None where they are no head."""
    if len(skin) < _FEWEST:
        return None
    low, high = skin.min(axis=0), skin.max(axis=0)
    height, width = high[2] - low[2], high[0] - low[0]
    if not (height > 0 and width > 0 and width < 3 * height):
        return None
    level = (skin[:, 2] - low[2]) / height
    middle = np.abs(skin[:, 0]) < 0.15 * width / 2
    front = skin[middle & (level > 0.25) & (level < 0.6)]
    if not len(front):
        return None
    tip = front[front[:, 1] > front[:, 1].max() - 0.01 * height]
    nose = np.array((0.0, tip[:, 1].max(), tip[:, 2].mean()))
    rims = _rims(skin[(level > 0.35) & (level < 0.65)], height)
    if rims is None:
        return None
    has_ears, ears = rims
    out = _EYES_OUT * width * (1.0 if has_ears else _EARS_WIDEN)
    up = nose[2] + _EYES_UP * height
    eyes = np.array([(x, _surface(skin, x, up, height), up) for x in (out, -out)])
    if has_ears:
        ears[:, 1:] += _RIM_TO_TRAGUS[1:] * height
        ears[:, 0] += np.array((1, -1)) * _RIM_TO_TRAGUS[0] * height
    else:
        ears[:, 1:] = (eyes.mean(axis=0) + TRAGUS_MM * height / HEAD_MM)[1:]
    return Features(nose=nose, eyes=eyes, ears=ears, height=float(height))


def _rims(sides: Points, height: float) -> tuple[bool, Points] | None:
    """Whether the head has ears, and its farthest points out (2, 3), left before right."""
    places: list[Points] = []
    out: list[float] = []
    for sign in (1, -1):
        half = sides[sides[:, 0] * sign > 0] * (sign, 1, 1)
        if not len(half):
            return None
        rim = half[half[:, 0] > half[:, 0].max() - 0.02 * height].mean(axis=0)
        before = half[(half[:, 1] > rim[1] + 0.1 * height) & (half[:, 1] < rim[1] + 0.3 * height)]
        out.append(rim[0] - before[:, 0].max() if len(before) else 0.0)
        places.append(rim * (sign, 1, 1))
    return min(out) > _PROTRUSION * height, np.array(places)


def _surface(skin: Points, x: float, z: float, height: float) -> float:
    """How far forward the skin is at a place seen from the front."""
    front = skin[skin[:, 1] > np.median(skin[:, 1])]
    away = np.hypot(front[:, 0] - x, front[:, 2] - z)
    nearest = np.argsort(away)[:8]
    outermost = front[nearest, 1] > front[nearest, 1].max() - 0.08 * height  # and not the inside of an eye's socket
    weight = 1 / (away[nearest][outermost] + 0.002 * height)
    return float(np.average(front[nearest, 1][outermost], weights=weight))
