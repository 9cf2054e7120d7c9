"""SAM's regions and shuffled photos."""

import functools
from pathlib import Path

import cv2
import detector_weights
import numpy as np
import pytest
import torch
from detector_bench import EXTENT, detect, no_network, noise, on_cpu
from underpaint.backend.worker.conditioning.table import SegmentationConvention
from underpaint.protocol.errors import InvalidRequest
from underpaint.protocol.options import SegmentColours
from underpaint.protocol.sources import Detector

__all__ = ["no_network"]
pytestmark = pytest.mark.usefixtures("no_network")


def test_sam_runs_and_paints_flat_regions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The real net, asked at 4 points instead of 1024, and made sure of its random masks."""
    tensors = detector_weights.mobile_sam()
    head = "mask_decoder.iou_prediction_head.layers.2"
    tensors[f"{head}.weight"].zero_()
    tensors[f"{head}.bias"].fill_(1.0)
    torch.save(tensors, tmp_path / "mobile_sam.pt")
    library = detector_weights.library("segment_anything")
    monkeypatch.setattr(
        library,
        "SamAutomaticMaskGenerator",
        functools.partial(
            library.SamAutomaticMaskGenerator, points_per_side=2, stability_score_thresh=0.0, box_nms_thresh=1.0
        ),
    )
    found = detect(on_cpu(tmp_path), Detector.SAM, noise())
    assert found.shape == (EXTENT.height, EXTENT.width, 3)
    colours = np.unique(found.reshape(-1, 3), axis=0)
    assert 1 < len(colours) <= 13  # three masks a point, and black where none is


class Regions:
    """A mask generator that has seen a large box and a small one on it."""

    def generate(self, image: np.ndarray) -> list[dict[str, object]]:
        height, width = image.shape[:2]
        small, large = np.zeros((height, width), bool), np.zeros((height, width), bool)
        large[:, : width // 2] = True
        small[: height // 2, : width // 4] = True
        return [{"segmentation": mask, "area": int(mask.sum())} for mask in (small, large)]


@pytest.fixture
def regions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    library = detector_weights.library("segment_anything")
    monkeypatch.setattr(library, "SamAutomaticMaskGenerator", lambda _: Regions())
    monkeypatch.setitem(library.sam_model_registry, "vit_t", lambda checkpoint: torch.nn.Identity())
    torch.save({}, tmp_path / "mobile_sam.pt")
    return tmp_path


def test_small_regions_lie_on_large_ones_in_a_colour_each(regions: Path) -> None:
    found = detect(on_cpu(regions), Detector.SAM, noise())
    on_top, beneath, outside = found[10, 10], found[100, 10], found[10, 150]
    assert len({tuple(colour) for colour in (on_top, beneath, outside)}) == 3
    assert outside.max() == 0
    assert len(np.unique(found.reshape(-1, 3), axis=0)) == 3  # no border is blended
    columns = np.nonzero((found[100] != found[100, -1]).any(axis=1))[0]
    assert (columns.min(), columns.max()) == (0, 99)


def test_the_seed_chooses_the_colours_of_regions(regions: Path) -> None:
    detectors = on_cpu(regions)
    first = detect(detectors, Detector.SAM, noise(), seed=1)
    assert (detect(detectors, Detector.SAM, noise(), seed=1) == first).all()
    assert (detect(detectors, Detector.SAM, noise(), seed=2) != first).any()


def test_a_net_that_reads_classes_is_not_shown_random_colours(regions: Path) -> None:
    rule = SegmentationConvention(colours=SegmentColours.ADE20K)
    with pytest.raises(InvalidRequest, match="reads colours as ADE20K's classes"):
        detect(on_cpu(regions), Detector.SAM, noise(), rule=rule)


def test_shuffling_keeps_colours_and_follows_the_seed(tmp_path: Path) -> None:
    detectors = on_cpu(tmp_path)
    photo = np.zeros((256, 256, 3), np.uint8)
    photo[:, 128:] = (250, 120, 10)
    np.random.seed(5)
    before = np.random.get_state()[1].tolist()
    bent = detect(detectors, Detector.SHUFFLE, photo, seed=1)
    assert np.random.get_state()[1].tolist() == before  # others draw from that generator, too
    assert (detect(detectors, Detector.SHUFFLE, photo, seed=1) == bent).all()
    assert (detect(detectors, Detector.SHUFFLE, photo, seed=2) != bent).any()
    assert bent.shape == (EXTENT.height, EXTENT.width, 3)
    share = (bent[:, :, 0] > 125).mean()
    assert 0.1 < share < 0.9
    plain = cv2.resize(photo, (EXTENT.width, EXTENT.height))
    assert (bent != plain).any()
    # Red stays red: what was orange is orange.
    orange = bent[bent[:, :, 0] > 245]
    assert np.abs(np.median(orange, axis=0) - (250, 120, 10)).max() <= 2


def test_the_seed_may_be_as_large_as_a_request_s(tmp_path: Path) -> None:
    assert detect(on_cpu(tmp_path), Detector.SHUFFLE, noise(), seed=2**63 - 1).any()
