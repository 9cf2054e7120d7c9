"""The picture to begin with as data, and how it becomes a request. Knows no Qt."""

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ..protocol.arrays import AnyArray, ArrayRef
from ..protocol.errors import InvalidRequest, UnderpaintError
from ..protocol.request import Start
from .control_form import Picture


@dataclass(frozen=True, kw_only=True)
class StartForm:
    """Image to image where there is a picture, inpainting where there is a mask too."""

    image: Picture | ArrayRef | None = None  # a reference is of what the service has already
    mask: Picture | ArrayRef | None = None  # white is painted anew
    use_alpha: bool = True  # where there is no mask: what is transparent in the image is painted anew
    strength: float = 0.8
    mask_grow_px: int = 0
    mask_blur_px: float = 0.0


NO_START = StartForm()


def has_alpha(start: StartForm) -> bool:
    """Whether the image has transparent parts."""
    return isinstance(start.image, Picture) and start.image.rgba is not None


def is_masked(start: StartForm) -> bool:
    """Whether part of the image is kept."""
    return start.image is not None and (start.mask is not None or (start.use_alpha and has_alpha(start)))


def size_px(image: Picture | ArrayRef) -> tuple[int, int]:
    """Width and height."""
    height, width = (image.pixels.shape if isinstance(image, Picture) else image.shape)[:2]
    return width, height


def start_problems(start: StartForm) -> list[UnderpaintError]:
    """Why it can't be asked for."""
    if start.image is None or start.mask is None:
        return []
    mask, image = size_px(start.mask), size_px(start.image)
    if mask == image:
        return []
    reason = f"the mask of the start picture is {mask[0]} x {mask[1]}, the picture is {image[0]} x {image[1]}"
    return [InvalidRequest(reason=reason)]


def to_start(start: StartForm, upload: Callable[[AnyArray], ArrayRef]) -> Start | None:
    """The start of a request; None without an image. Raises the first of `start_problems`."""
    for problem in start_problems(start):
        raise problem
    image = start.image
    if image is None:
        return None
    mask = start.mask
    if isinstance(mask, Picture):
        mask = upload(np.ascontiguousarray(mask.pixels.max(axis=2)))
    if isinstance(image, Picture):
        if mask is None and start.use_alpha and image.rgba is not None:
            mask = upload(255 - image.rgba[..., 3])
            image = upload(np.ascontiguousarray(image.rgba[..., :3]))  # with its colours below what was erased
        else:
            image = upload(image.pixels)
    grow, blur = (start.mask_grow_px, start.mask_blur_px) if mask is not None else (0, 0.0)
    return Start(image=image, strength=start.strength, mask=mask, mask_grow_px=grow, mask_blur_px=blur)


def restored_start(start: Start | None, form: StartForm) -> StartForm:
    """The form that makes a start again; without one, the form without its pictures."""
    if start is None:
        return dataclasses.replace(form, image=None, mask=None)
    return StartForm(
        image=start.image,
        mask=start.mask,
        use_alpha=form.use_alpha,
        strength=start.strength,
        mask_grow_px=start.mask_grow_px,
        mask_blur_px=start.mask_blur_px,
    )
