"""Many jobs at once, and many who come and go."""

import threading
import time
from contextlib import closing

from fault_house import House
from fault_ledger import Tally, audit
from underpaint.protocol.client import Connection
from underpaint.protocol.errors import BackendUnreachable

JOBS_EACH = 250
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
    until = time.monotonic() + 12
    counted = threading.Lock()
    refused: list[str] = []

    def come_and_go() -> None:
        while time.monotonic() < until:
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
