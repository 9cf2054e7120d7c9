"""Lines that detectors find: white on black, where the photo has them, and as wide as they should be.

Nets whose last layers are set say what polarity reaches the map; a net whose first layer takes differences
says where a photo's edge ends up.
"""

from pathlib import Path

import cv2
import detector_weights
import numpy as np
import pytest
import torch
from detector_bench import EXTENT, detect, no_network, noise, on_cpu
from underpaint.protocol.arrays import UInt8Array
from underpaint.protocol.geometry import Extent
from underpaint.protocol.request import ControlKind
from underpaint.protocol.sources import Detector

__all__ = ["no_network"]
pytestmark = pytest.mark.usefixtures("no_network")

_QUARTER = float(np.log(0.25 / 0.75))  # what a sigmoid makes 0.25 of


def _two_steps() -> UInt8Array:
    """640 x 480, black with a bright box from (160, 120) to (480, 360)."""
    photo = np.zeros((480, 640, 3), np.uint8)
    photo[120:360, 160:480] = 230
    return photo


def _outline_px(extent: Extent) -> tuple[list[float], list[float]]:
    """Where the box's borders lie on the picture: columns and rows."""
    return [extent.width / 4, extent.width * 3 / 4], [extent.height / 4, extent.height * 3 / 4]


def _put_simple_hed(folder: Path, *, differences: bool = True) -> None:
    """A HED of one block, which takes differences with the left and the upper neighbour, or brightness for an edge."""
    tensors = {name: torch.zeros_like(tensor) for name, tensor in detector_weights.hed().items()}
    first = tensors["block1.convs.0.weight"]  # (64, 3, 3, 3); red is looked at
    for channel, (row, column) in enumerate([(1, 0), (0, 1)] * 2):
        sign = 1 if channel < 2 else -1
        first[channel, 0, 1, 1] = sign
        if differences:
            first[channel, 0, row, column] = -sign
    tensors["block1.convs.1.weight"][0, :4, 1, 1] = 1
    tensors["block1.projection.weight"][0, 0] = 0.25  # a step of 200 is +50
    tensors["block1.projection.bias"][:] = -25  # nothing is sigmoid(-5)
    torch.save(tensors, folder / "ControlNetHED.pth")


@pytest.mark.parametrize("extent", [EXTENT, Extent(width=1000, height=712), Extent(width=72, height=200)])
def test_a_soft_edge_is_where_the_photo_has_it(extent: Extent, tmp_path: Path) -> None:
    _put_simple_hed(tmp_path)
    found = detect(on_cpu(tmp_path), Detector.HED, _two_steps(), extent=extent, resolution_px=256)
    grey = found[:, :, 0].astype(float)
    assert (found == found[:, :, :1]).all()
    assert grey[extent.height // 2, extent.width // 2] < 5
    columns, rows = _outline_px(extent)
    # The net sees a step at the pixel after it; one of its pixels may be several of the picture's.
    tolerance = 1 + 1.5 * max(min(extent.width, extent.height) / 256, 1)
    for profile, places in ((grey[extent.height // 2], columns), (grey[:, extent.width // 2], rows)):
        half = len(profile) // 2
        for part, offset, place in ((profile[:half], 0, places[0]), (profile[half:], half, places[1])):
            middle = offset + (part * (np.arange(len(part)) + 0.5)).sum() / part.sum()
            assert part.max() > 50
            assert abs(middle - place) < tolerance


@pytest.mark.parametrize("extent", [EXTENT, Extent(width=600, height=360)])
def test_scribbles_are_binary_strokes_along_the_edges(extent: Extent, tmp_path: Path) -> None:
    _put_simple_hed(tmp_path, differences=False)
    photo = np.zeros((480, 640, 3), np.uint8)
    photo[:, 300:340] = 230
    kind = ControlKind.SCRIBBLE
    found = detect(on_cpu(tmp_path), Detector.HED, photo, extent=extent, kind=kind, resolution_px=128)
    assert set(np.unique(found)) == {0, 255}
    stroke = np.nonzero(found[extent.height // 2, :, 0])[0] + 0.5
    assert abs(stroke.mean() - extent.width / 2) <= 2 * extent.height / 128
    assert 10 <= len(stroke) * 128 / extent.height <= 30  # of the detector's pixels; the library's are 26 wide
    assert (np.diff(stroke) == 1).all()


def test_safe_edges_have_three_shades(tmp_path: Path) -> None:
    detector_weights.put(Detector.HED, tmp_path)
    detectors = on_cpu(tmp_path)
    assert len(np.unique(detect(detectors, Detector.HED, noise()))) > 10
    assert set(np.unique(detect(detectors, Detector.HED, noise(), safe=True))) <= {0, 127, 255}


def _put(detector: Detector, folder: Path, file: str, changed: dict[str, float], under: str = "") -> None:
    """Random weights, but for the last layer: it has no weights left, and a bias."""
    detector_weights.put(detector, folder)
    contents = torch.load(folder / file, weights_only=True)
    tensors = contents[under] if under else contents
    for name, value in changed.items():
        tensors[f"{name}.weight"].zero_()
        tensors[f"{name}.bias"].fill_(value)
    torch.save(contents, folder / file)


def test_pidinet_s_edges_are_white(tmp_path: Path) -> None:
    _put(
        Detector.PIDINET,
        tmp_path,
        "table5_pidinet.pth",
        {"module.classifier": -_QUARTER},  # three quarters sure of an edge
        under="state_dict",
    )
    assert np.abs(detect(on_cpu(tmp_path), Detector.PIDINET, noise()).astype(int) - 191).max() <= 1


@pytest.mark.parametrize(("coarse", "grey"), [(False, 191), (True, 64)])
def test_lineart_is_turned_to_white_on_black(coarse: bool, grey: int, tmp_path: Path) -> None:
    # The net's picture is the paper's brightness: a quarter of it is much of a line.
    _put(Detector.LINEART, tmp_path, "sk_model.pth", {"model4.1": _QUARTER})
    fine = (tmp_path / "sk_model.pth").read_bytes()
    _put(Detector.LINEART, tmp_path, "sk_model2.pth", {"model4.1": -_QUARTER})
    (tmp_path / "sk_model.pth").write_bytes(fine)
    found = detect(on_cpu(tmp_path), Detector.LINEART, noise(), coarse=coarse)
    assert np.abs(found.astype(int) - grey).max() <= 1


def test_anime_lineart_is_turned_to_white_on_black(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    net = detector_weights.library("lineart_anime").UnetGenerator
    original = net.__init__
    # The same net with an eighth of the channels; the published one has 218 MB.
    monkeypatch.setattr(net, "__init__", lambda self, i, o, n, _, **more: original(self, i, o, n, 8, **more))
    tensors = detector_weights.lineart_anime()
    *_, last = (name.removesuffix(".bias") for name in tensors if name.count(".") == 3 and name.endswith("bias"))
    tensors[f"{last}.weight"].zero_()
    tensors[f"{last}.bias"].fill_(float(np.arctanh(-0.5)))  # a quarter of the way from black to the paper
    torch.save(tensors, tmp_path / "netG.pth")
    assert np.abs(detect(on_cpu(tmp_path), Detector.LINEART_ANIME, noise()).astype(int) - 191).max() <= 1


def test_anyline_s_edges_are_white_and_overlaps_stay_white(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    detector_weights.put(Detector.TEED, tmp_path)
    ted = detector_weights.library("teed.ted").TED

    def forward(_: object, image: torch.Tensor) -> list[torch.Tensor]:
        """Sure of every pixel of the left half."""
        sure = torch.full_like(image[:, :1], -9.0)
        sure[..., : image.shape[3] // 2] = 9.0
        return [sure] * 4

    monkeypatch.setattr(ted, "forward", forward)
    photo = np.full((256, 256, 3), 200, np.uint8)
    photo[100:106] = 0  # a dark line over both halves
    found = detect(on_cpu(tmp_path), Detector.TEED, photo, extent=Extent(width=256, height=256), resolution_px=256)
    assert found[:, :120].min() == 255
    assert found[102, 140:].min() > 50
    assert found[200, 140:].max() == 0


def test_standard_lineart_is_white_on_black_and_in_place(tmp_path: Path) -> None:
    photo = np.full((480, 640, 3), 220, np.uint8)
    photo[:, 318:322] = 10  # a dark line down the middle
    found = detect(on_cpu(tmp_path), Detector.LINEART_STANDARD, photo, resolution_px=256)[:, :, 0]
    profile = found[60].astype(float)
    assert np.abs((profile * (np.arange(200) + 0.5)).sum() / profile.sum() - 100) < 0.5
    assert profile.max() > 100
    assert profile[:80].max() == 0


# ---------------------------------------------------------------------------------------------- thin lines


def test_canny_is_thin_and_binary_and_takes_thresholds(tmp_path: Path) -> None:
    photo = _two_steps()
    photo[:, 560:] = 40  # a faint step
    detectors = on_cpu(tmp_path)
    usual = detect(detectors, Detector.CANNY, photo, resolution_px=None)
    assert set(np.unique(usual)) == {0, 255}
    assert np.abs(np.nonzero(usual[60, :, 0])[0] - [50, 150]).max() <= 1
    keen = detect(detectors, Detector.CANNY, photo, resolution_px=None, low=20.0, high=40.0)
    assert len(np.nonzero(keen[60, :, 0])[0]) == 3


def test_canny_at_a_smaller_resolution_is_coarser_and_as_thin(tmp_path: Path) -> None:
    detectors, extent = on_cpu(tmp_path), Extent(width=512, height=512)
    fine, coarse = (
        detect(detectors, Detector.CANNY, noise(512, 512), extent=extent, resolution_px=size) for size in (None, 64)
    )
    assert 0 < (coarse > 0).sum() < (fine > 0).sum()
    assert set(np.unique(coarse)) == {0, 255}
    assert _thickest(coarse) <= 2


def _thickest(lines: UInt8Array) -> int:
    """How often a line can be eroded by a 2 x 2 square until nothing is left."""
    left, times = lines[:, :, 0], 0
    while left.any():
        left, times = cv2.erode(left, np.ones((2, 2), np.uint8)), times + 1
    return times


def _one_segment(start: tuple[float, float], end: tuple[float, float]) -> object:
    """A forward of MLSD's net that is sure of one line, given in fractions of the picture."""

    def forward(_: object, image: torch.Tensor) -> torch.Tensor:
        height, width = image.shape[2] // 2, image.shape[3] // 2
        found = torch.zeros(1, 9, height, width)
        found[:, 0] = -9
        ends = np.array([start, end]) * (width, height)
        x, y = ends.mean(axis=0).astype(int)
        found[0, 0, y, x] = 3
        found[0, 1:5, y, x] = torch.tensor((ends - (x, y)).ravel())
        return found

    return forward


@pytest.mark.parametrize("extent", [EXTENT, Extent(width=1024, height=512)])
def test_straight_segments_are_drawn_thin_at_any_size(
    extent: Extent, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    detector_weights.put(Detector.MLSD, tmp_path)
    net = detector_weights.library("mlsd").MobileV2_MLSD_Large
    monkeypatch.setattr(net, "forward", _one_segment((0.25, 0.5), (0.75, 0.5)))
    found = detect(on_cpu(tmp_path), Detector.MLSD, noise())
    found = detect(on_cpu(tmp_path), Detector.MLSD, noise(), extent=extent)
    rows, columns = np.nonzero(found[:, :, 0])
    assert set(np.unique(found)) == {0, 255}
    assert len(set(rows)) == 1
    assert abs(rows[0] - extent.height / 2) <= 1
    assert np.abs([columns.min() - extent.width / 4, columns.max() - extent.width * 3 / 4]).max() <= 1


def test_segments_that_are_unsure_or_short_can_be_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from underpaint.protocol.errors import InvalidRequest

    detector_weights.put(Detector.MLSD, tmp_path)
    net = detector_weights.library("mlsd").MobileV2_MLSD_Large
    monkeypatch.setattr(net, "forward", _one_segment((0.25, 0.5), (0.75, 0.5)))  # 26 of the net's pixels long
    detectors = on_cpu(tmp_path)
    assert detect(detectors, Detector.MLSD, noise(), score=0.9, distance=20.0).any()
    for unsure in ({"score": 0.99}, {"distance": 40.0}):
        with pytest.raises(InvalidRequest, match="found nothing"):
            detect(detectors, Detector.MLSD, noise(), **unsure)
