"""Detectors of depth and of directions."""

import warnings
from typing import Any

import numpy as np

from .....protocol.arrays import UInt8Array
from .....protocol.errors import InvalidRequest
from .....protocol.options import NormalEncoding
from ..table import NormalConvention
from .work import Work, smooth

# Channels that run the other way than in what NormalBAE gives: red faces image left, green up, blue the viewer.
_TURNED: dict[NormalEncoding, tuple[int, ...]] = {
    NormalEncoding.BAE: (),
    NormalEncoding.OPENGL: (0,),
    NormalEncoding.DIRECTX: (0, 1),
}


def depth(detector: Any, work: Work) -> UInt8Array:
    """MiDaS, Zoe, LeReS: near is white. MiDaS gives disparity; Zoe and LeReS depth, which the library turns around."""
    with warnings.catch_warnings():
        # A photo of nothing has one depth; its range is empty, and numpy says so. The map is black.
        warnings.simplefilter("ignore", RuntimeWarning)
        found = detector(work.image, output_type="np", **work.at_its_size)
    return smooth(found, work.extent)


def normal(detector: Any, work: Work) -> UInt8Array:
    """NormalBAE, in the colours that the ControlNet was trained on."""
    encoding = work.rule.encoding if isinstance(work.rule, NormalConvention) else NormalEncoding.BAE
    if encoding not in _TURNED:
        reason = f"this ControlNet wants {encoding} normals, which no detector finds; use a scene or a ready map"
        raise InvalidRequest(reason=reason)
    found = smooth(detector(work.image, output_type="np", **work.at_its_size), work.extent)
    turned = np.array(found)
    for channel in _TURNED[encoding]:
        turned[:, :, channel] = 255 - turned[:, :, channel]
    return turned
