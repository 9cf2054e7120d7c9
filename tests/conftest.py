"""What holds for every suite: no network, no display, the project's own backend and a data folder that goes."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

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
