"""Physical quantities to the control images that ControlNets were trained on. numpy and OpenCV; no torch.

`control_map` is the whole face. What each family expects is in `table`; the conversions are one module
each; photos go through `detectors`.
"""

from collections.abc import Callable

from ....protocol.arrays import AnyArray, ArrayRef, UInt8Array
from ....protocol.errors import InvalidArray, InvalidRequest
from ....protocol.geometry import Extent
from ....protocol.options import DepthOptions
from ....protocol.request import Control, ControlKind
from ....protocol.sources import DepthPass, NormalPass, Photo, PosePass, ReadyMap
from ..families import FamilyId
from .depth import depth_map
from .fitting import fit
from .normals import normal_map
from .openpose import pose_map
from .table import DepthConvention, EdgeConvention, NormalConvention, PoseConvention, convention

ReadArray = Callable[[ArrayRef], AnyArray]
Detect = Callable[[Photo, UInt8Array, Extent, EdgeConvention | None], UInt8Array]


def control_map(control: Control, *, family: FamilyId, extent: Extent, read: ReadArray, detect: Detect) -> UInt8Array:
    """The control image of `control`: (height, width, 3) uint8, row 0 at the top, exactly `extent` large.

    Passes must have that size already, for they are exact and resizing would invent surfaces between
    foreground and background; ready maps and photos are fitted (see `fitting.fit`).
    Raises InvalidRequest when source and kind don't go together, InvalidArray for a wrong shape.
    """
    rule = convention(family, control.kind)
    source = control.source
    match source:
        case ReadyMap():
            return fit(_image(read(source.image), "ready map"), extent)
        case Photo():
            edges = rule if isinstance(rule, EdgeConvention) else None
            return detect(source, _image(read(source.image), "photo"), extent, edges)
        case DepthPass() if isinstance(rule, DepthConvention):
            options = control.options if isinstance(control.options, DepthOptions) else DepthOptions()
            return depth_map(source, _sized(read(source.metres), extent, "depth pass", 2), rule, options)
        case NormalPass() if isinstance(rule, NormalConvention):
            return normal_map(_sized(read(source.normal_camera), extent, "normal pass", 3), rule)
        case PosePass() if isinstance(rule, PoseConvention):
            return pose_map(source.people, extent, rule)
        case _:
            raise InvalidRequest(reason=_mismatch(control.kind, type(source).__name__))


def _sized(array: AnyArray, extent: Extent, name: str, ndim: int) -> AnyArray:
    wanted = (extent.height, extent.width, 3)[:ndim]
    if array.dtype.name != "float32" or array.shape != wanted:
        raise InvalidArray(reason=f"the {name} is {array.dtype} {array.shape}, the picture needs float32 {wanted}")
    return array


def _image(array: AnyArray, name: str) -> UInt8Array:
    if array.dtype.name != "uint8" or array.ndim != 3 or array.shape[2] != 3 or 0 in array.shape:
        raise InvalidArray(reason=f"the {name} is {array.dtype} {array.shape}, expected uint8 (height, width, 3)")
    return array


def _mismatch(kind: ControlKind, source: str) -> str:
    return f"a {kind} control can't be made from a {source}"
