"""The picture that painting begins with, instead of noise alone: image to image, and inpainting with a mask."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ..protocol.arrays import AnyArray, ArrayRef, UInt8Array
from ..protocol.errors import InvalidRequest
from ..protocol.request import Start
from . import masks, pixels
from .capture import Capture, Wants, layer_name
from .decimals import typed
from .masks import Mask


@dataclass(frozen=True, kw_only=True)
class StartSettings:
    """A start without any reference to Blender's data."""

    image: UInt8Array | None = None  # (height, width, 3) sRGB, row 0 at the top; None takes the render of the scene
    strength: float = 0.8  # 0 leaves the picture as it is, 1 leaves nothing of it
    mask: UInt8Array | None = None  # (height, width), 255 is painted anew; any size
    mask_objects: frozenset[str] | None = None  # or what the camera sees of objects, by `name_full`
    mask_materials: frozenset[str] | None = None  # or of materials, likewise
    mask_grow_px: int = 0
    mask_blur_px: float = 0.0

    @property
    def masked(self) -> bool:
        """Whether a part alone is painted anew."""
        return any(part is not None for part in (self.mask, self.mask_objects, self.mask_materials))

    @property
    def wants(self) -> Wants:
        """What the capture has to hold, beside depth and normals."""
        return Wants(ids=self.masked and self.mask is None, beauty=self.image is None)


def from_scene(scene: Any, layer: Any = None) -> StartSettings | None:
    """What an original or evaluated scene's settings say; None for noise alone.

    `layer` is the view layer whose selection counts. Raises InvalidArray or InvalidRequest.
    """
    group = scene.underpaint.start
    if group.source == "NONE":
        return None
    image = _image(group)
    if group.source == "IMAGE" and image is None:
        raise InvalidRequest(reason="the start has no picture. Choose one, or start from the scene's render")
    selected = _selected(scene.original, layer) if group.mask_from == "SELECTED" else frozenset()
    mask = masks.read(group, image, "the start", selected=selected) or Mask()
    return StartSettings(
        image=None if image is None else pixels.pixels_of(image),
        strength=typed(group.strength),
        mask=mask.values,
        mask_objects=mask.objects,
        mask_materials=mask.materials,
        mask_grow_px=group.mask_grow_px,
        mask_blur_px=typed(group.mask_blur_px),
    )


def problem_of(group: Any) -> str:
    """What stands between the settings and a start, and what to do; "" where nothing is known."""
    if group.source == "NONE":
        return ""
    image = _image(group)
    if group.source == "IMAGE" and image is None:
        return "Choose the picture to start from"
    return (pixels.problem_of(image) if image is not None else "") or masks.problem_of(group, image)


def start(settings: StartSettings, capture: Capture, upload: Callable[[AnyArray], ArrayRef]) -> Start:
    """The start of a request. Raises InvalidRequest where nothing would be painted anew."""
    image = capture.beauty if settings.image is None else settings.image
    assert image is not None, "the capture was made without the render that this start wants"
    mask = None
    if settings.masked:
        chosen = Mask(values=settings.mask, objects=settings.mask_objects, materials=settings.mask_materials)
        values = chosen.over(capture, image.shape[:2])
        if not values.any():
            seen = "the mask is black" if chosen.values is not None else "the camera sees nothing of what is masked"
            raise InvalidRequest(reason=f"the start's mask leaves nothing to paint anew: {seen}")
        mask = upload(values)
    return Start(
        image=upload(image),
        strength=settings.strength,
        mask=mask,
        mask_grow_px=settings.mask_grow_px,
        mask_blur_px=settings.mask_blur_px,
    )


def _image(group: Any) -> Any:
    """The datablock that is started from; None for the scene's render."""
    return group.image if group.source == "IMAGE" else None


def _selected(scene: Any, layer: Any) -> frozenset[str]:
    """The selected objects of a scene, by `name_full`; the selection is the view layer's."""
    view_layer = scene.view_layers[layer_name(scene, layer)]
    return frozenset(thing.name_full for thing in view_layer.objects if thing.select_get(view_layer=view_layer))
