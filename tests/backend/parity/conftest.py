"""The oracle in two precisions, our runner over the same folders, and the lines of `make parity`."""

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, Literal

import pytest
from underpaint.backend.blobstore import BlobStore

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # as the worker sets it; torch reads it when it is imported
sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[1] / "worker")]


@pytest.fixture(scope="session", autouse=True)
def quietly() -> None:
    """One thread, which is quickest for models this small; no progress bars, no remarks on precision."""
    import diffusers
    import torch
    import transformers

    torch.set_num_threads(1)
    diffusers.logging.set_verbosity_error()
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()


@pytest.fixture(scope="session")
def models(quietly: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A models folder with every checkpoint and ControlNet."""
    from parity_models import build

    folder = tmp_path_factory.mktemp("models")
    build(folder)
    return folder


@pytest.fixture(scope="session")
def stock(models: Path) -> Any:
    """The oracle."""
    from parity_stock import Stock

    return Stock(models)


@pytest.fixture(scope="session")
def exact(models: Path) -> Any:
    """The oracle in float64, which tells whose rounding is off by how much."""
    import torch
    from parity_stock import Stock

    return Stock(models, torch.float64)


@pytest.fixture(scope="session")
def ours(models: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Our runner."""
    from parity_ours import Ours
    from worker_runner import make_runner

    return Ours(models, BlobStore(tmp_path_factory.mktemp("blobs")), make_runner)


Compare = Callable[..., None]


@pytest.fixture
def parity(figure: Callable[[dict[str, object]], None]) -> Iterator[Callable[..., AbstractContextManager[Compare]]]:
    """A line of `make parity`: `with parity(group, combination) as compare:`, then a call for each figure of it.

    Every figure is reported whether it passes or not; a miss fails the test at the line's end, and so does a
    line or a test that compares nothing.
    """
    lines = 0

    @contextmanager
    def line(group: str, what: str) -> Iterator[Compare]:
        nonlocal lines
        lines += 1
        held: list[bool] = []
        missed: list[str] = []

        def compare(
            compared: str,
            measured: float,
            threshold: float,
            *,
            better: Literal["less", "more", "equal", "bits"] = "less",
        ) -> None:
            held.append(
                {"less": measured <= threshold, "more": measured >= threshold}.get(better, measured == threshold)
            )
            entry = {"group": group, "what": what, "compared": compared, "better": better, "passed": bool(held[-1])}
            figure({**entry, "measured": float(measured), "threshold": float(threshold)})
            if not held[-1]:
                sign = {"less": "at most", "more": "at least"}.get(better, "exactly")
                missed.append(f"{compared}: {measured:g}, expected {sign} {threshold:g}")

        yield compare
        assert held, "this line compares nothing"
        assert not missed, "; ".join(missed)

    yield line
    assert lines, "this test compares nothing"
