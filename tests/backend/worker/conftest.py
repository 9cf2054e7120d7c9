"""Small real models, built once a session, and a runner over them."""

import os

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # as the worker sets it; torch reads it when it is imported

from collections.abc import Callable
from pathlib import Path

import pytest
from underpaint.backend.blobstore import BlobStore
from underpaint.backend.worker.jobs import JobRunner
from underpaint.backend.worker.models import embedded
from underpaint.protocol.geometry import Extent
from underpaint.protocol.request import Control, ControlKind, GenerateRequest
from worker_runner import make_runner
from worker_scene import depth_pass, normal_pass, pose_pass

SIZE = Extent(width=64, height=64)


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A models folder with the embedded checkpoint, and `sdxl` with a depth ControlNet and two unions beside it."""
    from worker_sdxl import build_sdxl, build_unions  # here, for it imports diffusers

    folder = tmp_path_factory.mktemp("models")
    embedded.checkpoint(folder)
    build_sdxl(folder / "sdxl", folder / "sdxl-depth")
    build_unions(folder, folder / "sdxl")
    return folder


@pytest.fixture(scope="session")
def blobs(tmp_path_factory: pytest.TempPathFactory) -> BlobStore:
    return BlobStore(tmp_path_factory.mktemp("blobs"))


@pytest.fixture(scope="session")
def runner(models: Path, blobs: BlobStore) -> JobRunner:
    """A runner that keeps its models from test to test, as a worker does from job to job."""
    return make_runner(blobs, models)


@pytest.fixture(scope="session")
def controls(blobs: BlobStore) -> tuple[Control, ...]:
    """Depth, normal and pose of one little scene, 64 x 64."""
    return (
        Control(kind=ControlKind.DEPTH, source=depth_pass(blobs, SIZE)),
        Control(kind=ControlKind.NORMAL, source=normal_pass(blobs, SIZE)),
        Control(kind=ControlKind.OPENPOSE, source=pose_pass(SIZE)),
    )


@pytest.fixture
def asked(controls: tuple[Control, ...]) -> Callable[..., GenerateRequest]:
    """A small request with three controls; keyword arguments change its fields."""

    def request(**changes: object) -> GenerateRequest:
        fields: dict[str, object] = {
            "prompt": "a cosy room", "size": SIZE, "controls": controls, "steps": 3, "seed": 7, **changes,
        }  # fmt: skip
        return GenerateRequest(**fields)  # type: ignore[arg-type]

    return request
