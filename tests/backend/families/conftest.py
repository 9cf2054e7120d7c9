"""Every family's checkpoint with ControlNets, small and in its real layout; a socket that lets nobody out."""

import os
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from underpaint.backend.blobstore import BlobStore
from underpaint.protocol.arrays import ArrayRef
from underpaint.protocol.geometry import Extent
from underpaint.protocol.request import GenerateRequest, Scheduler

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # as the worker sets it; torch reads it when it is imported
_HERE = Path(__file__).parent
sys.path[:0] = [str(_HERE), str(_HERE.parent / "worker"), str(_HERE.parent / "parity")]

SIZE = Extent(width=64, height=48)


@pytest.fixture(scope="session", autouse=True)
def attempts() -> Iterator[list[str]]:
    """Whom anything in this process tried to reach. Names aren't resolved and nothing is connected to.

    The hub's own offline switches are off for the time: whoever doesn't go out does so by himself.
    """
    reached: list[str] = []
    held = {name: os.environ.pop(name) for name in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE") if name in os.environ}

    def connect(_socket: socket.socket, address: Any) -> None:
        reached.append(f"connect {address}")
        raise OSError("no network here")

    def resolve(host: Any, *_arguments: Any, **_named: Any) -> Any:
        reached.append(f"resolve {host}")
        raise OSError("no network here")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket.socket, "connect", connect)
        patch.setattr(socket.socket, "connect_ex", connect)
        patch.setattr(socket, "getaddrinfo", resolve)
        yield reached
    os.environ.update(held)


@pytest.fixture(scope="session", autouse=True)
def quietly(attempts: list[str]) -> None:
    """One thread, which is quickest for models this small; no progress bars, no remarks."""
    import diffusers
    import torch
    import transformers

    torch.set_num_threads(1)
    diffusers.logging.set_verbosity_error()
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()


@pytest.fixture(scope="session")
def models(quietly: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A models folder with every family that diffusers' own pipelines paint, each with its ControlNets."""
    from family_models import build_all

    folder = tmp_path_factory.mktemp("models")
    build_all(folder)
    return folder


@pytest.fixture(scope="session")
def blobs(tmp_path_factory: pytest.TempPathFactory) -> BlobStore:
    return BlobStore(tmp_path_factory.mktemp("blobs"))


@pytest.fixture(scope="session")
def runner(models: Path, blobs: BlobStore) -> Any:
    from worker_runner import make_runner

    return make_runner(blobs, models)


@pytest.fixture(scope="session")
def picture(blobs: BlobStore) -> ArrayRef:
    """A start picture as large as what is asked for, with shapes and noise."""
    rows, columns = np.mgrid[0 : SIZE.height, 0 : SIZE.width]
    noise = np.random.default_rng(5).integers(0, 60, (SIZE.height, SIZE.width, 3))
    shape = np.stack([columns * 3, rows * 4, (columns - 32) ** 2 // 6 + (rows - 24) ** 2 // 6], axis=-1)
    return blobs.write_array(np.clip(shape + noise, 0, 255).astype(np.uint8))


@pytest.fixture(scope="session")
def mask(blobs: BlobStore) -> ArrayRef:
    """The right half."""
    columns = np.mgrid[0 : SIZE.height, 0 : SIZE.width][1]
    return blobs.write_array((columns >= 32).astype(np.uint8) * 255)


@pytest.fixture
def asked() -> Callable[..., GenerateRequest]:
    """A small request; keyword arguments change its fields."""

    def request(**changes: Any) -> GenerateRequest:
        fields: dict[str, Any] = {
            "prompt": "a cosy room", "negative_prompt": "blurry", "size": SIZE, "steps": 3, "seed": 7,
            "guidance_scale": 3.5, "scheduler": Scheduler.EULER, **changes,
        }  # fmt: skip
        return GenerateRequest(**fields)

    return request


Cell = Callable[..., AbstractContextManager[None]]


@pytest.fixture
def cell(figure: Callable[[dict[str, object]], None], attempts: list[str]) -> Cell:
    """Report a cell of `make families`: done where the block ends without an error and without a network attempt."""

    @contextmanager
    def tried(family: str, feature: str, words: str = "yes") -> Iterator[None]:
        before, done = len(attempts), False
        try:
            yield
            done = len(attempts) == before
        finally:
            line = {"family": family, "feature": feature, "done": done, "words": words}
            figure({**line, "attempts": attempts[before:]})
        assert done, attempts[before:]

    return tried
