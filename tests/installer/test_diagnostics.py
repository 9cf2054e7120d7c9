"""Copy Diagnostics, over logs that are full of what is nobody else's business."""

import json
import logging
import sys
from pathlib import Path

import pytest
from underpaint.installer.diagnostics import diagnostics
from underpaint.installer.doctor import QUICK
from underpaint.protocol.client import Home, ensure_running, logs, wait
from underpaint.protocol.client.logs import BoundedFile, Program
from underpaint.protocol.geometry import Extent
from underpaint.protocol.request import GenerateRequest

TOKEN = "5a" * 32
WORKER = Path(__file__).resolve().parents[1] / "backend" / "fake_worker.py"


def fill(home: Home) -> None:
    """Logs as bad as they come: written by ours, by others, and by hand."""
    home.create()
    user = str(Path.home())
    for program in Program:
        log = logging.Logger("test")
        log.addHandler(BoundedFile(home, program))
        log.error("%s in %s/scenes/secret.blend with Bearer %s", program, user, TOKEN)
        try:
            raise ValueError(f"GenerateRequest(prompt='an owl, flying', negative_prompt=\"fog\", token={TOKEN!r})")
        except ValueError:
            log.exception("it failed")
        log.info("Truncated because CLIP can only handle sequences up to 77 tokens: ['an owl, flying']")
    with logs.log_file(home, Program.WORKER).open("a") as stream:
        stream.write(f"KeyError: 'an owl, flying by night'\nraw {TOKEN} in {user}/x and C:\\Users\\Jane Roe\\x\n")
    (home.logs / "install.log").write_text(f"Looking in indexes: https://jane:{TOKEN}@index.invalid/simple\n")
    home.start_log.write_text(json.dumps({"prompt": "an owl, flying"}) + "\n")
    home.token_file.write_text(TOKEN)
    home.token_file.chmod(0o600)


def test_nothing_private_is_in_them(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UNDERPAINT_TORCH_INDEX", f"https://jane:{TOKEN}@index.invalid")
    fill(home)
    text = diagnostics(home, about={"Blender": "5.0.1"}, checks=QUICK)
    for private in (TOKEN, "owl", "fog", str(Path.home()) + "/", str(home.folder), "Jane", "jane:"):
        assert private not in text, [line for line in text.splitlines() if private in line]
    for wanted in (
        "Underpaint 0",
        "protocol 3.",
        "Blender: 5.0.1",
        "Set: UNDERPAINT_HOME, UNDERPAINT_TORCH_INDEX",
        "problem  Backend: It is not installed in [data folder]",
        "-- service.log",
        "-- worker.log",
        "-- blender.log",
        "-- panel.log",
        "-- installer.log",
        "-- install.log",
        "GenerateRequest(prompt=[prompt], negative_prompt=[prompt]",
        "KeyError: '[text]'",
        "~/scenes/secret.blend with Bearer [token]",
        "https://[credentials]@index.invalid",
    ):
        assert wanted in text


def test_prompts_of_the_queue_are_known_and_left_out(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UNDERPAINT_BACKEND_PYTHON", sys.executable)
    worker = json.dumps([sys.executable, str(WORKER), "--blobs", str(home.blobs)])
    with ensure_running(home, service_arguments=("--worker-command", worker)) as connection:
        request = GenerateRequest(prompt="lanterns", negative_prompt="daylight", size=Extent(width=64, height=64))
        wait(connection, connection.submit(request))
        with logs.log_file(home, Program.WORKER).open("a") as stream:
            stream.write("someone printed lanterns without a word about what they are, not daylight\n")
        text = diagnostics(home, checks=())
        connection.shutdown()
    assert "someone printed [prompt] without a word about what they are, not [prompt]" in text
