"""A home, and small wheels to install into it."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from small_wheels import Index, make_wheel
from underpaint.protocol.client import Home


@pytest.fixture(scope="session")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheels")
    make_wheel(folder, "brushes", "colour = 'umber'\n")
    make_wheel(folder, "brushes", "colour = 'ochre'\n", version="2.0")
    make_wheel(folder, "canvas", "weave = 'linen'\n")
    make_wheel(folder, "broken_brushes", "raise ImportError('libcanvas.so is missing')\n")
    make_wheel(folder, "large_brushes", "size = 40\n", ballast=400_000)
    make_wheel(folder, "slow_brushes", "size = 60\n", ballast=600_000)
    return folder


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    home = Home(tmp_path / "home with spaces")
    monkeypatch.setenv("UNDERPAINT_HOME", str(home.folder))
    monkeypatch.delenv("UNDERPAINT_BACKEND_PYTHON", raising=False)
    monkeypatch.delenv("UNDERPAINT_TORCH_INDEX", raising=False)
    return home


@pytest.fixture
def index(wheels: Path) -> Iterator[Index]:
    index = Index(wheels)
    yield index
    index.close()
