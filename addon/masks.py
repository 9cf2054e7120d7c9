"""Which part of a picture is painted anew: by an image, or by what the camera sees of the scene's things.

The settings are those of an Inpaint control or of a start; both name them alike.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from ..protocol.arrays import UInt8Array
from ..protocol.errors import InvalidRequest
from . import pixels
from .conversion import Capture


@dataclass(frozen=True, kw_only=True)
class Mask:
    """One of the three says what is painted anew."""

    values: UInt8Array | None = None  # (height, width), 255 is painted anew; any size
    objects: frozenset[str] | None = None  # by `name_full`
    materials: frozenset[str] | None = None  # by `name_full`

    def over(self, capture: Capture, shape: tuple[int, ...]) -> UInt8Array:
        """The mask of an image of this shape (height, width), of which the scene's part is exact to the pixel."""
        if self.values is not None:
            return fitted(self.values, shape)
        if self.objects is not None:
            ids, names, chosen = capture.object_ids, capture.object_names, self.objects
        else:
            assert self.materials is not None
            ids, names, chosen = capture.material_ids, capture.material_names, self.materials
        assert ids is not None, "the capture was made without the ids that this mask wants"
        numbers = [number for number, name in enumerate(names, 1) if name in chosen]
        return fitted(np.where(np.isin(ids, numbers), np.uint8(255), np.uint8(0)), shape)


def read(owner: Any, image: Any, what: str, *, selected: frozenset[str] = frozenset()) -> Mask | None:
    """The mask that settings speak of; None where they speak of none.

    `image` is the datablock that is masked, None where that is the scene itself, and `what` is its owner, for messages.
    `selected` are the objects that are, by `name_full`. Raises InvalidRequest or InvalidArray.
    """
    problem = problem_of(owner, image)
    if owner.mask_from == "SELECTED" and not selected:
        problem = "Select the objects that are painted anew"
    if problem:
        raise InvalidRequest(reason=f"{what} has no mask. {problem}")
    match owner.mask_from:
        case "NONE":
            return None
        case "ALPHA":
            return Mask(values=255 - pixels.alpha_of(image))
        case "IMAGE":
            return Mask(values=pixels.brightness_of(owner.mask_image))
        case "SELECTED":
            return Mask(objects=selected)
        case "MATERIAL":
            return Mask(materials=frozenset({owner.mask_material.name_full}))
    chosen = [] if owner.mask_object is None else [owner.mask_object]
    if owner.mask_collection is not None:
        chosen += owner.mask_collection.all_objects
    return Mask(objects=frozenset(thing.name_full for thing in chosen))


def problem_of(owner: Any, image: Any) -> str:
    """What stands between the settings and a mask of an image, and what to do; "" where nothing is known."""
    match owner.mask_from:
        case "OBJECTS":
            if owner.mask_object is None and owner.mask_collection is None:
                return "Choose an object or a collection that is painted anew"
            if owner.mask_object is None and not len(owner.mask_collection.all_objects):
                return f'The collection "{owner.mask_collection.name}" is empty: choose another'
        case "MATERIAL":
            if owner.mask_material is None:
                return "Choose a material that is painted anew"
        case "IMAGE":
            if owner.mask_image is None:
                return "Choose a mask image: white is painted anew"
            return pixels.problem_of(owner.mask_image)
        case "ALPHA":
            if image is None:
                return "Choose an image whose transparent parts are painted anew"
            if image.channels < 4 or image.alpha_mode == "NONE":
                return f'"{image.name}" has no alpha channel: choose another image, or another mask'
    return ""


def fitted(mask: UInt8Array, shape: tuple[int, ...]) -> UInt8Array:
    """A mask at another size, nearest: it says yes or no."""
    if mask.shape == shape:
        return mask
    rows, columns = (
        (np.arange(wanted) * 2 + 1) * have // (wanted * 2) for have, wanted in zip(mask.shape, shape, strict=True)
    )
    return np.ascontiguousarray(mask[rows][:, columns])
