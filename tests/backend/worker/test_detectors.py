"""Every detector: the library's own nets with random weights, in the files that the library wants."""

import gc
import shutil
import weakref
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import detector_weights
import numpy as np
import pytest
import torch
from detector_bench import EXTENT, detect, no_network, noise, on_cpu
from safetensors.torch import save_file
from underpaint.backend.blobstore import BlobStore
from underpaint.backend.worker.conditioning import control_map
from underpaint.backend.worker.conditioning.detectors.catalogue import ROWS
from underpaint.backend.worker.families import FamilyId
from underpaint.protocol.errors import DetectorMissing, InvalidRequest, ModelBroken
from underpaint.protocol.geometry import Extent
from underpaint.protocol.options import DetectorOptions
from underpaint.protocol.request import Control, ControlKind, ControlMapsRequest
from underpaint.protocol.sources import Detector, Photo
from worker_runner import make_runner

__all__ = ["no_network"]
pytestmark = pytest.mark.usefixtures("no_network")

WITH_NETS = [detector for detector, row in ROWS.items() if row.needs]
WITHOUT = [detector for detector, row in ROWS.items() if not row.needs]
# Random nets see no people and no regions; those are found in tests of their own.
RANDOM = [detector for detector in detector_weights.FILES if detector not in (Detector.OPENPOSE, Detector.SAM)]
LIGHT = (Detector.HED, Detector.PIDINET, Detector.TEED, Detector.LINEART, Detector.MLSD)


@pytest.fixture
def weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Detector], Path]]:
    """Puts a detector's random weights into a folder; gone after the test, for some are half a gigabyte."""
    folder = tmp_path / "annotators"
    # ZoeDepth as it is has 1.4 GB; the same classes around the smaller of its backbones have a third of it.
    zoe = detector_weights.library("zoe")
    original = zoe.get_config
    smaller = {"midas_model_type": "DPT_BEiT_B_384", "img_size": [64, 96]}
    monkeypatch.setattr(zoe, "get_config", lambda *names: {**original(*names), **smaller})

    def put(detector: Detector) -> Path:
        detector_weights.put(detector, folder)
        return folder

    yield put
    shutil.rmtree(folder, ignore_errors=True)


def test_every_detector_has_a_row() -> None:
    assert set(ROWS) == set(Detector)


@pytest.mark.parametrize("detector", RANDOM)
def test_a_net_finds_a_map_of_the_wanted_size_and_the_same_each_time(
    detector: Detector, weights: Callable[[Detector], Path]
) -> None:
    detectors = on_cpu(weights(detector))
    # The random edges of PiDiNet and MLSD are faint.
    options = {"score": 0.0, "distance": 0.0} if detector is Detector.MLSD else {}
    found = detect(detectors, detector, noise(), **options)
    assert found.shape == (EXTENT.height, EXTENT.width, 3)
    assert found.dtype == np.uint8
    assert found.std() > 0
    again = on_cpu(detectors.folder) if detector in LIGHT else detectors
    assert (detect(again, detector, noise(), **options) == found).all()


@pytest.mark.parametrize("detector", WITHOUT)
@pytest.mark.parametrize("extent", [Extent(width=8, height=8), Extent(width=8, height=1024), EXTENT])
def test_what_needs_no_weights_works_at_any_size(detector: Detector, extent: Extent, tmp_path: Path) -> None:
    found = partial(detect, on_cpu(tmp_path), detector, noise(), extent=extent)
    assert found().shape == (extent.height, extent.width, 3)
    assert (found() == found()).all()


@pytest.mark.parametrize("photo", [(1, 1), (1, 40), (40, 1), (7, 3)])
@pytest.mark.parametrize("detector", [Detector.HED, Detector.LINEART, Detector.SHUFFLE])
def test_a_photo_may_have_any_size(
    detector: Detector, photo: tuple[int, int], weights: Callable[[Detector], Path], tmp_path: Path
) -> None:
    folder = weights(detector) if detector in LIGHT else tmp_path
    found = detect(on_cpu(folder), detector, np.full((*photo, 3), 90, np.uint8))
    assert found.shape == (EXTENT.height, EXTENT.width, 3)


# ---------------------------------------------------------------------------------------------- without weights


@pytest.mark.parametrize("detector", WITH_NETS)
def test_missing_weights_are_named_with_size_and_place(detector: Detector, tmp_path: Path) -> None:
    with pytest.raises(DetectorMissing) as caught:
        detect(on_cpu(tmp_path / "annotators"), detector, noise())
    sentence = str(caught.value)
    assert f"The {detector} detector" in sentence
    for choices in ROWS[detector].needs:
        assert all(f"{file.name} ({file.megabytes:g} MB" in sentence for file in choices)
        assert all(f"https://huggingface.co/{file.repository}" in sentence for file in choices)
    assert str(tmp_path / "annotators") in sentence
    assert "allow downloads" in sentence


def test_an_offline_environment_is_obeyed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(DetectorMissing, match="unset HF_HUB_OFFLINE and allow downloads"):
        detect(on_cpu(tmp_path), Detector.HED, noise(), allow_download=True)


def test_only_what_is_missing_is_asked_for(weights: Callable[[Detector], Path]) -> None:
    folder = weights(Detector.LINEART)
    (folder / "sk_model2.pth").unlink()
    with pytest.raises(DetectorMissing) as caught:
        detect(on_cpu(folder), Detector.LINEART, noise())
    assert "sk_model2.pth" in str(caught.value)
    assert "sk_model.pth" not in str(caught.value)


def test_weights_in_the_hub_s_cache_are_used(weights: Callable[[Detector], Path], tmp_path: Path) -> None:
    folder = weights(Detector.TEED)
    cached = tmp_path / "hub" / "models--TheMistoAI--MistoLine"
    snapshot = cached / "snapshots" / ("0" * 40) / "Anyline"
    snapshot.mkdir(parents=True)
    (cached / "refs").mkdir()
    (cached / "refs" / "main").write_text("0" * 40)
    expected = detect(on_cpu(folder), Detector.TEED, noise())
    (folder / "MTEED.pth").rename(snapshot / "MTEED.pth")
    for allowed in (False, True):  # what is here is not fetched
        assert (detect(on_cpu(folder), Detector.TEED, noise(), allow_download=allowed) == expected).all()


def test_the_hub_s_own_folders_may_be_kept(weights: Callable[[Detector], Path]) -> None:
    folder = weights(Detector.TEED)
    (folder / "Anyline").mkdir()
    (folder / "MTEED.pth").rename(folder / "Anyline" / "MTEED.pth")
    assert detect(on_cpu(folder), Detector.TEED, noise()).any()


# ---------------------------------------------------------------------------------------------- what files may hold


class Trap:
    """A pickle that runs code when it is read as one."""

    def __init__(self, sprung: Path) -> None:
        self.sprung = sprung

    def __reduce__(self) -> tuple[object, ...]:
        return (Path.touch, (self.sprung,))


def _pickles(detector: Detector) -> list[str]:
    return [file.name for choices in ROWS[detector].needs for file in choices if not file.name.endswith(".onnx")]


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("detector", [detector for detector in WITH_NETS if detector is not Detector.DWPOSE])
def test_weights_run_no_code(detector: Detector, zipped: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", "1")
    sprung = tmp_path / "sprung"
    for name in _pickles(detector):
        contents = {"weight": torch.zeros(1), "model": {"weight": Trap(sprung)}}
        torch.save(contents, tmp_path / name, _use_new_zipfile_serialization=zipped)
    with pytest.raises(ModelBroken, match=f"{detector} detector") as caught:
        detect(on_cpu(tmp_path), detector, noise())
    assert any(
        f"{name} can't be used (damaged, or not of tensors alone)" in str(caught.value) for name in _pickles(detector)
    )
    assert not sprung.exists()


def test_the_trap_is_one(tmp_path: Path) -> None:
    torch.save(Trap(tmp_path / "sprung"), tmp_path / "trap.pth")
    torch.load(tmp_path / "trap.pth", weights_only=False)
    assert (tmp_path / "sprung").exists()


@pytest.mark.parametrize("contents", [b"", b"\x80\x02", b"PK\x03\x04 and then nothing", b"<html>Not Found</html>"])
@pytest.mark.parametrize("detector", WITH_NETS)
def test_a_file_of_something_else_is_named(detector: Detector, contents: bytes, tmp_path: Path) -> None:
    names = [file.name for choices in ROWS[detector].needs for file in choices]
    for name in names:
        (tmp_path / name).write_bytes(contents)
    with pytest.raises(ModelBroken) as caught:
        detect(on_cpu(tmp_path), detector, noise())
    assert any(str(tmp_path / name) in str(caught.value) for name in names)


@pytest.mark.parametrize("zipped", [True, False])  # torch's form since 1.6, and the one before
@pytest.mark.parametrize("detector", LIGHT)
def test_a_file_that_was_cut_off_is_named(
    detector: Detector, zipped: bool, weights: Callable[[Detector], Path]
) -> None:
    folder = weights(detector)
    file = folder / _pickles(detector)[-1]
    torch.save(torch.load(file, weights_only=True), file, _use_new_zipfile_serialization=zipped)
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    with pytest.raises(ModelBroken, match=file.name):
        detect(on_cpu(folder), detector, noise())


@pytest.mark.parametrize("detector", [*LIGHT, Detector.ZOE])
def test_weights_of_another_net_are_refused(detector: Detector, weights: Callable[[Detector], Path]) -> None:
    folder = weights(detector)
    file = folder / _pickles(detector)[0]
    under = ROWS[detector].needs[0][0].under
    tensors = torch.load(file, weights_only=True)
    inner = tensors[under] if under else tensors
    del inner[next(name for name in reversed(list(inner)) if name.endswith("weight"))]
    torch.save(tensors, file)
    with pytest.raises(ModelBroken, match=rf"{file.name} can't be used \(.*(of another net|is missing)\)"):
        detect(on_cpu(folder), detector, noise())


@pytest.mark.parametrize("detector", [Detector.HED, Detector.PIDINET])
def test_a_safetensors_twin_goes_first(detector: Detector, weights: Callable[[Detector], Path]) -> None:
    folder = weights(detector)
    expected = detect(on_cpu(folder), detector, noise())
    pickle = folder / _pickles(detector)[0]
    under = ROWS[detector].needs[0][0].under
    tensors = torch.load(pickle, weights_only=True)
    save_file(tensors[under] if under else tensors, pickle.with_suffix(".safetensors"))
    pickle.write_bytes(b"not looked at")
    assert (detect(on_cpu(folder), detector, noise()) == expected).all()
    pickle.unlink()
    assert (detect(on_cpu(folder), detector, noise()) == expected).all()


def test_torch_load_is_itself_again_afterwards(weights: Callable[[Detector], Path]) -> None:
    before = torch.load
    folder = weights(Detector.TEED)
    detect(on_cpu(folder), Detector.TEED, noise())
    assert torch.load is before
    (folder / "MTEED.pth").write_bytes(b"broken")
    with pytest.raises(ModelBroken):
        detect(on_cpu(folder), Detector.TEED, noise())
    assert torch.load is before


# ---------------------------------------------------------------------------------------------- requests


def test_a_detector_serves_the_kinds_that_it_finds(tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest, match="canny detector finds canny images, not depth"):
        detect(on_cpu(tmp_path), Detector.CANNY, noise(), kind=ControlKind.DEPTH)


@pytest.mark.parametrize(
    ("name", "value"),
    [("resolution_px", 0), ("resolution_px", 100_000), ("low", -1.0), ("high", float("nan")), ("score", 1.5)],
)
def test_options_out_of_range_are_refused(name: str, value: float, tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest, match=name):
        detect(on_cpu(tmp_path), Detector.CANNY, noise(), **{name: value})


@pytest.mark.parametrize("detector", [Detector.CANNY, Detector.LINEART_STANDARD])
def test_an_empty_map_is_no_answer(detector: Detector, tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest, match=f"{detector} detector found nothing in the photo"):
        detect(on_cpu(tmp_path), detector, np.full((64, 64, 3), 128, np.uint8))


def test_detectors_make_room_for_one_another(
    weights: Callable[[Detector], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    from underpaint.backend.worker.conditioning import detectors as package

    weights(Detector.TEED)
    folder = weights(Detector.PIDINET)
    told: list[str] = []
    monkeypatch.setattr(package, "_KEPT_MB", 3.0)
    detectors = on_cpu(folder)
    announced = partial(detectors.detect, announce=told.append)
    monkeypatch.setattr(detectors, "detect", announced)
    for detector in (Detector.PIDINET, Detector.PIDINET, Detector.TEED, Detector.PIDINET):
        detect(detectors, detector, noise())
    assert told == [f"Loading the {name} detector" for name in ("pidinet", "teed", "pidinet")]


def test_running_out_of_memory_lets_go_of_detectors_too(tmp_path: Path) -> None:
    models = tmp_path / "models"
    detector_weights.put(Detector.HED, models / "annotators")
    blobs = BlobStore(tmp_path / "blobs")
    runner = make_runner(blobs, models)
    control = Control(
        kind=ControlKind.SOFTEDGE,
        source=Photo(image=blobs.write_array(noise()), detector=Detector.HED),
        options=DetectorOptions(resolution_px=64),
    )
    request = ControlMapsRequest(size=EXTENT, controls=(control,))
    for _ in range(2):
        runner.run("0" * 32, request, on_progress=lambda _: None, on_preview=lambda *_: None, cancelled=lambda: False)
    nets = [weakref.ref(thing) for thing in gc.get_objects() if type(thing).__name__ == "ControlNetHED_Apache2"]
    assert len(nets) == 1
    runner.clear()
    assert nets[0]() is None


def test_a_photo_goes_the_way_of_a_pass(tmp_path: Path) -> None:
    blobs = BlobStore(tmp_path / "blobs")
    photo = noise(300, 200)
    found = control_map(
        Control(
            kind=ControlKind.CANNY,
            source=Photo(image=blobs.write_array(photo), detector=Detector.CANNY),
            options=DetectorOptions(low=20.0, high=30.0),
        ),
        family=FamilyId.SD15,
        extent=EXTENT,
        read=blobs.read_array,
        detect=partial(on_cpu(tmp_path).detect, allow_download=False),
    )
    expected = detect(on_cpu(tmp_path), Detector.CANNY, photo, resolution_px=None, low=20.0, high=30.0)
    assert (found == expected).all()
    assert (found != detect(on_cpu(tmp_path), Detector.CANNY, photo, resolution_px=None)).any()
