"""The zip that people install, built once, and one service for all the Blenders, as on a user's computer."""

from collections.abc import Iterator
from pathlib import Path

import build_extension
import pytest
from underpaint.protocol.client import Home, connect
from underpaint.protocol.errors import BackendUnreachable


@pytest.fixture(scope="session")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The extension, built and validated by Blender's own tools."""
    return build_extension.build(tmp_path_factory.mktemp("dist"))


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder that every Blender here can reach; its `home` is the data folder that they share."""
    folder = tmp_path_factory.mktemp("shared")
    yield folder
    try:
        with connect(Home(folder / "home")) as connection:
            connection.shutdown()
    except BackendUnreachable:
        return  # no test got as far as starting it, and those have failed
