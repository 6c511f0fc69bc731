"""PostgreSQL goes away under load in one way after the other, and now and then the index with it."""
import os
import random
import signal
import time

import oracle
import processes
import pytest
from postgres import Postgres
from processes import Stack
from senders import Storm
from stack import wait_until

OUTAGES = int(os.environ.get("ZPACS_CRASH_OUTAGES", 2))
STORES, STOWS, IMPORTS = (int(n) for n in os.environ.get("ZPACS_CRASH_SENDERS", "4,2,1").split(","))
SEED = int(os.environ.get("ZPACS_CRASH_SEED", random.randrange(1, 10000)))
PACE_S = float(os.environ.get("ZPACS_CRASH_PACE", 0.02))
INDEX_TOO = 0.2  # of the outages also kill the index, which then starts against what is there
DURING = 20  # acknowledged instances of an outage
CLIENTS = "FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND backend_type = 'client backend'"


def end_and_start(end):
    def outage(storm, postgres, chance):
        end(postgres)
        store_more(storm, DURING)
        time.sleep(chance.uniform(0, 2))
        postgres.start()
    return outage


def frozen(storm, postgres, chance):
    postgres.freeze()
    try:
        store_more(storm, DURING)
        time.sleep(chance.uniform(0, 15))  # given up after ten seconds, or not
    finally:
        postgres.thaw()


def terminated(storm, postgres, chance):
    postgres.query(f"SELECT pg_terminate_backend(pid) {CLIENTS}")


def cut(storm, postgres, chance):
    """A backend dies at any instant, also in a COMMIT: PostgreSQL ends all, and recovers."""
    time.sleep(chance.uniform(0, 0.5))
    backends = postgres.query(f"SELECT pid {CLIENTS} AND application_name = 'zpacs'")
    if backends:
        os.kill(int(chance.choice(backends)[0]), signal.SIGKILL)


WAYS = {"kill": end_and_start(Postgres.kill), "cut": cut, "stop": end_and_start(Postgres.stop),
        "terminate": terminated, "freeze": frozen}


def store_more(storm, count):
    goal = storm.acknowledged() + count
    wait_until(lambda: storm.acknowledged() >= goal, 60, lambda: "nothing is stored while the database is away")


def outages(stack, storm, postgres, chance):
    """Yields the seconds that each took to be forgotten once the database was back."""
    names = list(WAYS)
    chance.shuffle(names)
    for number in range(OUTAGES):
        store_more(storm, DURING)
        way = names[number % len(names)]
        if chance.random() < INDEX_TOO:
            processes.kill_one(stack, "index", chance)
            way += ", and the index"
        WAYS[way.split(",")[0]](storm, postgres, chance)
        seconds = processes.wait_until_back(stack, time.monotonic())
        print(f"  outage {number + 1}: {way}, back after {seconds:.2f} s")
        yield seconds


@pytest.mark.parametrize("seed", [SEED])
def test_database_storm(seed):
    print(f"\nZPACS_CRASH_SEED={seed} ZPACS_CRASH_OUTAGES={OUTAGES} ZPACS_CRASH_SENDERS={STORES},{STOWS},{IMPORTS}")
    chance = random.Random(seed)
    with Postgres() as postgres, Stack(ZPACS_INDEX_DATABASE=postgres.uri) as stack:
        with Storm(stack, seed, STORES, STOWS, IMPORTS, PACE_S) as storm:
            recoveries = list(outages(stack, storm, postgres, chance))
        stack.wait_healthy()
        verdict = oracle.judge(stack, storm.folder, recoveries=recoveries)
        verdict.demand_no_fault()
        assert verdict.acknowledged > DURING * OUTAGES, "there was no load"
