"""People that detectors find, drawn by the ControlNet's rules and where they are in the photo."""

import math
import shutil
from collections.abc import Callable
from pathlib import Path

import detector_weights
import numpy as np
import pytest
import torch
from detector_bench import detect, no_network, noise, on_cpu
from onnx_files import write_pose, write_yolox
from underpaint.backend.worker.conditioning.detectors import Detectors
from underpaint.backend.worker.conditioning.openpose import COLOURS, FACE_COLOUR, HAND_JOINT_COLOUR
from underpaint.backend.worker.conditioning.table import PoseConvention
from underpaint.protocol.arrays import UInt8Array
from underpaint.protocol.errors import InvalidRequest, ModelBroken
from underpaint.protocol.geometry import Extent
from underpaint.protocol.sources import Detector

__all__ = ["no_network"]
pytestmark = pytest.mark.usefixtures("no_network")

_SQUARE = Extent(width=512, height=512)

# A standing person, as fractions of the picture, in OpenPose's order.
_PERSON = (
    (0.50, 0.15), (0.50, 0.30), (0.40, 0.30), (0.30, 0.40), (0.20, 0.50), (0.60, 0.30), (0.70, 0.40), (0.80, 0.50),
    (0.44, 0.55), (0.42, 0.72), (0.40, 0.90), (0.56, 0.55), (0.58, 0.72), (0.60, 0.90),
    (0.47, 0.12), (0.53, 0.12), (0.43, 0.14), (0.57, 0.14),
)  # fmt: skip
# controlnet-aux's limbs and the channels of their directions in the net's first output.
_LIMBS = (
    (1, 2), (1, 5), (2, 3), (3, 4), (5, 6), (6, 7), (1, 8), (8, 9), (9, 10), (1, 11), (11, 12), (12, 13), (1, 0),
    (0, 14), (14, 16), (0, 15), (15, 17), (2, 16), (5, 17),
)  # fmt: skip
_DIRECTIONS = (12, 20, 14, 16, 22, 24, 0, 2, 4, 6, 8, 10, 28, 30, 34, 32, 36, 18, 26)


def _blobs(places: list[tuple[float, float]], height: int, width: int, sigma: float) -> torch.Tensor:
    """(places, height, width): a Gaussian at each place, in fractions of the picture."""
    rows, columns = torch.meshgrid(torch.arange(height) + 0.5, torch.arange(width) + 0.5, indexing="ij")
    return torch.stack(
        [torch.exp(-((columns - x * width) ** 2 + (rows - y * height) ** 2) / (2 * sigma**2)) for x, y in places]
    )


def _body(_: object, image: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """What CMU's body net says of that person: directions of limbs, and where the joints are."""
    height, width = image.shape[2] // 8, image.shape[3] // 8
    directions = torch.zeros(1, 38, height, width)
    for (start, end), channel in zip(_LIMBS, _DIRECTIONS, strict=True):
        dx = (_PERSON[end][0] - _PERSON[start][0]) * width
        dy = (_PERSON[end][1] - _PERSON[start][1]) * height
        directions[0, channel] = dx / math.hypot(dx, dy)
        directions[0, channel + 1] = dy / math.hypot(dx, dy)
    joints = torch.zeros(1, 19, height, width)
    joints[0, :18] = _blobs(list(_PERSON), height, width, 0.8)
    return directions, joints


def _spread(count: int) -> list[tuple[float, float]]:
    """Places all over a crop, on a grid."""
    side = math.ceil(count**0.5)
    return [(0.15 + 0.7 * (i % side) / (side - 1), 0.15 + 0.7 * (i // side) / (side - 1)) for i in range(count)]


def _hand(_: object, image: torch.Tensor) -> torch.Tensor:
    height, width = image.shape[2] // 8, image.shape[3] // 8
    return torch.cat([_blobs(_spread(21), height, width, 0.6), torch.zeros(1, height, width)])[None]


def _face(_: object, image: torch.Tensor) -> list[torch.Tensor]:
    """70 points and the background, whose peak is no point."""
    height, width = image.shape[2] // 8, image.shape[3] // 8
    points = _blobs(_spread(70), height, width, 1.0)
    return [torch.cat([points, torch.ones(1, height, width)])[None]]


@pytest.fixture(scope="module")
def poses(tmp_path_factory: pytest.TempPathFactory) -> Detectors:
    """The three nets, of 510 MB, loaded once, from files that go again."""
    folder = tmp_path_factory.mktemp("annotators")
    detector_weights.put(Detector.OPENPOSE, folder)
    detectors = on_cpu(folder)
    with pytest.raises(InvalidRequest):  # random nets see nobody
        detect(detectors, Detector.OPENPOSE, noise())
    shutil.rmtree(folder)
    return detectors


@pytest.fixture
def openpose(poses: Detectors, monkeypatch: pytest.MonkeyPatch) -> Callable[..., UInt8Array]:
    """OpenPose with real nets loaded, and their last word set."""
    monkeypatch.setattr(detector_weights.library("open_pose.model").bodypose_model, "forward", _body)
    monkeypatch.setattr(detector_weights.library("open_pose.model").handpose_model, "forward", _hand)
    monkeypatch.setattr(detector_weights.library("open_pose.face").FaceNet, "forward", _face)

    def run(**more: object) -> UInt8Array:
        return detect(poses, Detector.OPENPOSE, noise(), **{"resolution_px": 512, **more})  # type: ignore[arg-type]

    return run


def _at(found: UInt8Array, place: tuple[float, float]) -> tuple[int, ...]:
    height, width = found.shape[:2]
    return tuple(found[int(place[1] * height), int(place[0] * width)].tolist())


@pytest.mark.parametrize("extent", [_SQUARE, Extent(width=904, height=456)])  # sizes that the net needn't pad
def test_openpose_draws_a_body_where_it_is(openpose: Callable[..., UInt8Array], extent: Extent) -> None:
    found = openpose(extent=extent, hands=False, face=False)
    assert found.shape == (extent.height, extent.width, 3)
    for place, colour in list(zip(_PERSON, COLOURS, strict=True))[1:14]:  # the head's joints lie on each other
        assert _at(found, place) == colour
    colours = {tuple(colour) for colour in np.unique(found.reshape(-1, 3), axis=0).tolist()}
    assert HAND_JOINT_COLOUR not in (colours - set(COLOURS))
    assert FACE_COLOUR not in colours


def test_openpose_draws_hands_and_face_if_they_are_wanted(openpose: Callable[..., UInt8Array]) -> None:
    extent = Extent(width=1024, height=1024)
    bare = openpose(extent=extent, hands=False, face=False)
    hands = openpose(extent=extent, hands=True, face=False)
    face = openpose(extent=extent, hands=False, face=True)
    added = (hands != bare).any(axis=2)
    rows, columns = np.nonzero(added)
    # Both hands lie beyond the wrists, which are at half the height near the sides.
    assert (rows > 0.4 * 1024).all()
    assert {bool(column < 512) for column in columns} == {False, True}
    assert (hands[added] == HAND_JOINT_COLOUR).all(axis=1).any()
    dots = (face != bare).any(axis=2)
    assert (face[dots] == FACE_COLOUR).all()
    assert np.nonzero(dots)[0].max() < 0.35 * 1024


def test_sticks_are_as_wide_as_the_controlnet_wants(openpose: Callable[..., UInt8Array]) -> None:
    usual, thick = (
        openpose(extent=_SQUARE, hands=False, face=False, rule=PoseConvention(grows=grows)) for grows in (False, True)
    )
    assert 1.5 < (thick > 0).sum() / (usual > 0).sum() < 2.5


def test_nobody_in_the_photo_is_said(poses: Detectors) -> None:
    with pytest.raises(InvalidRequest, match="openpose detector found nothing in the photo"):
        detect(poses, Detector.OPENPOSE, noise())


# ---------------------------------------------------------------------------------------------- DWPose


@pytest.fixture
def dwpose(tmp_path: Path) -> Path:
    # Around the cell in the middle of the coarsest grid: 5 cells of 32 px to each side, 20 by 20 of them.
    middle = 80 * 80 + 40 * 40 + 10 * 20 + 10
    write_yolox(tmp_path / "yolox_l.onnx", {middle: (0.0, 0.0, math.log(10), math.log(10))})
    write_pose(tmp_path / "dw-ll_ucoco_384.onnx")
    return tmp_path


def _dot(width: int, height: int, x: int, y: int, colour: tuple[int, int, int]) -> UInt8Array:
    photo = np.zeros((height, width, 3), np.uint8)
    photo[y - 3 : y + 4, x - 3 : x + 4] = colour
    return photo


def _middle(found: UInt8Array) -> tuple[float, float]:
    rows, columns = np.nonzero(found.any(axis=2))
    return float(columns.mean()) + 0.5, float(rows.mean()) + 0.5


@pytest.mark.parametrize("extent", [_SQUARE, Extent(width=760, height=512)])
@pytest.mark.parametrize("place", [(0.5, 0.5), (0.35, 0.6), (0.2, 0.15)])
def test_dwpose_s_points_are_where_they_are_in_the_photo(
    extent: Extent, place: tuple[float, float], dwpose: Path
) -> None:
    # A red dot on black: what the pose net is given is RGB, and the whole picture, for no blue is bright.
    x, y = int(place[0] * 640), int(place[1] * 480)
    found = detect(on_cpu(dwpose), Detector.DWPOSE, _dot(640, 480, x, y, (255, 0, 0)), extent=extent, resolution_px=512)
    assert found.shape == (extent.height, extent.width, 3)
    across, down = _middle(found)
    # A pixel of the net's crop is up to three of the picture's.
    assert abs(across - (x + 0.5) / 640 * extent.width) <= 3.5
    assert abs(down - (y + 0.5) / 480 * extent.height) <= 3.5


def test_dwpose_looks_for_people_first(dwpose: Path) -> None:
    # Blue makes the people's net sure: it is given BGR. Then only the box counts, the middle with its margin.
    blue = np.zeros((512, 512, 3), np.uint8)
    blue[:, :, 2] = 255
    blue[250:257, 300:307, 0] = 255
    blue[10:17, 10:17, 0] = 255
    across, down = _middle(detect(on_cpu(dwpose), Detector.DWPOSE, blue, extent=_SQUARE, resolution_px=512))
    assert abs(across - 303.5) <= 3
    assert abs(down - 253.5) <= 3


def test_points_that_dwpose_is_unsure_of_are_left_out(dwpose: Path) -> None:
    dark = _dot(512, 512, 200, 200, (120, 0, 0))  # below the mean of what the net was trained on
    with pytest.raises(InvalidRequest, match="dwpose detector found nothing"):
        detect(on_cpu(dwpose), Detector.DWPOSE, dark, extent=_SQUARE, resolution_px=512)


def test_dwpose_s_order_is_openpose_s(dwpose: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from underpaint.backend.worker.conditioning.detectors.dwpose import WholeBody

    people = np.zeros((1, 133, 3), np.float32)
    # COCO's 17: nose, left and right eye, ear, shoulder, elbow, wrist, hip, knee, ankle.
    coco = (0, 15, 14, 17, 16, 5, 2, 6, 3, 7, 4, 11, 8, 12, 9, 13, 10)
    people[0, :17, :2] = [(512 * _PERSON[joint][0], 512 * _PERSON[joint][1]) for joint in coco]
    people[0, :17, 2] = 0.9
    for start, (x, y) in ((91, (380, 300)), (112, (40, 300))):  # the person's left hand is on the right
        grid = np.array(_spread(21)) * 80 + (x, y)
        people[0, start : start + 21] = np.hstack([grid, np.full((21, 1), 0.9)])
    monkeypatch.setattr(WholeBody, "__call__", lambda *_: list(people))
    found = detect(on_cpu(dwpose), Detector.DWPOSE, noise(), extent=_SQUARE, resolution_px=512, face=False)
    for place, colour in list(zip(_PERSON, COLOURS, strict=True))[1:14]:  # the neck among them
        assert _at(found, place) == colour
    assert (found[305:390, 385:470] == HAND_JOINT_COLOUR).all(axis=2).any()
    assert (found[305:390, 45:130] == HAND_JOINT_COLOUR).all(axis=2).any()


def test_an_onnx_file_of_another_net_is_named(dwpose: Path) -> None:
    write_pose(dwpose / "yolox_l.onnx")
    with pytest.raises(ModelBroken, match=r"yolox_l\.onnx is not the net"):
        detect(on_cpu(dwpose), Detector.DWPOSE, noise())
