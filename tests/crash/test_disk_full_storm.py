"""A disk that fills up under load and is freed again, time after time.

While it is full senders are told so (A700, 503) and reading goes on; when there is room again everything goes on
by itself. What was answered with success is there in the end. The data folder lies on a small file
system of its own, so this needs root.
"""
import os
import random
import time
from collections import Counter

import oracle
import processes
import pytest
import requests
from processes import Stack
from senders import Storm
from stack import wait_until
from test_disk_full import fill
from test_kill import JSON

CYCLES = int(os.environ.get("ZPACS_CRASH_CYCLES", 2))
SEED = int(os.environ.get("ZPACS_CRASH_SEED", random.randrange(1, 10000)))
FREE_MB = 100  # for what one cycle stores
FULL_SECONDS = 3
NO_ROOM = ('"A700"', '"503"')


@pytest.fixture
def small_stack():
    stack = Stack()
    try:
        with stack.small_disk(FREE_MB * (CYCLES + 1)):
            try:
                yield stack.up()
            finally:
                processes.kill_all(stack)
    finally:
        stack.destroy()


def answered(storm):
    """How often senders read each answer."""
    text = "".join(path.read_text() for path in storm.folder.glob("*.ledger"))
    return Counter({status: text.count(f'"status": {status}') for status in ('"0000"', '"200"', *NO_ROOM)})


def first_study(stack):
    with stack.session() as session:
        answer = session.get(f"{stack.web}/instances?limit=1", headers={"Accept": JSON}, timeout=10)
        row = answer.json()[0]
    return f"{stack.web}/studies/{oracle.one(row, '0020000D')}"


def reads(stack, study):
    with stack.session() as session:
        try:
            return session.get(study, headers={"Accept": oracle.ANY}, timeout=10).status_code == 200
        except requests.RequestException:
            return False


def full_for_a_while(stack, storm, study):
    """Fills the disk under the senders; returns when reading has been tried for a while and both were told."""
    before = answered(storm)
    filler = fill(stack, 0)
    end = time.monotonic() + FULL_SECONDS
    try:
        while time.monotonic() < end:
            assert reads(stack, study), "reading stops when the disk is full"
            time.sleep(0.1)
        wait_until(lambda: all((answered(storm) - before)[status] for status in NO_ROOM), 20,
                   lambda: f"not told that there is no room: {answered(storm) - before}")
    finally:
        filler.unlink()


def test_disk_full_storm(small_stack):
    stack, recoveries = small_stack, []
    print(f"\nZPACS_CRASH_SEED={SEED} ZPACS_CRASH_CYCLES={CYCLES}")
    with Storm(stack, SEED, stores=3, stows=2, pace_s=0.03) as storm:
        wait_until(lambda: storm.acknowledged() > 50, 30)
        wait_until(lambda: processes.answers(stack), 10)
        study = first_study(stack)
        for _ in range(CYCLES):
            full_for_a_while(stack, storm, study)
            before, freed = storm.acknowledged(), time.monotonic()
            wait_until(lambda: storm.acknowledged() > before + 30, 30, lambda: "nothing is stored again")
            recoveries.append(processes.wait_until_back(stack, freed))
    stack.wait_healthy()
    oracle.judge(stack, storm.folder, recoveries=recoveries).demand_no_fault()
