"""Physical quantities to the control images that ControlNets were trained on. numpy and OpenCV; no torch.

`control_map` is the whole face. What each family expects is in `table`, the modes of union nets in `unions`;
the conversions are one module each; photos go through `detectors`.
"""

from typing import Any, Protocol, TypeVar

from ....protocol.arrays import AnyArray, ArrayRef, DType, Float32Array, UInt8Array
from ....protocol.errors import InvalidArray, InvalidRequest
from ....protocol.geometry import Extent
from ....protocol.options import (
    DepthOptions,
    DetectorOptions,
    LineOptions,
    NormalOptions,
    Options,
    PictureOptions,
    PoseOptions,
    SegmentationOptions,
)
from ....protocol.request import Control, ControlKind
from ....protocol.sources import (
    DepthPass,
    InpaintPass,
    LinesPass,
    NormalPass,
    Photo,
    PicturePass,
    PosePass,
    ReadyMap,
    SegmentationPass,
)
from ..families import FamilyId
from .depth import depth_map
from .fitting import fit
from .found import FoundLines
from .inpaint import inpaint_map
from .lines import draw_lines
from .normals import normal_map, slope_map
from .openpose import pose_map
from .pictures import picture_map
from .segmentation import segmentation_map
from .table import (
    Convention,
    DepthConvention,
    InpaintConvention,
    LineConvention,
    NetKind,
    NormalConvention,
    PictureConvention,
    PoseConvention,
    SegmentationConvention,
    convention,
)

ControlMap = UInt8Array | Float32Array
_Some = TypeVar("_Some", bound=Options)


class ReadArray(Protocol):
    """Fetches what a reference names."""

    def __call__(self, ref: ArrayRef, /) -> AnyArray: ...


class Detect(Protocol):
    """Finds a control image in a photo: (height, width, 3) uint8, `extent` large."""

    def __call__(
        self,
        photo: Photo,
        image: UInt8Array,
        extent: Extent,
        *,
        kind: ControlKind,
        rule: Convention,
        options: DetectorOptions,
    ) -> UInt8Array: ...


def control_map(
    control: Control,
    *,
    family: FamilyId,
    net: NetKind = NetKind.PLAIN,
    extent: Extent,
    read: ReadArray,
    detect: Detect,
    lines: FoundLines | None = None,
) -> ControlMap:
    """The control image of `control`: (height, width, 3), row 0 at the top, exactly `extent` large.

    uint8; for inpaint nets that want -1 where is to be painted, float32 with 0..1 elsewhere.
    Passes must have that size already, for they are exact and resizing would invent surfaces between
    foreground and background; pictures, ready maps and photos are fitted (see `fitting.fit`).
    `lines` remembers the lines that maps before this one have found.
    Raises InvalidRequest when the family has no such nets or source and kind don't go together,
    InvalidArray for a wrong shape.
    """
    rule = convention(family, control.kind, net, control.controlnet)
    source = control.source
    match source:
        case ReadyMap():
            return fit(_image(read(source.image), "ready map"), extent)
        case Photo():
            options = _options(control, DetectorOptions)
            image = _image(read(source.image), "photo")
            return detect(source, image, extent, kind=control.kind, rule=rule, options=options)
        case DepthPass() if isinstance(rule, DepthConvention):
            metres = _sized(read(source.metres), extent, "depth pass", DType.FLOAT32)
            return depth_map(source.projection, metres, rule, _options(control, DepthOptions))
        case DepthPass() if isinstance(rule, NormalConvention):
            metres = _sized(read(source.metres), extent, "depth pass", DType.FLOAT32)
            return slope_map(source.projection, metres, rule, _options(control, NormalOptions))
        case NormalPass() if isinstance(rule, NormalConvention):
            normal = _sized(read(source.normal_camera), extent, "normal pass", DType.FLOAT32, 3)
            return normal_map(normal, rule, _options(control, NormalOptions))
        case LinesPass() if isinstance(rule, LineConvention):
            options = _options(control, LineOptions)
            kinds = (lines or FoundLines()).find(
                source,
                _sized(read(source.metres), extent, "depth pass", DType.FLOAT32),
                _sized(read(source.normal_camera), extent, "normal pass", DType.FLOAT32, 3),
                _sized(read(source.objects), extent, "object pass", DType.INT32),
                _sized(read(source.materials), extent, "material pass", DType.INT32),
                options,
            )
            return draw_lines(kinds, rule, options)
        case PosePass() if isinstance(rule, PoseConvention):
            return pose_map(source.people, extent, rule, _options(control, PoseOptions))
        case SegmentationPass() if isinstance(rule, SegmentationConvention):
            indices = _sized(read(source.indices), extent, "segmentation pass", DType.INT32)
            options = _options(control, SegmentationOptions)
            return segmentation_map(indices, source.segments, source.background, rule, options)
        case PicturePass() if isinstance(rule, PictureConvention):
            image = _image(read(source.image), "picture")
            return picture_map(image, extent, rule, _options(control, PictureOptions))
        case InpaintPass() if isinstance(rule, InpaintConvention):
            image = _image(read(source.image), "picture")
            mask = _mask(read(source.mask), image)
            return inpaint_map(image, mask, extent, rule, _options(control, PictureOptions))
        case _:
            raise InvalidRequest(reason=f"no {control.kind} control can be made from {type(source).__name__}")


def _options(control: Control, kind: type[_Some]) -> _Some:
    if control.options is None:
        return kind()
    if not isinstance(control.options, kind):
        name, source = type(control.options).__name__, type(control.source).__name__
        raise InvalidRequest(reason=f"{name} don't go with the {source} of a {control.kind} control")
    return control.options


def _sized(array: AnyArray, extent: Extent, name: str, dtype: DType, *channels: int) -> Any:
    wanted = (extent.height, extent.width, *channels)
    if array.dtype.name != dtype or array.shape != wanted:
        raise InvalidArray(reason=f"the {name} is {array.dtype} {array.shape}, the picture needs {dtype} {wanted}")
    return array


def _image(array: AnyArray, name: str) -> UInt8Array:
    if array.dtype.name != "uint8" or array.ndim != 3 or array.shape[2] != 3 or 0 in array.shape:
        raise InvalidArray(reason=f"the {name} is {array.dtype} {array.shape}, expected uint8 (height, width, 3)")
    return array


def _mask(array: AnyArray, image: UInt8Array) -> UInt8Array:
    if array.dtype.name != "uint8" or array.shape != image.shape[:2]:
        raise InvalidArray(reason=f"the mask is {array.dtype} {array.shape}, expected uint8 {image.shape[:2]}")
    return array
