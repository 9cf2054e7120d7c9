"""Photos to control images, by controlnet-aux's detectors. The only place that imports controlnet-aux."""

import importlib
import os
import pickle
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from ....protocol.arrays import UInt8Array
from ....protocol.errors import DetectorMissing, InvalidRequest, ModelBroken
from ....protocol.geometry import Extent
from ....protocol.options import DetectorOptions
from ....protocol.request import ControlKind
from ....protocol.sources import Detector, Photo
from ..third_party import hub_is_offline
from .fitting import fit
from .table import Convention

REPOSITORY = "lllyasviel/Annotators"  # where controlnet-aux gets its weights
_CANNY_LOW, _CANNY_HIGH = 100.0, 200.0  # controlnet-aux's defaults; v1.1 was trained with random ones


@dataclass(frozen=True, kw_only=True)
class _Row:
    """A detector with weights."""

    class_name: str  # in controlnet_aux
    files: tuple[str, ...]
    megabytes: int  # of all of them, about


_ROWS: dict[Detector, _Row] = {
    Detector.MIDAS: _Row(
        class_name="MidasDetector",
        files=("dpt_hybrid-midas-501f0c75.pt",),
        megabytes=490,
    ),
    Detector.NORMAL_BAE: _Row(
        class_name="NormalBaeDetector",
        files=("scannet.pt",),
        megabytes=290,
    ),
    Detector.OPENPOSE: _Row(
        class_name="OpenposeDetector",
        files=("body_pose_model.pth", "hand_pose_model.pth", "facenet.pth"),
        megabytes=510,
    ),
}


class Detectors:
    """The detectors in use, loaded once each."""

    def __init__(self, folder: Path, device: str) -> None:
        self.folder = folder
        """Where weights that the user brings lie, under their own file names."""
        self._device = device
        self._loaded: dict[Detector, Any] = {}

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
    ) -> UInt8Array:
        """The control image that `photo.detector` finds in `image`: (height, width, 3) uint8, `extent` large.

        Raises DetectorMissing, naming what to put where, and ModelBroken; nothing is downloaded unless
        `allow_download`.
        """
        if photo.detector is Detector.CANNY:
            if kind is not ControlKind.CANNY:
                raise InvalidRequest(reason="the canny detector serves canny controls only")
            # OpenCV's Canny is all that controlnet-aux's detector calls, but that one works at multiples of 64
            # and scales the lines afterwards, which blurs them; at the final size they stay one pixel wide.
            lines = cv2.Canny(
                fit(image, extent),
                _CANNY_LOW if options.low is None else options.low,
                _CANNY_HIGH if options.high is None else options.high,
            )
            return np.repeat(np.asarray(lines, np.uint8)[:, :, None], 3, axis=2)
        detector = self._load(photo.detector, allow_download=allow_download)
        shorter = min(extent.width, extent.height)
        found = detector(image, detect_resolution=512, image_resolution=shorter, output_type="np")
        return fit(np.asarray(found, np.uint8), extent)

    def _load(self, kind: Detector, *, allow_download: bool) -> Any:
        if kind in self._loaded:
            return self._loaded[kind]
        row = _ROWS[kind]
        missing = [name for name in row.files if not (self.folder / name).is_file()]
        source = self.folder if not missing else _cached(row)
        online = allow_download and not hub_is_offline()
        if source is None and not online:
            raise DetectorMissing(
                detector=kind,
                reason=f"put {', '.join(missing)} (about {row.megabytes} MB, from the hub repository {REPOSITORY}) "
                f"into {self.folder}, or allow downloads",
            )
        # These weights are pickles, the only ones that are read anywhere. torch reads no code from them by default,
        # and nobody's environment may change that.
        os.environ.pop("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", None)
        with warnings.catch_warnings():
            # controlnet-aux warns of optional packages and of timm's old names, none of which is used here.
            warnings.simplefilter("ignore")
            detector_class = getattr(importlib.import_module("controlnet_aux"), row.class_name)
            try:
                loaded = detector_class.from_pretrained(REPOSITORY if source is None else str(source))
            except (pickle.UnpicklingError, EOFError, KeyError, RuntimeError) as error:
                where = REPOSITORY if source is None else source
                reason = f"its weights in {where} can't be read ({str(error).splitlines()[0]}); fetch them anew"
                raise ModelBroken(model=f"{kind} detector", reason=reason) from error
        self._loaded[kind] = loaded.to(self._device)
        return self._loaded[kind]


def _cached(row: _Row) -> Path | None:
    """The snapshot folder in the hub cache that has all of a detector's files."""
    lookup = importlib.import_module("huggingface_hub").try_to_load_from_cache
    paths = [lookup(REPOSITORY, name) for name in row.files]
    if not all(isinstance(path, str) for path in paths):
        return None
    return Path(paths[0]).parent
