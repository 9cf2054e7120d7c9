"""What tests of detectors share: a photo, one call, and a network that nobody reaches."""

import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from underpaint.backend.worker.conditioning.detectors import Detectors
from underpaint.backend.worker.conditioning.table import Convention, NetKind, convention
from underpaint.backend.worker.families import FamilyId
from underpaint.protocol.arrays import ArrayRef, DType, UInt8Array
from underpaint.protocol.checks import DETECTED
from underpaint.protocol.geometry import Extent
from underpaint.protocol.options import DetectorOptions
from underpaint.protocol.request import ControlKind
from underpaint.protocol.sources import Detector, Photo

EXTENT = Extent(width=200, height=120)  # neither side a multiple of 64


def detect(
    detectors: Detectors,
    detector: Detector,
    photo: UInt8Array,
    *,
    extent: Extent = EXTENT,
    kind: ControlKind | None = None,
    rule: Convention | None = None,
    allow_download: bool = False,
    **options: Any,
) -> UInt8Array:
    """What a detector finds, working at 64 px unless another resolution is asked for."""
    kind = kind or DETECTED[detector][0]
    # Of the nets that read SAM's maps there are unions alone.
    family, net = FamilyId.SD15, NetKind.PLAIN
    if kind is ControlKind.SEGMENTATION:
        family, net = FamilyId.SDXL, NetKind.UNION
    return detectors.detect(
        Photo(image=ArrayRef(sha256="0" * 64, dtype=DType.UINT8, shape=photo.shape), detector=detector),
        photo,
        extent,
        kind=kind,
        rule=rule or convention(family, kind, net),
        options=DetectorOptions(**{"resolution_px": 64, **options}),
        allow_download=allow_download,
    )


def on_cpu(folder: Path) -> Detectors:
    return Detectors(folder, lambda: "cpu")


def noise(width: int = 96, height: int = 70) -> UInt8Array:
    """A photo of much."""
    coarse = np.random.default_rng(1).integers(0, 256, (height // 8 + 1, width // 8 + 1, 3), np.uint8)
    return np.ascontiguousarray(coarse.repeat(8, axis=0).repeat(8, axis=1)[:height, :width])


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """Fails the test in which anything asks for the network, though nothing else forbids it; the cache is empty."""
    asked: list[str] = []

    def refuse(*arguments: object, **_: object) -> None:
        asked.append(repr(arguments))
        raise OSError("no network here")

    for name in ("connect", "connect_ex"):
        monkeypatch.setattr(socket.socket, name, refuse)
    for name in ("getaddrinfo", "gethostbyname", "create_connection"):
        monkeypatch.setattr(socket, name, refuse)
    monkeypatch.delenv("HF_HUB_OFFLINE")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    yield
    assert not asked
