"""Depth and directions that detectors find, in the table's conventions, whatever each net says itself.

The nets' last word is set; everything around it is the library's.
"""

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import detector_weights
import numpy as np
import pytest
import torch
from detector_bench import EXTENT, detect, no_network, noise, on_cpu
from underpaint.backend.worker.conditioning.table import NormalConvention
from underpaint.protocol.errors import InvalidRequest
from underpaint.protocol.options import NormalEncoding
from underpaint.protocol.sources import Detector

__all__ = ["no_network"]
pytestmark = pytest.mark.usefixtures("no_network")


class Small(torch.nn.Module):
    """A net in the place of one of half a gigabyte: a number is its weights, and what it says is given."""

    def __init__(self, says: Callable[[torch.Tensor], object]) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(1))
        self.says = says
        self.depth_model = self.forward  # LeReS's way to ask

    def forward(self, image: torch.Tensor) -> object:
        return self.says(image)

    def infer(self, image: torch.Tensor) -> object:  # Zoe's
        return self.says(image)


def _rising(image: torch.Tensor) -> torch.Tensor:
    """(1, height, width): 1 at the left border, 2 at the right."""
    return torch.linspace(1, 2, image.shape[3]).expand(1, image.shape[2], image.shape[3]).clone()


def _with(monkeypatch: pytest.MonkeyPatch, folder: Path, detector: Detector, says: Callable[..., object]) -> None:
    """Have a detector's file and its net replaced by small ones."""
    small = Small(says)
    tensors = small.state_dict()
    match detector:
        case Detector.MIDAS:
            library = detector_weights.library("midas.api")
            monkeypatch.setattr(library, "DPTDepthModel", lambda path, **_: (torch.load(path), small)[1])
            torch.save(tensors, folder / "dpt_hybrid-midas-501f0c75.pt")
        case Detector.ZOE:
            library = detector_weights.library("zoe")
            monkeypatch.setattr(library, "ZoeDepth", SimpleNamespace(build_from_config=lambda _: small))
            torch.save({"model": tensors}, folder / "ZoeD_M12_N.pt")
        case Detector.LERES:
            library = detector_weights.library("leres")
            monkeypatch.setattr(library, "RelDepthModel", lambda backbone: small)
            torch.save({"depth_model": tensors}, folder / "res101.pth")
        case _:
            library = detector_weights.library("normalbae")
            monkeypatch.setattr(library, "NNET", lambda _: small)
            torch.save({"model": tensors}, folder / "scannet.pt")


@pytest.mark.parametrize(
    ("detector", "says", "nearest"),
    [
        (Detector.MIDAS, _rising, "right"),  # disparity: more is nearer
        (Detector.ZOE, lambda image: _rising(image)[None], "left"),  # metres
        (Detector.LERES, lambda image: _rising(image)[None], "left"),  # depth without a unit
    ],
)
def test_near_is_white(
    detector: Detector, says: Callable[..., object], nearest: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _with(monkeypatch, tmp_path, detector, says)
    found = detect(on_cpu(tmp_path), detector, noise())
    assert found.shape == (EXTENT.height, EXTENT.width, 3)
    assert (found == found[:, :, :1]).all()
    profile = found[60, :, 0].astype(int)
    if nearest == "left":
        profile = profile[::-1]
    assert profile[0] <= 1
    assert profile[-1] >= 250
    assert (np.diff(profile) >= 0).all()


def test_a_photo_of_one_depth_is_no_control(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _with(monkeypatch, tmp_path, Detector.MIDAS, lambda image: torch.ones_like(image[:, 0]))
    with pytest.raises(InvalidRequest, match="midas detector found nothing"):
        detect(on_cpu(tmp_path), Detector.MIDAS, noise())


def _facing(x: float, y: float, z: float) -> Callable[[torch.Tensor], object]:
    """NNET's answer: its finest map is the last; three components and how sure it is."""

    def says(image: torch.Tensor) -> object:
        direction = torch.tensor([x, y, z, 50.0]).view(1, 4, 1, 1)
        return [[direction.expand(1, 4, *image.shape[2:])], None, None]

    return says


@pytest.mark.parametrize(
    ("encoding", "colour"),
    [
        (NormalEncoding.BAE, (204, 178, 229)),
        (NormalEncoding.OPENGL, (51, 178, 229)),
        (NormalEncoding.DIRECTX, (51, 77, 229)),
    ],
)
def test_normals_come_in_the_order_and_signs_that_the_net_wants(
    encoding: NormalEncoding, colour: tuple[int, int, int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # NormalBAE's own axes: 0.6 to the left, 0.4 up, 0.8 to the viewer.
    _with(monkeypatch, tmp_path, Detector.NORMAL_BAE, _facing(0.6, 0.4, 0.8))
    found = detect(on_cpu(tmp_path), Detector.NORMAL_BAE, noise(), rule=NormalConvention(encoding=encoding))
    assert np.abs(found.astype(int) - colour).max() <= 1


def test_slopes_of_a_depth_are_no_detector_s(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _with(monkeypatch, tmp_path, Detector.NORMAL_BAE, _facing(0, 0, 1))
    rule = NormalConvention(encoding=NormalEncoding.MIDAS)
    with pytest.raises(InvalidRequest, match="midas normals, which no detector finds"):
        detect(on_cpu(tmp_path), Detector.NORMAL_BAE, noise(), rule=rule)
