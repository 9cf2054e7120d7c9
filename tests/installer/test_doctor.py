"""The doctor on computers that are well, and on such that lack something."""

import json
import logging
import os
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from underpaint.installer import check_backend, check_home, check_service, doctor
from underpaint.installer.doctor import Check, as_text, examine
from underpaint.installer.environment import Survey
from underpaint.installer.findings import Computer, Finding, Verdict
from underpaint.installer.variants import Hardware
from underpaint.protocol import version
from underpaint.protocol.client import Home, ensure_running, logs
from underpaint.protocol.client.logs import BoundedFile, Program

OK, WARNING, PROBLEM = Verdict.OK, Verdict.WARNING, Verdict.PROBLEM


@pytest.fixture
def look(home: Home) -> Callable[[Check], Finding]:
    """One check of a home that exists; what is wrong always has a remedy."""
    home.create()

    def look(check: Check) -> Finding:
        finding = check(Computer(home=home))
        assert finding.sentence.endswith((".", "…"))
        assert finding.remedy or finding.verdict is not PROBLEM
        return finding

    return look


def test_a_computer_without_a_backend_has_one_problem(home: Home) -> None:
    found = list(examine(home))
    problems = [finding for finding in found if finding.verdict is PROBLEM]
    assert [finding.check for finding in problems] == ["Backend"]
    assert "underpaint install" in problems[0].remedy
    assert not home.folder.exists()


def test_a_computer_with_this_environment_is_well(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UNDERPAINT_BACKEND_PYTHON", sys.executable)
    found = {finding.check: finding for finding in examine(home)}
    assert doctor.is_healthy(list(found.values())), [as_text(finding) for finding in found.values()]
    assert "torch 2." in found["Packages"].sentence
    assert "chosen by UNDERPAINT_BACKEND_PYTHON" in found["Backend"].sentence
    assert "Graphics card" in found


def test_a_chosen_python_that_is_not_there_is_named(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UNDERPAINT_BACKEND_PYTHON", "/nowhere/python")
    (finding,) = examine(home, [check_backend.check_installed])
    assert (finding.verdict, finding.sentence) == (
        PROBLEM,
        "UNDERPAINT_BACKEND_PYTHON names a Python that is not there.",
    )


@pytest.mark.skipif(os.name == "nt", reason="a shell script stands in for a broken Python")
@pytest.mark.parametrize(
    ("script", "why"),
    [
        ("exit 3", "it ended with code 3"),
        ("echo libpython.so is missing >&2; exit 127", "libpython.so"),
        ("echo hm", "hm"),
    ],
)
def test_an_environment_whose_python_does_not_run(
    home: Home, look: Callable[[Check], Finding], script: str, why: str
) -> None:
    home.python.parent.mkdir(parents=True)
    home.python.write_text(f"#!/bin/sh\n{script}\n")
    home.python.chmod(0o755)
    finding = look(check_backend.check_installed)
    assert finding.verdict is PROBLEM
    assert why in finding.sentence
    assert "--repair" in finding.remedy


def test_packages_that_are_not_as_they_should_be_are_named(home: Home) -> None:
    computer = Computer(home=home)
    computer.python = Path(sys.executable)
    wrong = {"torch": "2.0.0 where 2.15.0 is wanted"} | {f"package{n}": "missing" for n in range(6)}
    computer.survey = Survey(python="3.11", wrong=wrong, versions={})
    finding = check_backend.check_packages(computer)
    assert finding.verdict is PROBLEM
    assert "torch (2.0.0 where 2.15.0 is wanted)" in finding.sentence
    assert "and 2 more" in finding.sentence


CARD = {"device": "cuda", "name": "RTX 4090", "cuda": "13.2", "free": 23e9, "total": 25e9, "cards": 1}
NVIDIA = {"nvidia": "RTX 4090, driver 535"}


@pytest.mark.parametrize(
    ("torch", "hardware", "verdict", "words"),
    [
        (CARD, NVIDIA, OK, "RTX 4090: 23.0 of 25.0 GB free, CUDA 13.2"),
        (CARD | {"rocm": "7.1", "cards": 2}, {}, OK, "the first of 2: 23.0 of 25.0 GB free, ROCm 7.1"),
        (CARD | {"free": 1e9, "total": 2e9}, NVIDIA, WARNING, "1.0 of 2.0 GB"),
        ({"device": "mps", "name": "Apple's graphics processor", "total": 12e9}, {}, OK, "12.0 GB"),
        ({"device": "cpu", "threads": 8}, {}, WARNING, "on the processor, with 8 threads"),
        ({"device": "cpu", "threads": 8, "cuda": "13.2"}, NVIDIA, PROBLEM, "PyTorch can't use it"),
        ({"device": "cpu", "threads": 8}, NVIDIA, WARNING, "is not made for it"),
        ({"device": "cpu", "threads": 8, "cuda": "13.2"}, {"amd": "/opt/rocm is there"}, WARNING, "is not made for it"),
    ],
)
def test_the_card_is_told_as_torch_sees_it(
    home: Home, torch: dict[str, object], hardware: dict[str, str], verdict: Verdict, words: str
) -> None:
    computer = Computer(home=home)
    computer.torch = {"rocm": None, "cuda": None} | torch
    computer.hardware = Hardware(system="linux", machine="x86_64", **hardware)
    finding = check_backend.check_device(computer)
    assert finding.verdict is verdict
    assert words in finding.sentence
    if verdict is PROBLEM:
        assert "driver 580 or newer" in finding.remedy


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such permissions")
def test_others_who_can_read_are_found(home: Home, look: Callable[[Check], Finding]) -> None:
    assert look(check_home.check_permissions).verdict is OK
    home.folder.chmod(0o755)
    assert look(check_home.check_permissions).verdict is WARNING
    home.token_file.write_text("token")
    home.token_file.chmod(0o644)
    finding = look(check_home.check_permissions)
    assert finding.verdict is PROBLEM
    assert "644 where 600 is right" in finding.sentence
    assert str(home.token_file) in finding.remedy


def test_disk_space_is_judged(home: Home, monkeypatch: pytest.MonkeyPatch, look: Callable[[Check], Finding]) -> None:
    for free, verdict in ((50e9, OK), (5e9, WARNING), (0.2e9, PROBLEM)):
        monkeypatch.setattr(check_home.shutil, "disk_usage", lambda _path, free=free: _Usage(int(free)))
        assert look(check_home.check_disk).verdict is verdict


class _Usage:
    def __init__(self, free: int) -> None:
        self.free = free


def test_models_are_listed_with_their_sizes(home: Home, look: Callable[[Check], Finding]) -> None:
    assert "built-in model" in look(check_home.check_models).sentence
    (home.models / "dream").mkdir()
    (home.models / "dream" / "unet.safetensors").write_bytes(b"0" * 3_000_000)
    assert "dream (3 MB)" in look(check_home.check_models).sentence
    (home.models / "half-copied").mkdir()
    assert look(check_home.check_models).verdict is WARNING


def test_a_queue_that_is_whole_cut_off_or_no_database(home: Home, look: Callable[[Check], Finding]) -> None:
    assert look(check_home.check_queue).verdict is OK
    connection = sqlite3.connect(home.database)
    connection.execute("CREATE TABLE jobs (text)")
    connection.executemany("INSERT INTO jobs VALUES (?)", [("x" * 1000,)] * 100)
    connection.commit()
    connection.close()
    assert look(check_home.check_queue).verdict is OK
    whole = home.database.read_bytes()
    home.database.write_bytes(whole[: len(whole) // 2])
    assert "bytes are there" in look(check_home.check_queue).sentence
    home.database.write_bytes(b"garbage" * 100)
    assert "no database" in look(check_home.check_queue).sentence


def test_errors_of_the_last_day_are_counted(home: Home, look: Callable[[Check], Finding]) -> None:
    assert look(check_home.check_logs).verdict is OK
    handler = BoundedFile(home, Program.SERVICE)
    old = {"time": "2020-01-01T00:00:00.000Z", "level": "error", "process": "service", "text": "long ago"}
    logs.log_file(home, Program.SERVICE).write_text(json.dumps(old) + "\nnot JSON\n")
    assert look(check_home.check_logs).verdict is OK
    handler.handle(handler_record("it fell"))
    finding = look(check_home.check_logs)
    assert finding.verdict is WARNING
    assert finding.sentence == "1 error in the last day, the last one: service: it fell."


def handler_record(text: str) -> logging.LogRecord:
    return logging.LogRecord("underpaint.service", logging.ERROR, __file__, 1, text, (), None)


def test_a_clock_that_was_set_back_is_noticed(
    home: Home, monkeypatch: pytest.MonkeyPatch, look: Callable[[Check], Finding]
) -> None:
    assert look(check_home.check_clock).verdict is OK
    home.database.touch()
    os.utime(home.database, (time.time() + 5 * 86400,) * 2)
    assert look(check_home.check_clock).verdict is WARNING
    monkeypatch.setattr(check_home.time, "time", lambda: 0.0)
    assert look(check_home.check_clock).verdict is PROBLEM


def test_the_way_to_the_service(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    assert check_service.check_loopback(Computer(home=home)).verdict is OK
    finding = check_service.check_loopback(Computer(home=home, environ={"HTTPS_PROXY": "http://proxy.invalid"}))
    assert finding.verdict is OK
    assert "HTTPS_PROXY is set" in finding.sentence

    def forbidden() -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(check_service, "try_loopback", forbidden)
    finding = check_service.check_loopback(Computer(home=home))
    assert finding.verdict is PROBLEM
    assert "Operation not permitted" in finding.sentence


def test_a_service_that_runs_does_not_run_and_was_killed(
    home: Home, look: Callable[[Check], Finding], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "started when it is needed" in look(check_service.check_service).sentence
    monkeypatch.setenv("UNDERPAINT_BACKEND_PYTHON", sys.executable)
    with ensure_running(home) as connection:
        hello = connection.hello()
        finding = look(check_service.check_service)
        assert finding.verdict is OK
        assert f"process {hello.pid}" in finding.sentence
        assert f"protocol {version.PROTOCOL_MAJOR}.{version.PROTOCOL_MINOR}" in finding.sentence
        connection.shutdown()
    home.endpoint_file.write_text('{"host": "127.0.0.1", "port": 9, "pid": 1}')
    home.token_file.write_text("stale")
    assert look(check_service.check_service).verdict is WARNING


def test_a_check_that_fails_is_a_problem_and_the_others_go_on(home: Home) -> None:
    def check_broken(_computer: Computer) -> Finding:
        raise OSError("disk on fire")

    broken, clock = examine(home, [check_broken, check_home.check_clock])
    assert (broken.check, broken.verdict) == ("Broken", PROBLEM)
    assert "disk on fire" in broken.sentence
    assert clock.verdict is OK


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "underpaint.installer", *arguments]
    return subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=120)


def test_on_the_command_line_it_is_text_or_json_and_the_status_tells(home: Home) -> None:
    text = run("doctor")
    assert text.returncode == 1
    assert "problem  Backend: It is not installed" in text.stdout
    assert text.stdout.endswith("\n1 problem.\n")
    said = json.loads(run("doctor", "--json").stdout)
    assert said["healthy"] is False
    assert {"check", "verdict", "sentence", "remedy"} == set(said["findings"][0])
