"""Models from the hub: offered from the catalogue, never without the user's word, with progress and an end."""

from typing import Any

import bpy
import pytest
from test_ui_drawing import CheckingLayout, _context
from underpaint.addon import operators_downloads
from underpaint.addon.download_job import DownloadJob
from underpaint.addon.ui import extras as drawing
from underpaint.protocol.client import Connection
from underpaint.protocol.request import DownloadRequest


@pytest.fixture
def online(scene: Any) -> Any:
    system = bpy.context.preferences.system
    before = system.use_online_access
    system.use_online_access = True
    if not bpy.app.online_access:
        pytest.fail("Blender was started offline")
    yield
    system.use_online_access = before


def test_nothing_is_fetched_while_blender_is_offline(scene: Any) -> None:
    bpy.context.preferences.system.use_online_access = False
    with pytest.raises(RuntimeError, match="poll"):
        bpy.ops.underpaint.download_model(reference="owner/name")
    assert operators_downloads.running == []


def test_a_download_that_can_t_be_says_why(online: None, backend: Connection) -> None:
    with pytest.raises(RuntimeError, match=r"owner/name|HF_HUB_OFFLINE"):
        bpy.ops.underpaint.download_model(reference="owner/name")
    assert operators_downloads.running == []
    assert operators_downloads.failure
    with pytest.raises(RuntimeError, match="no hub id"):
        bpy.ops.underpaint.download_model(reference="no hub id")


def test_the_catalogue_is_offered_with_what_each_is(scene: Any, backend: Connection) -> None:
    operators_downloads._load()
    offered = operators_downloads.items(None, None)
    assert len(offered) > 20
    assert any("SD 1.5" in label for _, label, _ in offered)
    assert all(label and tip for _, label, tip in offered)


def test_a_running_download_shows_how_far_it_is(scene: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    job = DownloadJob(DownloadRequest(reference="owner/name"))
    job.fraction, job.note = 0.4, "1.2 of 3.4 GB"
    monkeypatch.setattr(operators_downloads, "running", [job])
    monkeypatch.setattr(operators_downloads, "failure", "")
    told: list[str] = []
    drawing.download(CheckingLayout(told), _context(scene))
    assert "1.2 of 3.4 GB" in told
    bpy.ops.underpaint.cancel_download()
    told.clear()
    drawing.download(CheckingLayout(told), _context(scene))
    assert "Cancelling" in told
