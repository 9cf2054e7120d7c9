"""A plan is told without painting: nothing is loaded or downloaded, and a running picture isn't disturbed."""

import dataclasses
from collections.abc import Callable
from pathlib import Path

import pytest
from underpaint.backend.blobstore import BlobStore
from underpaint.backend.worker.channel import goes_beside
from underpaint.backend.worker.models import downloads
from underpaint.protocol.errors import (
    DoesNotFit,
    InvalidRequest,
    InvalidSize,
    JobCancelled,
    ModelMismatch,
    ModelMissing,
)
from underpaint.protocol.geometry import Extent
from underpaint.protocol.jobs import JobResult
from underpaint.protocol.request import Control, ControlMapsRequest, GenerateRequest, PlanRequest, Precision
from worker_runner import Job, make_runner

Asked = Callable[..., GenerateRequest]
Told = Callable[..., JobResult]


@pytest.fixture
def told(blobs: BlobStore, models: Path, asked: Asked) -> Told:
    """The answer of a runner that has no model in memory, and has none afterwards."""
    runner = make_runner(blobs, models)

    def told(**changes: object) -> JobResult:
        result = Job(runner, PlanRequest(picture=asked(**changes))).run()
        assert runner.residents.held_bytes == 0
        return result

    return told


def test_it_is_words_and_no_picture(told: Told) -> None:
    result = told()
    assert (result.images, result.control_maps, result.image) == ((), (), None)
    assert result.plan.startswith("SD 1.5 + 3 ControlNets in ")
    assert "all in memory (cpu, float32" in result.plan
    assert result.checkpoint


def test_it_is_what_the_picture_then_says(told: Told, blobs: BlobStore, models: Path, asked: Asked) -> None:
    planned = told(memory_budget_gb=1.5, precision=Precision.BFLOAT16).plan
    request = asked(memory_budget_gb=1.5, precision=Precision.BFLOAT16)
    painted = Job(make_runner(blobs, models), request).run()
    assert painted.plan == planned
    assert "in 1.5 GB" in planned
    assert "bfloat16" in planned


def test_a_control_that_counts_nothing_takes_nothing(told: Told, controls: tuple[Control, ...]) -> None:
    idle = dataclasses.replace(controls[0], conditioning_scale=0.0)
    assert told(controls=(idle, *controls[1:])).plan.startswith("SD 1.5 + 2 ControlNets")
    assert told(controls=()).plan.startswith("SD 1.5 in ")


def test_what_fits_in_no_way_is_said_before_the_job(told: Told, blobs: BlobStore, models: Path, asked: Asked) -> None:
    with pytest.raises(DoesNotFit, match=r"2048 x 2048 takes .* has 0\.2 GB"):
        told(size=Extent(width=2048, height=2048), memory_budget_gb=0.2, controls=())
    runner = make_runner(blobs, models)
    request = asked(size=Extent(width=2048, height=2048), memory_budget_gb=0.2, controls=())
    job = Job(runner, request)
    with pytest.raises(DoesNotFit):
        job.run()
    assert runner.residents.held_bytes == 0


def test_it_raises_what_painting_would(told: Told, controls: tuple[Control, ...]) -> None:
    with pytest.raises(InvalidSize):
        told(size=Extent(width=60, height=63))
    with pytest.raises(InvalidRequest, match="steps"):
        told(steps=0)
    with pytest.raises(ModelMissing):
        told(checkpoint="not-here")
    named = dataclasses.replace(controls[0], controlnet="sdxl-depth")
    with pytest.raises(ModelMismatch):
        told(controls=(named,))


def test_nothing_is_downloaded_even_where_the_picture_might(told: Told, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    monkeypatch.delattr(downloads, "fetch")  # it would be missed
    with pytest.raises(ModelMissing, match="not in the Hugging Face cache"):
        told(checkpoint="nobody/nothing", allow_download=True)


def test_a_cancelled_one_is_not_answered(blobs: BlobStore, models: Path, asked: Asked) -> None:
    runner = make_runner(blobs, models)
    with pytest.raises(JobCancelled):
        Job(runner, PlanRequest(picture=asked()), cancel_at=0).run()


def test_plans_and_maps_without_detectors_go_beside_pictures(asked: Asked) -> None:
    picture = asked()
    assert goes_beside(PlanRequest(picture=picture))
    assert goes_beside(ControlMapsRequest(size=picture.size, controls=picture.controls))
    assert not goes_beside(picture)
