"""Half a gigabyte of models in a user's layout, through the whole worker: resident, and in turn under a budget."""

from pathlib import Path

import numpy as np
import pytest
from full_size_models import build_checkpoint, build_controlnet
from underpaint.backend.blobstore import BlobStore
from underpaint.backend.worker.jobs import JobRunner
from underpaint.protocol.geometry import Extent
from underpaint.protocol.jobs import JobResult
from underpaint.protocol.request import Control, ControlKind, GenerateRequest
from underpaint.protocol.sources import ReadyMap
from worker_runner import Job, make_runner

SIDE = 128


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint and two ControlNets in float16, 0.3 GB."""
    models = tmp_path_factory.mktemp("mid")
    build_checkpoint("mid", models / "mid")
    for index in range(2):
        build_controlnet("mid", models / f"net{index}", seed=1000 * (index + 1))
    return models


def painted(runner: JobRunner, blobs: BlobStore, **changes: object) -> JobResult:
    image = np.random.default_rng(0).integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8)
    source = ReadyMap(image=blobs.write_array(image))
    controls = tuple(
        Control(kind=ControlKind.TILE, source=source, controlnet=f"net{index}", conditioning_scale=0.5)
        for index in range(2)
    )
    fields: dict[str, object] = {
        "prompt": "a room", "checkpoint": "mid", "size": Extent(width=SIDE, height=SIDE), "controls": controls,
        "steps": 1, **changes,
    }  # fmt: skip
    return Job(runner, GenerateRequest(**fields)).run()  # type: ignore[arg-type]


def test_the_same_picture_resident_and_in_turn(folder: Path, blobs: BlobStore) -> None:
    runner = make_runner(blobs, folder)
    resident = painted(runner, blobs)
    assert "2 ControlNets" in resident.plan
    assert "all in memory (cpu, float32" in resident.plan
    held = runner.residents.held_bytes
    assert held > 600_000_000
    in_turn = painted(runner, blobs, memory_budget_gb=0.7)
    assert "in 0.7 GB: text encoders, UNet and VAE loaded in turn" in in_turn.plan
    assert in_turn.images == resident.images
    assert resident.image is not None
    assert blobs.read_array(resident.image).std() > 5
    # With room again everything stays, and what had been let go of comes back from disk.
    again = painted(runner, blobs, seed=1)
    assert "all in memory" in again.plan
    assert runner.residents.held_bytes == held
