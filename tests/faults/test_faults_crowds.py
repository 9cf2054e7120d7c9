"""Many jobs at once, and many who come and go."""

import threading
import time
from contextlib import closing
from pathlib import Path

from fault_house import END_S, House, until
from fault_ledger import Tally, audit, entries
from underpaint.protocol.client import Connection
from underpaint.protocol.errors import BackendUnreachable

ROOT = Path(__file__).resolve().parents[2]
JOBS_EACH = 250
JOBS_TOGETHER = 5
LISTENERS = 24


def test_a_thousand_jobs_from_four_clients_at_once(house: House, report):
    tally = Tally("a thousand jobs from four clients at once")
    house.start_scripts(4, "--jobs", str(JOBS_EACH), "--at-once", "1", "--submit-only")
    house.clients_end()
    tally = audit(house, tally)
    assert tally.jobs == 4 * JOBS_EACH
    report(tally)


def test_listeners_come_and_go_in_a_storm(house: House, report):
    tally = Tally("a storm of connections that break")
    house.start_scripts(2)
    house.settled()
    ends_at = time.monotonic() + 12
    counted = threading.Lock()
    refused: list[str] = []

    def come_and_go() -> None:
        while time.monotonic() < ends_at:
            try:
                with Connection.to(house.home) as connection:
                    connection.hello()
                    with closing(connection.events(0)) as events:
                        for _ in range(5):
                            next(events)
            except BackendUnreachable as error:
                refused.append(str(error))
            with counted:
                tally.faults += 1

    crowd = [threading.Thread(target=come_and_go) for _ in range(LISTENERS)]
    for one in crowd:
        one.start()
    for one in crowd:
        one.join()
    house.clients_end()
    assert not refused, refused[:3]
    report(audit(house, tally))


def test_two_blenders_the_panel_and_a_script_work_at_once(house: House, report):
    """All four find nothing and start one service; each gets its own pictures."""
    tally = Tally("two Blenders, the panel and a script at once")
    for version in ("4.5", "5.0"):
        python = ROOT / ".venvs" / f"bpy-{version}" / "bin" / "python"
        house.start_client(f"blender{version}", "--seed", version[0], python=str(python), script="fault_blender.py")
    house.start_client("panel", "--seed", "3", script="fault_panel.py")
    house.start_scripts(1, "--at-once", "1")
    names = list(house.clients)
    for name in names:
        house.client_is_up(name)
    until(lambda: all(len(_accepted(house, name)) >= JOBS_TOGETHER for name in names), "jobs of everybody", END_S)
    house.clients_end()
    assert house.home.service_log.read_text().count("serving ") == 1
    report(audit(house, tally))


def _accepted(house: House, name: str) -> set[str]:
    return {note["accepted"] for note in entries(house.ledger(name)) if "accepted" in note}
