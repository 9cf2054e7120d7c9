"""Any source to a control image of exactly the size that is asked for."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from underpaint.backend.blobstore import BlobStore
from underpaint.backend.worker.conditioning import control_map
from underpaint.backend.worker.conditioning.detectors import Detectors
from underpaint.backend.worker.conditioning.table import convention
from underpaint.backend.worker.families import FAMILIES, FamilyId
from underpaint.protocol.arrays import AnyArray, UInt8Array
from underpaint.protocol.checks import DETECTED
from underpaint.protocol.errors import BlobMissing, DetectorMissing, InvalidArray, InvalidRequest, ModelBroken
from underpaint.protocol.geometry import Extent, Projection
from underpaint.protocol.request import Control, ControlKind
from underpaint.protocol.sources import DepthPass, Detector, Photo, ReadyMap, Source
from worker_scene import depth_pass, normal_pass, pose_pass

_SIZE = Extent(width=64, height=48)
Convert = Callable[[ControlKind, Source], UInt8Array]


@pytest.fixture
def convert(blobs: BlobStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Convert:
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    detectors = Detectors(tmp_path / "annotators", "cpu")

    def convert(kind: ControlKind, source: Source) -> UInt8Array:
        return control_map(
            Control(kind=kind, source=source),
            family=FamilyId.SD15,
            extent=_SIZE,
            read=blobs.read_array,
            detect=lambda *arguments: detectors.detect(*arguments, allow_download=False),
        )

    return convert


@pytest.fixture
def picture(blobs: BlobStore) -> Callable[..., AnyArray]:
    def picture(width: int, height: int) -> AnyArray:
        return np.random.default_rng(1).integers(0, 256, (height, width, 3), np.uint8)

    return picture


def test_every_pass_becomes_a_map(convert: Convert, blobs: BlobStore) -> None:
    sources: dict[ControlKind, Source] = {
        ControlKind.DEPTH: depth_pass(blobs, _SIZE),
        ControlKind.NORMAL: normal_pass(blobs, _SIZE),
        ControlKind.OPENPOSE: pose_pass(_SIZE),
    }
    for kind, source in sources.items():
        image = convert(kind, source)
        assert image.shape == (48, 64, 3)
        assert image.dtype == np.uint8
        assert image.std() > 10


def test_every_family_has_a_row_for_every_kind_it_offers() -> None:
    for family in FAMILIES.values():
        for kind in family.control_kinds:
            convention(family.id, kind)


def test_a_ready_map_is_used_as_it_is(convert: Convert, blobs: BlobStore, picture: Callable[..., AnyArray]) -> None:
    image = picture(64, 48)
    assert (convert(ControlKind.DEPTH, ReadyMap(image=blobs.write_array(image))) == image).all()


@pytest.mark.parametrize(("width", "height"), [(128, 96), (32, 24), (30, 100)])
def test_a_ready_map_of_another_size_is_fitted(convert: Convert, blobs: BlobStore, width: int, height: int) -> None:
    halves = np.zeros((height, width, 3), np.uint8)
    halves[:, width // 2 :] = (10, 200, 90)
    image = convert(ControlKind.CANNY, ReadyMap(image=blobs.write_array(halves)))
    assert image.shape == (48, 64, 3)
    # Lanczos rings beside the edge when it enlarges.
    assert image[:, :20].max() <= 2
    assert np.abs(image[:, 44:].astype(int) - (10, 200, 90)).max() <= 2


def test_canny_lines_are_thin_and_binary_and_where_the_edge_is(convert: Convert, blobs: BlobStore) -> None:
    photo = np.full((480, 640, 3), 20, np.uint8)
    photo[120:360, 160:480] = 230
    image = convert(ControlKind.CANNY, Photo(image=blobs.write_array(photo), detector=Detector.CANNY))
    assert image.shape == (48, 64, 3)
    assert set(np.unique(image)) == {0, 255}
    line = np.nonzero(image[24, :, 0])[0]
    assert len(line) == 2
    assert np.abs(line - [16, 48]).max() <= 1


class Trap:
    """A pickle that runs code when it is read as one."""

    def __init__(self, sprung: Path) -> None:
        self.sprung = sprung

    def __reduce__(self) -> tuple[object, ...]:
        return (Path.touch, (self.sprung,))


def test_a_detector_s_weights_run_no_code(
    convert: Convert,
    blobs: BlobStore,
    picture: Callable[..., AnyArray],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", "1")
    (tmp_path / "annotators").mkdir()
    for name in ("body_pose_model.pth", "hand_pose_model.pth", "facenet.pth"):
        torch.save({"weight": Trap(tmp_path / "sprung")}, tmp_path / "annotators" / name)
    photo = Photo(image=blobs.write_array(picture(64, 48)), detector=Detector.OPENPOSE)
    with pytest.raises(ModelBroken, match="openpose detector"):
        convert(ControlKind.OPENPOSE, photo)
    assert not (tmp_path / "sprung").exists()


def test_a_detector_without_weights_says_what_to_put_where(
    convert: Convert, blobs: BlobStore, picture: Callable[..., AnyArray]
) -> None:
    for detector in (Detector.MIDAS, Detector.NORMAL_BAE, Detector.OPENPOSE):
        photo = Photo(image=blobs.write_array(picture(64, 48)), detector=detector)
        with pytest.raises(DetectorMissing) as caught:
            convert(DETECTED[detector], photo)
        sentence = str(caught.value)
        assert "lllyasviel/Annotators" in sentence
        assert "annotators" in sentence
        assert " MB" in sentence
        assert ".pt" in sentence


def test_what_does_not_go_together_is_refused(
    convert: Convert, blobs: BlobStore, picture: Callable[..., AnyArray]
) -> None:
    with pytest.raises(InvalidRequest, match="canny control can't be made from a DepthPass"):
        convert(ControlKind.CANNY, depth_pass(blobs, _SIZE))
    photo = Photo(image=blobs.write_array(picture(64, 48)), detector=Detector.CANNY)
    with pytest.raises(InvalidRequest, match="canny"):
        convert(ControlKind.DEPTH, photo)


def test_a_pass_of_the_wrong_size_or_type_is_refused(convert: Convert, blobs: BlobStore) -> None:
    with pytest.raises(InvalidArray, match="depth pass"):
        convert(ControlKind.DEPTH, depth_pass(blobs, Extent(width=32, height=32)))
    flat = blobs.write_array(np.zeros((48, 64), np.uint8))
    with pytest.raises(InvalidArray, match="depth pass"):
        convert(ControlKind.DEPTH, DepthPass(metres=flat, projection=Projection.PERSPECTIVE))
    with pytest.raises(InvalidArray, match="ready map"):
        convert(ControlKind.DEPTH, ReadyMap(image=flat))
    gone = depth_pass(blobs, Extent(width=8, height=8)).metres
    blobs.path(gone.sha256).unlink()
    with pytest.raises(BlobMissing):
        convert(ControlKind.DEPTH, DepthPass(metres=gone, projection=Projection.PERSPECTIVE))
