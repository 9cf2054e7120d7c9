"""SIGKILL at random points. The seed and the number of kills can be chosen: UNDERPAINT_FAULT_SEED, UNDERPAINT_KILLS."""

import os
import random
import time

from fault_house import CLIENT, SERVICE, WORKER, House
from fault_ledger import Tally, audit

SEED = int(os.environ.get("UNDERPAINT_FAULT_SEED", "1"))
KILLS = int(os.environ.get("UNDERPAINT_KILLS", "150"))
CLIENTS = 4


def test_services_workers_and_scripts_die_at_random_points(house: House, report):
    random_ = random.Random(SEED)
    tally = Tally("service, worker and script killed")
    for number in range(CLIENTS):
        house.start_client(f"script{number}", "--seed", str(SEED * 100 + number))
    while tally.faults < KILLS:
        time.sleep(random_.uniform(0.0, 0.8))
        role = random_.choice((SERVICE, WORKER, WORKER, CLIENT))
        if role == CLIENT:
            number = random_.randrange(CLIENTS)
            house.kill_client(f"script{number}")
            house.start_client(f"script{number}", "--seed", str(SEED * 100 + number))
            tally.faults += 1
        else:
            tally.faults += house.kill(role)
    house.clients_end()
    report(audit(house, tally))
