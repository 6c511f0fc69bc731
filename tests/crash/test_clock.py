"""The clock of the calendar may jump, in each service by itself: nothing is lost, and all goes on.

What is served of several versions follows from the times in the packs, right or wrong (oracle.py). Times are
also part of the names of packs and of their folders, and of what a deletion takes with it.
"""
import os
import random
import time

import faults
import oracle
import processes
import pytest
from processes import Stack
from senders import Storm, StoreSender, instances
from stack import wait_until

SEED = int(os.environ.get("ZPACS_CRASH_SEED", random.randrange(1, 10000)))
ROUNDS = int(os.environ.get("ZPACS_CRASH_JUMPS", 1))
SERVICES = ("index", "dimse", "dicomweb")
HOUR = 3600
TO_1970 = 1000 - int(time.time())
JUMPS = {"an hour on": HOUR, "an hour back": -HOUR, "a day back": -24 * HOUR, "to 1970": TO_1970}
ENOUGH = 15  # acknowledged instances behind each jump


@pytest.fixture(scope="module")
def clocks():
    """The stack, and {service: its clock}."""
    with Stack() as stack:
        yield stack, faults.one_each(stack, SERVICES)


def test_deleted_comes_again_by_a_clock_that_went_back(clocks):
    """A deletion takes what it has seen, not what comes later with an earlier time."""
    stack, clocks = clocks
    source = instances(SEED, small_only=True)
    sender = StoreSender(stack, SEED, stack.folder / "cstore.ledger", 0, False)
    one, other = next(source), next(source)
    for service in SERVICES:
        clocks[service].jump(HOUR)
    assert not sender.attempt([one])
    assert not sender.attempt([other])
    wait_until(lambda: processes.finds(stack, one) and processes.finds(stack, other), 20)
    stack.zpacs("delete", one.study, one.series, one.uid)
    assert not processes.finds(stack, one)
    for service in SERVICES:
        clocks[service].jump(0)
    assert not sender.attempt([one])
    sender.close()
    wait_until(lambda: processes.finds(stack, one), 20, lambda: "acknowledged again after its deletion, but not found")
    stack.zpacs("reindex")
    wait_until(lambda: processes.finds(stack, one) and processes.finds(stack, other), 30, lambda: "gone with a rebuild")
    stack.zpacs("delete", one.study)  # of the next test's oracle


def test_clock_jumps(clocks):
    stack, clocks = clocks
    chance = random.Random(SEED)
    print(f"\nZPACS_CRASH_SEED={SEED} ZPACS_CRASH_JUMPS={ROUNDS}")
    jumps = [(service, name) for service in SERVICES for name in JUMPS] * ROUNDS
    chance.shuffle(jumps)
    with Storm(stack, SEED, stores=3, stows=2, pace_s=0.02) as storm:
        for number, (service, name) in enumerate(jumps):
            before = storm.acknowledged()
            clocks[service].jump(JUMPS[name])
            wait_until(lambda: storm.acknowledged() > before + ENOUGH, 30, lambda: f"{service}, {name}: nothing is stored")
            assert processes.answers(stack), f"{service}, {name}: it does not answer"
            if number == len(jumps) // 2:  # what a start does, by clocks that differ
                processes.kill_one(stack, chance.choice(SERVICES), chance)
    stack.wait_healthy()
    oracle.judge(stack, storm.folder).demand_no_fault()
    received_us = [record.received_us for records in oracle.records_in_packs(stack).values() for record in records]
    assert min(received_us) < 24 * HOUR * 1_000_000 < (time.time() + HOUR / 2) * 1_000_000 < max(received_us), "no clock jumped"
    stack.zpacs("reindex")
    oracle.judge(stack, storm.folder).demand_no_fault()  # the same from the packs alone
