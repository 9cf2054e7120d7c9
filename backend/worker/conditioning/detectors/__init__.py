"""Photos to control images, by controlnet-aux's detectors. The only package that imports controlnet-aux.

What a detector finds goes to the same place as a scene's passes, and by the same table: white on black, near is
white, the ControlNet's own sticks and colours, exactly as large as the picture.
"""

import math
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

from .....protocol.arrays import UInt8Array
from .....protocol.checks import DETECTED
from .....protocol.errors import InvalidRequest
from .....protocol.geometry import Extent
from .....protocol.options import DetectorOptions
from .....protocol.request import ControlKind
from .....protocol.sources import Detector, Photo
from ...failures import is_out_of_memory
from ..table import Convention
from .catalogue import ROWS
from .weights import Found, broken, find, safely_read
from .work import LONGEST_PX, STEP_PX, Work, at_size, size_to_work_at

_KEPT_MB = 2000.0  # of weights in memory; a detector with more of them is alone


def _nobody(_: str) -> None:
    """Nobody listens."""


class Detectors:
    """The detectors in use, loaded once each."""

    def __init__(self, folder: Path, device: Callable[[], str]) -> None:
        """`device` names torch's device, and is asked when a net is about to be loaded."""
        self.folder = folder
        """Where weights that the user brings lie, under their own file names."""
        self._device = device
        self._loaded: dict[Detector, Any] = {}  # the one used last is the last

    def detect(
        self,
        photo: Photo,
        image: UInt8Array,
        extent: Extent,
        *,
        kind: ControlKind,
        rule: Convention,
        options: DetectorOptions,
        allow_download: bool,
        announce: Callable[[str], None] = _nobody,
    ) -> UInt8Array:
        """The control image that `photo.detector` finds in `image`: (height, width, 3) uint8, `extent` large.

        The photo is stretched where its proportions differ, as every picture is. `announce` hears what takes long
        before it begins. The same photo and options give the same map.

        Raises InvalidRequest for a detector that doesn't find this kind, options out of range and a photo in which
        nothing was found; DetectorMissing, naming what to put where; and ModelBroken, naming the file. Nothing is
        downloaded unless `allow_download`.
        """
        detector = photo.detector
        if kind not in DETECTED[detector]:
            kinds = " and ".join(DETECTED[detector])
            raise InvalidRequest(reason=f"the {detector} detector finds {kinds} images, not {kind}")
        _check(options)
        row = ROWS[detector]
        ready = self._load(detector, allow_download=allow_download, announce=announce)
        size = size_to_work_at(extent, options.resolution_px or row.resolution_px)
        work = Work(photo=image, image=at_size(image, size), extent=extent, kind=kind, rule=rule, options=options)
        with warnings.catch_warnings():
            _quieten()
            found = row.run(ready, work)
        if detector is not Detector.SHUFFLE and not found.any():
            raise InvalidRequest(reason=f"the {detector} detector found nothing in the photo")
        return found

    def clear(self) -> None:
        """Let go of every detector; what running out of memory calls for."""
        self._loaded.clear()

    def _load(self, detector: Detector, *, allow_download: bool, announce: Callable[[str], None]) -> Any:
        if detector in self._loaded:
            self._loaded[detector] = self._loaded.pop(detector)
            return self._loaded[detector]
        row = ROWS[detector]
        files = find(detector, row.needs, self.folder, allow_download=allow_download, announce=announce)
        self._make_room(row.megabytes)
        with warnings.catch_warnings():
            _quieten()
            if files:
                announce(f"Loading the {detector} detector")
                self._loaded[detector] = _build(detector, files, self._device())
            else:  # and no torch
                self._loaded[detector] = row.build(files, "")
        return self._loaded[detector]

    def _make_room(self, megabytes: float) -> None:
        while self._loaded and megabytes + sum(ROWS[name].megabytes for name in self._loaded) > _KEPT_MB:
            del self._loaded[next(iter(self._loaded))]


def _build(detector: Detector, files: list[Found], device: str) -> Any:
    with safely_read(detector, files) as asked_for:
        try:
            return ROWS[detector].build(files, device)
        except Exception as error:  # tensors that are missing or too many, by another name or of another shape
            if is_out_of_memory(error) or isinstance(error, ImportError):
                raise
            raise broken(detector, asked_for[-1:] or files, error) from error


def _quieten() -> None:
    # controlnet-aux warns of packages that it could use and of its own use of old names of timm and scikit-image.
    warnings.simplefilter("ignore")


def _check(options: DetectorOptions) -> None:
    def within(name: str, value: float | None, lowest: float, highest: float) -> None:
        if value is not None and not lowest <= value <= highest:  # a NaN is in no range
            reason = f"{name} is {value:g}, expected {lowest:g} to {highest:g}"
            raise InvalidRequest(reason=reason)

    within("the detector's resolution_px", options.resolution_px, STEP_PX, LONGEST_PX)
    within("low", options.low, 0, math.inf)
    within("high", options.high, 0, math.inf)
    within("score", options.score, 0, 1)
    within("distance", options.distance, 0, math.inf)
