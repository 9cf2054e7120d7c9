"""What holds for every suite: no network, no display, the project's own backend and a data folder that goes."""

import json
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal

import pytest

ROOT = Path(__file__).resolve().parents[1]

# Set before anything that reads them at import is imported.
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
os.environ.setdefault("UNDERPAINT_BACKEND_PYTHON", str(ROOT / ".venvs" / "main" / "bin" / "python"))
# A test that forgets to name its own data folder must not meet the user's service.
_HOME = Path(tempfile.mkdtemp(prefix="underpaint-tests-"))
os.environ["UNDERPAINT_HOME"] = str(_HOME)


@pytest.fixture(autouse=True, scope="session")
def stray_home() -> Iterator[Path]:
    """The data folder of tests that name none; a service that was started on it is ended."""
    yield _HOME
    from underpaint.protocol.client import Home, connect
    from underpaint.protocol.errors import BackendUnreachable

    try:
        with connect(Home(_HOME)) as connection:
            connection.shutdown()
    except BackendUnreachable:
        return  # as it should be: nothing was started
    finally:
        shutil.rmtree(_HOME, ignore_errors=True)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--figures-report", type=Path, help="a file that gets a JSON line for each measured figure")


@pytest.fixture
def figure(request: pytest.FixtureRequest) -> Callable[[dict[str, object]], None]:
    """Report a measured figure, whether it passes or not, to `make accept` or `make parity` where one listens."""
    report: Path | None = request.config.getoption("--figures-report")

    def note(line: dict[str, object]) -> None:
        if report is not None:
            with report.open("a") as file:
                file.write(json.dumps(line) + "\n")

    return note


@pytest.fixture
def accept(figure: Callable[[dict[str, object]], None]) -> Callable[..., None]:
    """Hold a measured figure against the threshold of an acceptance test (docs/conventions.md lists them).

    The figure is reported whether it passes or not; a miss fails the test.
    """

    def check(
        number: int,
        what: str,
        measured: float,
        threshold: float,
        *,
        better: Literal["less", "more"] = "less",
        unit: str = "",
    ) -> None:
        passed = bool(measured <= threshold if better == "less" else measured >= threshold)
        line = {
            "number": number,
            "what": what,
            "measured": float(measured),
            "threshold": float(threshold),
            "better": better,
            "unit": unit,
            "blender": _blender_version(),
            "passed": passed,
        }
        figure(line)
        sign = "at most" if better == "less" else "at least"
        assert passed, f"acceptance {number}, {what}: {measured:g}{unit}, expected {sign} {threshold:g}{unit}"

    return check


def _blender_version() -> str:
    bpy = sys.modules.get("bpy")
    return "" if bpy is None else bpy.app.version_string
