"""A home that others could read or write, and a token file that somebody has opened to them."""

import os
import stat
import sys
from pathlib import Path

import pytest
from service_process import Service, until
from underpaint.backend.service import privacy
from underpaint.protocol.client import Home

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no file modes; the profile is private")


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_an_open_home_is_closed_with_a_warning(service: Service) -> None:
    service.home.create()
    service.home.folder.chmod(0o777)
    service.home.blobs.chmod(0o755)
    service.home.token_file.write_text("left by a service long ago")
    service.home.token_file.chmod(0o644)
    service.start()
    assert (mode(service.home.folder), mode(service.home.blobs), mode(service.home.token_file)) == (0o700, 0o700, 0o600)
    warned = service.home.service_log.read_text()
    assert f"{service.home.folder} could be used by other users of this computer (mode 777)" in warned
    assert f"{service.home.blobs} could be used" in warned


def test_nothing_that_is_made_in_a_home_is_for_others(service: Service) -> None:
    service.start()
    made = [path for path in service.home.folder.rglob("*") if path.name != "start.log"]  # which its client makes
    assert len(made) > 8
    assert [path for path in made if mode(path) & 0o077] == []


def test_a_token_file_that_was_opened_is_closed_again_with_a_warning(service: Service) -> None:
    connection = service.start()
    service.home.token_file.chmod(0o644)
    until(lambda: mode(service.home.token_file) == 0o600)
    assert f"{service.home.token_file} could be used by other users" in service.home.service_log.read_text()
    assert connection.hello().pid == service.pid


def test_a_home_of_somebody_else_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = Home(tmp_path / "home")
    home.create()
    monkeypatch.setattr(os, "geteuid", lambda: home.folder.stat().st_uid + 1)
    with pytest.raises(privacy.ForeignHome, match="belongs to another user"):
        privacy.make_private(home)
