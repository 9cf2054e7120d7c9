"""Logs: whole lines of JSON, bounded, their owner's alone, and without tokens and prompts."""

import json
import logging
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from underpaint.protocol.client import Home, logs
from underpaint.protocol.client.logs import BoundedFile, Program

TOKEN = "0123456789abcdef" * 4


@pytest.fixture
def home(tmp_path: Path) -> Home:
    home = Home(tmp_path / "home")
    home.create()
    return home


@pytest.fixture
def panel(home: Home) -> Iterator[logging.Logger]:
    handler = logs.write_to_home(Program.PANEL, home, also=("underpaint.qt_panel",))
    yield logs.logger(Program.PANEL)
    logs.take_back(handler, Program.PANEL, also=("underpaint.qt_panel",))


def written(home: Home, program: Program = Program.PANEL) -> list[dict[str, object]]:
    return [json.loads(line) for line in logs.log_file(home, program).read_text("utf-8").splitlines()]


def test_a_line_says_when_who_where_and_what(home: Home, panel: logging.Logger) -> None:
    panel.info("opened %s", "a Wörkspace\nof two lines")
    panel.warning("closed", extra={"event": "window.closed"})
    first, second = written(home)
    assert list(first) == ["time", "level", "process", "pid", "event", "text"]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", str(first.pop("time")))
    assert first == {
        "level": "info",
        "process": "panel",
        "pid": os.getpid(),
        "event": "test_logs.test_a_line_says_when_who_where_and_what",
        "text": "opened a Wörkspace\nof two lines",
    }
    assert (second["level"], second["event"]) == ("warning", "window.closed")


def test_an_exception_leaves_its_trace_without_its_prompt(home: Home, panel: logging.Logger) -> None:
    try:
        raise ValueError("GenerateRequest(prompt='my secret garden', negative_prompt=\"don't\", seed=7)")
    except ValueError:
        logging.getLogger("underpaint.qt_panel").exception("it failed")
    (line,) = written(home)
    assert "test_logs.py" in str(line["trace"])
    assert "GenerateRequest(prompt=[prompt], negative_prompt=[prompt], seed=7)" in str(line["trace"])


@pytest.mark.parametrize(
    ("said", "kept"),
    [
        (f"token {TOKEN} refused", "token [64 hex digits] refused"),
        (f"Authorization: Bearer {TOKEN}", "Authorization: Bearer [token]"),
        (f"'authorization': 'bearer x.y-z', 'port': 1 {TOKEN.upper()}", "bearer [token]', 'port': 1 [64 hex digits]"),
        ('{"prompt": "a \\"red\\" fox", "seed": 1}', '{"prompt": [prompt], "seed": 1}'),
        ("{'negative_prompt': 'fox', 'steps': 2}", "{'negative_prompt': [prompt], 'steps': 2}"),
        ("prompts=['a fox', \"an [old] owl's\"] sizes=[1]", "prompts=[prompt] sizes=[1]"),
        ("prompt='cut off in the middle", "prompt=[prompt]"),
        ("Prompt: a fox, running", "Prompt: [prompt]"),
        (
            "The following part of your input was truncated because CLIP can only handle sequences up to 77 tokens: "
            "['a fox, running']",
            "The following part of your input was truncated because CLIP can only handle sequences up to 77 tokens: "
            "[prompt]",
        ),
        ("prompts are encoded, 12 of them", "prompts are encoded, 12 of them"),
        ("job 0123456789abcdef0123456789abcdef is done", "job 0123456789abcdef0123456789abcdef is done"),
    ],
)
def test_tokens_and_prompts_are_taken_out(said: str, kept: str) -> None:
    assert kept in logs.without_secrets(said)
    assert "fox" not in logs.without_secrets(said)
    assert TOKEN not in logs.without_secrets(said).lower()


def test_hostile_lines_take_no_time() -> None:
    for line in (
        "prompt=[" + "'" * 60_000,
        "prompt=" + "(" * 60_000,
        "prompt = " * 7000,
        "prompts" * 9000,
        "[" * 60_000,
    ):
        logs.without_secrets(line)


def test_logs_stay_small_and_lose_only_what_is_old(home: Home) -> None:
    log = logging.Logger("test")
    log.addHandler(BoundedFile(home, Program.BLENDER, max_bytes=2000, kept=2))
    for number in range(100):
        log.info("line %d", number)
    files = sorted(path.name for path in home.logs.glob("blender.log*"))
    assert files == ["blender.log", "blender.log.1", "blender.log.2"]
    assert all(path.stat().st_size < 2300 for path in home.logs.glob("blender.log*"))
    lines = [
        json.loads(line)["text"] for name in reversed(files) for line in (home.logs / name).read_text().splitlines()
    ]
    assert lines == [f"line {number}" for number in range(100 - len(lines), 100)]


def test_several_processes_write_one_log(home: Home) -> None:
    script = (
        "import logging, sys; from pathlib import Path; from underpaint.protocol.client import Home\n"
        "from underpaint.protocol.client.logs import BoundedFile, Program\n"
        "log = logging.Logger('test'); log.addHandler(BoundedFile(Home(Path(sys.argv[1])), Program.BLENDER))\n"
        "for number in range(300): log.info('line %d ' + 'x' * 500, number)"
    )
    command = [sys.executable, "-c", script, str(home.folder)]
    writers = [subprocess.Popen(command, stderr=subprocess.PIPE) for _ in range(3)]
    for writer in writers:
        assert writer.communicate(timeout=60)[1] == b""
    assert len(written(home, Program.BLENDER)) == 900


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such permissions")
def test_a_log_is_its_owners_alone(home: Home, panel: logging.Logger) -> None:
    panel.info("hello")
    assert logs.log_file(home, Program.PANEL).stat().st_mode & 0o077 == 0


def test_where_there_is_no_data_folder_none_is_made(tmp_path: Path) -> None:
    handler = logs.write_to_home(Program.PANEL, lambda: Home(tmp_path / "nothing"))
    logs.logger(Program.PANEL).warning("hello")
    logs.take_back(handler, Program.PANEL)
    assert not (tmp_path / "nothing").exists()


def test_the_end_of_a_log_reads_like_a_text(home: Home, panel: logging.Logger) -> None:
    for number in range(5):
        panel.info("line %d", number, extra={"event": "count"})
    with logs.log_file(home, Program.PANEL).open("a") as stream:
        stream.write("not JSON\n")
    *_, third, last = logs.last_lines(logs.log_file(home, Program.PANEL), 2)
    assert third.endswith("Z info count line 4")
    assert last == "not JSON"
    assert logs.last_lines(home.logs / "none.log", 5) == []
