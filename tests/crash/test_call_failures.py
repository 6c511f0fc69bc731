"""Any allocation, write or sync of a service may fail: nothing acknowledged is lost, and it goes on.

A scenario (one C-STORE, one STOW-RS request, both with retries, one query) is counted and then run again and again, each
time with another call failing: all of them, or a sample that is spread over them.
"""
import itertools
import os
import random
import time

import faults
import oracle
import processes
import pytest
from dimse_client import IMPLICIT, Association
from processes import Stack
from senders import PATIENCE_S, StoreSender, StowSender, instances
from stack import wait_until
from test_kill import CT

CALLS = os.environ.get("ZPACS_CRASH_CALLS", "3")  # of each kind; "all"
SEED = int(os.environ.get("ZPACS_CRASH_SEED", random.randrange(1, 10000)))
PLACES = {"index": ("index", 0), "dicomweb": ("dicomweb", 0), "dimse": ("dimse", 0), "association": ("dimse", 1)}
KINDS = {"memory": faults.ALLOCATE, "write": faults.WRITE, "sync": faults.SYNC}


def chosen(count, chance):
    if CALLS == "all":
        return range(1, count + 1)
    return sorted(chance.sample(range(1, count + 1), min(count, int(CALLS))))


class Scenario:
    def __init__(self, stack):
        self.stack = stack
        self.faults = faults.one_each(stack, ["index", "dicomweb", "dimse"])
        self.folder = stack.folder / "ledger"
        self.folder.mkdir()
        self.source = instances(SEED, small_only=True)
        self.senders = [kind(stack, SEED, self.folder / f"{kind.way}.ledger", 0, False) for kind in (StoreSender, StowSender)]

    def run(self):
        """Each sender sends until it hears of success."""
        for sender in self.senders:
            sender.chance = Never()
            sent = waiting = list(itertools.islice(self.source, sender.batch))
            end = time.monotonic() + PATIENCE_S
            while waiting := sender.attempt(waiting):
                assert time.monotonic() < end, f"not stored, however often it is sent: {self.last_answers()}"
                time.sleep(0.05)
            sender.close()
            for one in sent:
                wait_until(lambda: processes.finds(self.stack, one), 20, lambda: f"acknowledged, but not found: {one.uid}")
        processes.answers(self.stack)

    def last_answers(self):
        return [path.read_text()[-200:] for path in self.folder.iterdir()]


class Never:
    """Gives nothing up."""

    @staticmethod
    def random():
        return 1.0


@pytest.fixture(scope="module")
def scenario():
    with Stack() as stack:
        scenario = Scenario(stack)
        scenario.run()  # what happens only once is behind it
        yield scenario


@pytest.mark.parametrize("place", PLACES)
def test_call_failures(place, scenario):
    service, depth = PLACES[place]
    stack, fault, done = scenario.stack, scenario.faults[service], {}
    chance = random.Random(SEED)
    for name, kind in KINDS.items():
        fault.arm(kind, depth, 0)
        scenario.run()
        count, _ = fault.disarm()
        hits = 0
        for number in chosen(count, chance):
            fault.arm(kind, depth, number)
            scenario.run()
            hits += fault.disarm()[1]
            stack.wait_healthy()
        done[name] = (count, hits)
    print(f"\n{place}: {', '.join(f'{name}: {hits} of {count} calls failed' for name, (count, hits) in done.items())}", end="")
    assert done["memory"][1] and sum(hits for _, hits in done.values()) >= 2, f"nothing failed: {done}"
    oracle.judge(stack, scenario.folder).demand_no_fault()


def delete_without_memory(stack, fault, one, number):
    """Whether an allocation failed; twice, since the answer is lost when the index ends."""
    reason = "zpacs delete"  # of every deletion by the operator; few allocations have its size
    wait_until(lambda: processes.finds(stack, one), 10, lambda: "acknowledged, but not found")
    fault.arm(faults.ALLOCATE, 0, number, len(reason) + 1)
    for _ in range(2):
        stack.zpacs("delete", one.study, one.series, one.uid, check=False)
        stack.wait_healthy()
    wait_until(lambda: not processes.finds(stack, one), 10, lambda: f"not deleted: allocation {number}")
    return fault.disarm()[1]


def test_no_memory_for_a_message_is_no_broken_record(scenario):
    """The index took it for one: an instance, a deletion was passed over until the next rebuild."""
    title = "UNUSUAL-TITLE-16"  # the index allocates this size for little else
    stack, fault = scenario.stack, scenario.faults["index"]
    sender = StoreSender(stack, SEED, scenario.folder / "title.ledger", 0, True)
    sender.association = Association(stack.dicom_port, [(CT, [IMPLICIT])], calling=title)
    sent = [next(scenario.source) for _ in range(3)]
    for number, one in zip((0, 1, 0), sent):  # at the first instance other things have this size too
        fault.arm(faults.ALLOCATE, 0, number, len(title) + 1)
        assert not sender.attempt([one])
        wait_until(lambda: processes.finds(stack, one), 10, lambda: "acknowledged, but not found")
        assert fault.disarm()[1] == (number > 0), "no such allocation"
    sender.close()
    stack.wait_healthy()
    oracle.judge(stack, scenario.folder).demand_no_fault()
    hits = [delete_without_memory(stack, fault, one, number) for number, one in enumerate(sent, 1)]
    assert sum(hits) >= 2, "no such allocation"
    assert "record.unindexable" not in stack.log("index")
