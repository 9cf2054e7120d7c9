"""SIGKILL at random points. Seed and number can be chosen: UNDERPAINT_FAULT_SEED, UNDERPAINT_KILLS (for scripts)."""

import os
import random
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from fault_house import CLIENT, SEED, SERVICE, WORKER, House
from fault_ledger import Tally, audit
from underpaint.protocol.client import run
from underpaint.protocol.geometry import Extent
from underpaint.protocol.request import GenerateRequest

ROOT = Path(__file__).resolve().parents[2]
KILLS = int(os.environ.get("UNDERPAINT_KILLS", "140"))
PROGRAM_KILLS = 25  # each, of Blender and of the panel
REAL_KILLS = 12
SCRIPTS = 4
AT_ONCE = ("--at-once", "8")  # a queue that is never empty for long, whoever has just been killed


def kill_some(house: House, tally: Tally, random_: random.Random, roles: tuple[str, ...]) -> None:
    role = random_.choice(roles)
    if role == CLIENT:
        name = f"script{random_.randrange(SCRIPTS)}"
        house.kill_client(name)
        house.start_client(name, "--seed", str(SEED * 100 + int(name.removeprefix("script"))), *AT_ONCE)
        tally.faults += 1
    else:
        tally.faults += house.kill(role)


def test_services_workers_and_scripts_die_at_random_points(house: House, report):
    random_ = random.Random(SEED)
    tally = Tally("service, worker or script killed")
    house.start_scripts(SCRIPTS, *AT_ONCE)
    while tally.faults < KILLS:
        time.sleep(random_.uniform(0.0, 0.7))
        kill_some(house, tally, random_, (SERVICE, WORKER, WORKER, CLIENT))
    house.clients_end()
    report(audit(house, tally))


@pytest.mark.parametrize(
    ("program", "python"),
    [
        ("fault_blender.py", ROOT / ".venvs" / "bpy-5.0" / "bin" / "python"),
        ("fault_panel.py", Path(sys.executable)),
    ],
    ids=["blender", "panel"],
)
def test_programs_die_at_random_points(house: House, report, program, python):
    random_ = random.Random(SEED)
    name = program.removeprefix("fault_").removesuffix(".py")
    tally = Tally(f"{name} killed, and now and then what it started")

    def begin() -> None:
        house.start_client(name, "--seed", str(SEED), python=str(python), script=program)

    begin()
    while tally.faults < PROGRAM_KILLS:
        if random_.random() < 0.8:  # the others die while they start
            house.client_is_up(name)
        time.sleep(random_.uniform(0.0, 2.0))
        if random_.random() < 0.2:
            tally.faults += house.kill(random_.choice((SERVICE, WORKER)))
        house.kill_client(name)
        tally.faults += 1
        begin()
    house.client_is_up(name)
    time.sleep(2)
    house.clients_end()
    report(audit(house, tally))


def test_the_real_worker_dies_at_random_points(tmp_path: Path, report):
    random_ = random.Random(SEED)
    house = House(tmp_path, real_worker=True)
    tally = Tally("service or real worker killed, embedded model")
    requests = [
        GenerateRequest(prompt="a red cube", size=Extent(width=64, height=64), steps=8, seed=seed) for seed in range(6)
    ]
    try:
        with house.connect() as connection:  # how they look when nothing happens
            right = {request.seed: connection.download(run(connection, request).result.image) for request in requests}
        assert len({picture.tobytes() for picture in right.values()}) == len(requests)
        while tally.faults < REAL_KILLS:
            with house.connect() as connection:
                for request in requests:
                    job = connection.submit(request)
                    with house.ledger("driver").open("a") as file:
                        file.write(f'\n{{"accepted": "{job.id}"}}')
            time.sleep(random_.uniform(0.0, 6.0))
            tally.faults += house.kill(random_.choice((SERVICE, WORKER, WORKER)))
        report(audit(house, tally, right))
        assert all(np.any(picture) for picture in right.values())
    finally:
        house.close()
