"""Control images, for a picture or to be looked at on their own. No torch, so that they come at once."""

import functools
import platform
import time
from collections.abc import Callable, Sequence
from importlib import metadata
from pathlib import Path

import numpy as np

from ...protocol import checks
from ...protocol.arrays import AnyArray, ArrayRef, UInt8Array
from ...protocol.errors import JobCancelled
from ...protocol.events import Progress
from ...protocol.geometry import Extent
from ...protocol.jobs import JobResult, Phase, Timing
from ...protocol.models import FamilyId
from ...protocol.request import Control, ControlKind, ControlMapsRequest, GenerateRequest
from ...protocol.sources import DepthPass
from ..blobstore import BlobStore
from .conditioning import ControlMap, control_map
from .conditioning.detectors import Detectors
from .conditioning.found import FoundLines
from .conditioning.reduced import reduced_arrays, reduced_control, reduced_map
from .models import embedded, references
from .models.choice import traits
from .models.inspection import NetTraits, inspect_family

_PACKAGES = ("torch", "diffusers", "transformers", "accelerate", "controlnet-aux", "numpy")
_PLAN = "numpy and OpenCV"

OnProgress = Callable[[Progress], None]


class MapMaker:
    """Makes control images and stores them."""

    def __init__(self, *, blobs: BlobStore, models: Path, device: Callable[[], str]) -> None:
        """`device` names torch's device, and is asked when a detector's net is about to be loaded."""
        self._blobs = blobs
        self._models = models
        self._detectors = Detectors(models / "annotators", device)
        self._lines = FoundLines()

    def run(
        self, job_id: str, request: ControlMapsRequest, *, on_progress: OnProgress, cancelled: Callable[[], bool]
    ) -> JobResult:
        """Do a job of control images alone: the same, to the bit, as a picture's with the same controls.

        Raises an UnderpaintError that says what is wrong.
        """

        def announce(text: str) -> None:
            stop_if(cancelled)
            on_progress(Progress(job_id=job_id, phase=Phase.LOAD, note=text))

        stop_if(cancelled)
        checks.check(request)
        started = time.perf_counter()
        family, folder = self._family(request)
        nets = [
            traits(control, family, models=self._models, allow_download=request.allow_download)
            for control in request.controls
        ]
        inspected = time.perf_counter()
        on_progress(Progress(job_id=job_id, phase=Phase.CONDITIONING))
        maps, conditioning = self.make(request, family, nets, announce=announce, cancelled=cancelled)
        refs, stored = self.store(maps)
        return JobResult(
            images=(),
            control_maps=tuple(refs),
            timings=(Timing(phase=Phase.LOAD, ms=1000 * (inspected - started)), conditioning, stored),
            checkpoint=str(folder),
            plan=_PLAN,
            versions=versions(),
        )

    def make(
        self,
        request: GenerateRequest | ControlMapsRequest,
        family: FamilyId,
        nets: Sequence[NetTraits],
        *,
        announce: Callable[[str], None],
        cancelled: Callable[[], bool],
    ) -> tuple[list[ControlMap], Timing]:
        """The control images of a request, in the order of its controls, each for its net.

        `announce` hears of what takes long before it begins, and may raise.
        """
        started = time.perf_counter()
        read = functools.cache(self._blobs.read_array)  # what several controls are shown is read and checked once
        maps: list[ControlMap] = []
        for control, net in zip(request.controls, nets, strict=True):
            stop_if(cancelled)
            image = control_map(
                control,
                family=family,
                net=net.kind,
                extent=request.size,
                read=read,
                detect=functools.partial(
                    self._detectors.detect, allow_download=request.allow_download, announce=announce
                ),
                lines=self._lines,
            )
            maps.append(_as_handed_over(image, control, net))
        return maps, Timing(phase=Phase.CONDITIONING, ms=1000 * (time.perf_counter() - started))

    def reduced(
        self,
        request: GenerateRequest,
        maps: Sequence[ControlMap],
        small: Extent,
        family: FamilyId,
        nets: Sequence[NetTraits],
    ) -> list[ControlMap]:
        """The control images of a request for a smaller picture of the same thing; `maps` are its own.

        See `conditioning.reduced` for what is made anew.
        """
        read = functools.cache(self._blobs.read_array)
        lines = FoundLines()
        found: list[ControlMap] = []
        for control, net, image in zip(request.controls, nets, maps, strict=True):
            anew = reduced_control(control, request.size, small)
            if anew is None:
                found.append(reduced_map(image, control.kind, small))
                continue
            made = control_map(
                anew,
                family=family,
                net=net.kind,
                extent=small,
                read=reduced_arrays(control, read, request.size, small),
                detect=functools.partial(self._detectors.detect, allow_download=False, announce=_nobody),
                lines=lines,
            )
            found.append(_as_handed_over(made, control, net))
        return found

    def check_arrays(self, request: GenerateRequest) -> None:
        """Raise BlobMissing or InvalidArray unless all that the request speaks of is there."""
        for ref in checks.references(request):
            self._blobs.check(ref)

    def read(self, ref: ArrayRef) -> AnyArray:
        """An array of a request. Raises BlobMissing or InvalidArray."""
        return self._blobs.read_array(ref)

    def store(self, images: Sequence[AnyArray]) -> tuple[list[ArrayRef], Timing]:
        """Put arrays into the blob store."""
        started = time.perf_counter()
        refs = [self._blobs.write_array(image) for image in images]
        return refs, Timing(phase=Phase.STORE, ms=1000 * (time.perf_counter() - started))

    def clear(self) -> None:
        """Let go of the detectors' nets, which lie where the picture's do."""
        self._detectors.clear()

    def _family(self, request: ControlMapsRequest) -> tuple[FamilyId, Path]:
        """The family that decides the conventions, without building or fetching any weights."""
        if not request.checkpoint:
            return FamilyId.SD15, embedded.folder(self._models)
        folder = references.family_folder(
            request.checkpoint, models=self._models, allow_download=request.allow_download
        )
        return inspect_family(folder, request.checkpoint).id, folder


def _as_handed_over(image: ControlMap, control: Control, net: NetTraits) -> ControlMap:
    """The image that diffusers has to be given for the net to see this one.

    diffusers swaps red and blue for a net whose config says so. Pictures in colours are meant to be
    swapped: that is what such a net was trained on. The slopes of SD 1.0's normal net are told in the order
    of the net's own channels, which must come out of it.
    """
    slopes = control.kind is ControlKind.NORMAL and isinstance(control.source, DepthPass)
    if not (slopes and net.swaps_red_blue):
        return image
    swapped: UInt8Array = np.ascontiguousarray(image[:, :, ::-1]).astype(np.uint8, copy=False)
    return swapped


@functools.cache
def _versions() -> tuple[tuple[str, str], ...]:
    packages = ((package, metadata.version(package)) for package in _PACKAGES)
    return (("python", platform.python_version()), *packages)


def versions() -> dict[str, str]:
    """What computes here."""
    return dict(_versions())


def _nobody(_: str) -> None:
    """Nobody listens: what detectors found is made smaller, and not found anew."""


def stop_if(cancelled: Callable[[], bool]) -> None:
    """Raise JobCancelled where the job's end was asked for."""
    if cancelled():
        raise JobCancelled
