"""A worker that breaks in every way there is, while others want their pictures."""

import random
import time

from fault_house import SEED, SERVICE, WORKER, House
from fault_ledger import Tally, audit

FAULTY_S = 60.0


def test_a_worker_breaks_on_a_third_of_the_jobs(house: House, report):
    """Out of memory, full disk, crash, hang, deafness, silence, garbage and lies, as the prompts say."""
    tally = Tally("worker out of memory, hung, deaf, silent, talking garbage, lying")
    house.start_scripts(2, "--faulty", "0.33", "--at-once", "1")
    house.start_client("sound", "--seed", "7", "--at-once", "1")
    time.sleep(FAULTY_S)
    house.clients_end()
    tally = audit(house, tally)
    tally.faults = sum(tally.unfinished.values())
    assert tally.faults > 5
    report(tally)


def test_the_machine_sleeps(house: House, report):
    """SIGSTOP and SIGCONT: of the worker, of the service, and of both, for longer than their patience."""
    random_ = random.Random(SEED)
    tally = Tally("service, worker or both suspended")
    house.start_scripts(2)
    for _ in range(8):
        time.sleep(random_.uniform(0.2, 1.5))
        roles = random_.choice(((WORKER,), (SERVICE,), (SERVICE, WORKER)))
        stopped = {pid for role in roles for pid in house.processes(role)}
        house.pause(stopped, random_.uniform(0.5, 6.0))
        tally.faults += bool(stopped)
    house.clients_end()
    report(audit(house, tally))
