"""Results as image datablocks: each carries its request, so that a picture can be made, or projected, again.

For the main thread only.
"""

import functools
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import bpy
import numpy as np

from ..protocol import ade20k, arrays, record, wire
from ..protocol.arrays import UInt8Array
from ..protocol.errors import InvalidRequest, NoPicture
from ..protocol.geometry import Extent
from ..protocol.jobs import Phase, Timing
from ..protocol.request import Control, GenerateRequest, Start
from ..protocol.sources import InpaintPass, Photo, PicturePass, PosePass, ReadyMap, SegmentationPass
from . import camera as cameras
from . import curves, extras, openpose_text, option_values, passes, pixels, png, properties, records

if TYPE_CHECKING:
    from .generation import Outcome

REQUEST = "underpaint_request"  # the GenerateRequest as JSON
_TIMINGS = "underpaint_timings"  # [[phase, milliseconds], ...] as JSON
_MADE_AT = "underpaint_made_at"  # Unix seconds
_NAME_LENGTH = 48  # of Blender's 63 bytes; leaves room for ".001"
_BLENDER_INT_MAX = 2**31 - 1


@dataclass(frozen=True, kw_only=True)
class Details:
    """What a result says of itself."""

    request: GenerateRequest
    timings: tuple[Timing, ...]
    made_at: float  # Unix seconds


def new_result(
    picture: UInt8Array,
    request: GenerateRequest,
    *,
    timings: Sequence[Timing] = (),
    name: str | None = None,
    packed: bytes | None = None,
    made_at: float | None = None,
) -> Any:
    """A packed byte image with `picture`, (height, width, 3) sRGB, row 0 at the top; its bytes are exact.

    It has a fake user, so that saving the file keeps it until the user deletes it from the history.
    `packed` is its PNG where there is one already: making it takes 0.1 s at 512 x 512.
    """
    height, width, _ = picture.shape
    data = packed or png.encoded(picture)
    image = bpy.data.images.new(name or _name_for(request), width, height, alpha=False, float_buffer=False)
    try:
        image.colorspace_settings.name = "sRGB"
        image.pack(data=data, data_len=len(data))
        image.source = "FILE"  # so that Blender reads what is packed, once someone looks at it
        image.use_fake_user = True
        image[REQUEST] = wire.dumps(request)
        set_timings(image, timings)
        image[_MADE_AT] = time.time() if made_at is None else made_at
    except BaseException:
        bpy.data.images.remove(image)
        raise
    return image


def keep(
    outcome: "Outcome",
    *,
    timings: Sequence[Timing] | None = None,
    name: str | None = None,
    packed: Sequence[bytes] | None = None,
) -> tuple[Any, ...]:
    """A result for each picture of a job, in their order; each carries the request that makes it alone.

    Those of several bear their seeds in their names, but for a `name` of the caller's. `packed` is
    `records.packed(outcome)` where another thread has made it.
    """
    several = len(outcome.pictures) > 1
    made_at = time.time()  # of all: they stand together in the history, by their names
    made: list[Any] = []
    for number, (picture, data) in enumerate(zip(outcome.pictures, packed or records.packed(outcome), strict=True)):
        request = record.alone(outcome.request, number)
        image = new_result(
            picture,
            request,
            timings=outcome.timings if timings is None else timings,
            name=name or (f"{_name_for(request)}, {request.seed}" if several else None),
            packed=data,
            made_at=made_at,
        )
        made.append(image)
    return tuple(made)


def set_timings(image: Any, timings: Sequence[Timing]) -> None:
    """Let a result say how long each phase took."""
    image[_TIMINGS] = json.dumps([[timing.phase.value, timing.ms] for timing in timings])


def write(image: Any, picture: UInt8Array) -> None:
    """Put a picture of the image's own size into it, opaque."""
    height, width, _ = picture.shape
    values = np.ones((height, width, 4), np.float32)
    np.divide(picture[::-1], np.float32(255), out=values[..., :3], casting="unsafe")
    image.pixels.foreach_set(values.ravel())
    image.update()


def is_result(image: Any) -> bool:
    """Whether an image datablock carries a request."""
    return REQUEST in image


def results() -> list[Any]:
    """Every result in this file, newest first."""
    return sorted(filter(is_result, bpy.data.images), key=lambda image: image.get(_MADE_AT, 0.0), reverse=True)


def active_result() -> Any:
    """The history's active picture; the newest where none is chosen. Raises NoPicture."""
    chosen = bpy.data.images.get(bpy.context.window_manager.underpaint.result_name)
    if chosen is not None and is_result(chosen):
        return chosen
    newest = results()[:1]
    if not newest:
        raise NoPicture()
    return newest[0]


def request_of(image: Any) -> GenerateRequest:
    """The request that made a result. Raises NoPicture, or InvalidRequest when it was tampered with."""
    if not is_result(image):
        raise NoPicture()
    return _request(image[REQUEST])


def details_of(image: Any) -> Details:
    """All that a result says of itself; raises as `request_of` does."""
    return Details(
        request=request_of(image),
        timings=tuple(Timing(phase=Phase(phase), ms=ms) for phase, ms in json.loads(image.get(_TIMINGS, "[]"))),
        made_at=image.get(_MADE_AT, 0.0),
    )


def restore(image: Any, scene: Any) -> list[str]:
    """Put the settings that made a result back into a scene, the frame's size included.

    The controls whose image or mask has changed or is gone are switched off, and so is the start; their names are
    returned. Precision and memory are the computer's, and stay. On an
    error (as in `request_of`, or a seed that Blender's integers can't hold) the scene is unchanged.
    """
    return restore_request(request_of(image), scene)


def lost_words(names: Sequence[str]) -> str:
    """What to tell of the controls that `restore` names."""
    listed = ", ".join(dict.fromkeys(names))
    return f"The image or mask of {listed} has changed or is gone: choose it again, and switch it on"


def restore_request(request: GenerateRequest, scene: Any) -> list[str]:
    """Put a request's settings into a scene; as `restore`."""
    seed = max(request.seed, *(getattr(control.options, "seed", 0) for control in request.controls), 0)
    if seed > _BLENDER_INT_MAX:
        raise InvalidRequest(reason=f"its seed {seed} is larger than Blender's integers")
    settings = scene.underpaint
    settings.prompt = request.prompt
    settings.negative_prompt = request.negative_prompt
    settings.checkpoint = request.checkpoint
    settings.steps = request.steps
    settings.guidance_scale = request.guidance_scale
    settings.scheduler = request.scheduler.name
    settings.sigmas = request.sigmas.name
    settings.seed = request.seed
    settings.pictures = len(request.pictures)
    settings.batch_size = request.batch_size
    settings.controls.clear()
    lost = [
        name
        for control in request.controls
        for name in _restore_control(settings.controls.add(), control, request.size)
    ]
    if not _restore_start(settings.start, request.start):
        lost.append("Start")
    lost += extras.restore(settings.extras, request, _image_with)
    if not request.controls:  # an empty list would stand for the default ones
        properties.add_default_controls(settings, enabled=False)
    settings.active_control = 0
    if cameras.frame(scene) != request.size:
        set_size(scene, request.size)
    passes.refresh(scene)
    return lost


def _restore_control(item: Any, control: Control, size: Extent) -> list[str]:
    """Put one control back; its name, where it lacks an image now."""
    item.kind = control.kind.name
    item.name = properties.label_of(control.kind.name)
    item.controlnet = control.controlnet
    item.conditioning_scale = control.conditioning_scale
    item.start = control.start
    item.end = control.end
    item.guess_mode = control.guess_mode
    curves.write(item.curve, control.curve)
    source = control.source
    if isinstance(source, (Photo, ReadyMap, PicturePass, InpaintPass)):
        item.image = _image_with(source.image)
        if isinstance(source, Photo):
            item.detector = source.detector.name
        elif isinstance(source, ReadyMap):
            item.image_is = "MAP"
        if item.image is None and isinstance(source, (Photo, ReadyMap)):
            item.enabled = False
    if isinstance(source, InpaintPass) and not _restore_mask(item, source.mask):
        item.enabled = False
    if isinstance(source, PosePass):
        item.pose_text = openpose_text.text_with(bpy.data.texts, source.people, size)
    if isinstance(source, SegmentationPass):
        item.segmentation.background = "" if source.background is None else ade20k.NAMES[source.background]
    if control.options is not None:
        option_values.write(item, control.options)
    return [] if item.enabled else [item.name]


def _restore_start(group: Any, start: Start | None) -> bool:
    """Put the start back; False where its mask is gone. An image that is none of the file's was the scene's render."""
    if start is None:
        group.source = "NONE"
        return True
    group.image = _image_with(start.image)
    group.source = "RENDER" if group.image is None else "IMAGE"
    group.strength = start.strength
    group.mask_grow_px, group.mask_blur_px = start.mask_grow_px, start.mask_blur_px
    if start.mask is None:
        group.mask_from = "NONE"
    elif not _restore_mask(group, start.mask):
        group.source = "NONE"
        return False
    return True


def _restore_mask(item: Any, mask: arrays.ArrayRef) -> bool:
    """Find the image that a mask came from; of objects that were one nothing is kept."""
    if item.image is not None and item.image.channels == 4:
        item.mask_from = "ALPHA"
        if _digest(255 - pixels.alpha_of(item.image)) == mask.sha256:
            return True
    item.mask_from, item.mask_image = "IMAGE", _image_with(mask, pixels.brightness_of)
    if item.mask_image is None:
        item.mask_from = "OBJECTS"
    return item.mask_image is not None


def set_size(scene: Any, size: Extent) -> None:
    """Make the scene's rendered frame exactly so large."""
    render = scene.render
    render.resolution_percentage = 100
    render.resolution_x, render.resolution_y = size.width, size.height


def show(image: Any, context: Any) -> bool:
    """Show an image in the Image Editor the user looks at, or the first open one; False where none is open."""
    space = editor(context)
    if space is None:
        return False
    space.image = image
    return True


def editor(context: Any) -> Any:
    """The Image Editor to show a picture in: the context's own, else the first that isn't pinned."""
    own = getattr(context, "space_data", None)
    if own is not None and own.type == "IMAGE_EDITOR" and not own.use_image_pin:
        return own
    for window in context.window_manager.windows:
        for area in window.screen.areas:
            if area.ui_type == "IMAGE_EDITOR" and not area.spaces.active.use_image_pin:
                return area.spaces.active
    return None


def _image_with(ref: arrays.ArrayRef, read: Callable[[Any], UInt8Array] = pixels.pixels_of) -> Any:
    """The datablock of which `read` gives a request's blob; None when it has changed or is gone."""
    height, width = ref.shape[:2]
    for image in bpy.data.images:
        if tuple(image.size) != (width, height) or image.channels < 3 or pixels.problem_of(image):
            continue
        if _digest(read(image)) == ref.sha256:
            return image
    return None


def _digest(array: UInt8Array) -> str:
    return arrays.digest(arrays.encode(array))


@functools.lru_cache(maxsize=256)
def _request(text: str) -> GenerateRequest:
    """Kept, as the history reads the request of every row it shows, whenever it is drawn: a millisecond each."""
    return wire.loads(GenerateRequest, text, ignore_unknown=True)


def _name_for(request: GenerateRequest) -> str:
    words = " ".join(request.prompt.split())
    return words.encode()[:_NAME_LENGTH].decode(errors="ignore").strip() or "Painting"
