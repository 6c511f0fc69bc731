"""Promise P1: what was acknowledged before a power loss is there after it.

A loaded stack runs with a journal of all that it does to its files; then disks are made as a power loss at chosen
instants leaves them, and a stack of its own is started on each and judged by what was acknowledged
before that instant. Sealing, and with it the first folder of a day, happens by restarts under load.
"""
import copy
import os
import random
import subprocess
import time

import oracle
import power
import preload
import pytest
from processes import Stack
from senders import Storm
from stack import wait_until

CUTS = int(os.environ.get("ZPACS_CRASH_CUTS", 4))
SEED = int(os.environ.get("ZPACS_CRASH_SEED", random.randrange(1, 10000)))
WITH_JOURNAL = ["index", "dimse", "dicomweb"]
NOT_OF_THE_DISK = ["run", "logs", "keys", "program"]
ENOUGH = 40  # acknowledged instances between two restarts


def record(stack):
    """Returns the ledger's folder, the disk as it was before, and the journal of what happened."""
    preload.control(stack, "stop", *WITH_JOURNAL)
    disk = power.Disk(stack.data, NOT_OF_THE_DISK)
    journal = preload.writable(stack, "journal")
    preload.prepare(stack, WITH_JOURNAL, {"LD_PRELOAD": preload.place(stack, "journal"), "JOURNAL": journal})
    preload.start(stack)
    with Storm(stack, SEED, stores=3, stows=1, pace_s=0.03, keeps=False) as storm:
        for service in ("dicomweb", "dimse"):
            before = storm.acknowledged()
            wait_until(lambda: storm.acknowledged() > before + ENOUGH, 60)
            preload.control(stack, "restart", service)
        before = storm.acknowledged()
        wait_until(lambda: storm.acknowledged() > before + ENOUGH, 60)
    preload.control(stack, "stop", *WITH_JOURNAL)
    return storm.folder, disk, power.read_journal(journal)


def check_journal(stack, entries, disk):
    """A journal that misses something would prove nothing: all of it makes the folder as it is."""
    for entry in entries:
        disk.follow(entry)
    made = disk.paths()
    real = {str(path.relative_to(stack.data)): path.read_bytes() for name in ("packs", "index")
            for path in (stack.data / name).rglob("*") if path.is_file()}
    for name in [name for name in {**made, **real} if name.startswith("packs/") or name.endswith((".db", "-wal"))]:
        assert made.get(name) == real.get(name), f"{name} differs from what the journal says"


def choose(entries, chance):
    """Indices of entries behind which the power fails: a third around the first folder of a day."""
    folders = [i for i, entry in enumerate(entries) if entry.kind == power.MAKE_FOLDER]
    assert folders, "nothing was sealed"
    moved = next(i for i, entry in enumerate(entries) if entry.kind == power.RENAME and i > folders[-1])
    day = range(folders[0] - 3, moved + 12)
    chosen = chance.choices(day, k=(CUTS + 2) // 3)
    return sorted(chosen + chance.choices(range(len(entries)), k=CUTS - len(chosen)))


def restart(disk, way, until_ns, ledgers, chance):
    """A stack on what is left."""
    stack = Stack()
    try:
        disk.write(stack.data, way, chance)
        for path in stack.data.glob("index/*-shm"):
            path.unlink()  # memory of programs that are gone
        stack.data.chmod(0o700)
        if os.geteuid() == 0:
            subprocess.run(["chown", "-R", "zpacs:zpacs", stack.data], check=True)
        since = time.monotonic()
        stack.up()
        verdict = oracle.judge(stack, ledgers, until_ns, recoveries=[time.monotonic() - since])
        if verdict.lost:  # from the packs, or only from the index?
            stack.zpacs("reindex", check=False)
            again = oracle.judge(stack, ledgers, until_ns)
            verdict.other.append(f"after a rebuild {len(again.lost)} are lost")
            verdict.other.append([line for line in stack.log("index").splitlines() if '"info"' not in line][:5])
        return verdict
    finally:
        stack.destroy()


@pytest.fixture(scope="module")
def recording():
    with Stack() as stack:
        ledgers, disk, entries = record(stack)
        check_journal(stack, entries, copy.deepcopy(disk))
        yield ledgers, disk, entries


def test_power_loss(recording):
    ledgers, disk, entries = recording
    print(f"\nZPACS_CRASH_SEED={SEED} ZPACS_CRASH_CUTS={CUTS}: a journal of {len(entries)} entries")
    chance, followed = random.Random(SEED), 0
    for number, index in enumerate(choose(entries, chance)):
        for entry in entries[followed:index + 1]:
            disk.follow(entry)
        followed = max(followed, index + 1)
        way = power.WAYS[number % len(power.WAYS)]
        print(f"  the power fails behind entry {index} (kind {entries[index].kind}), {way}", end="")
        restart(disk, way, entries[index].at, ledgers, chance).demand_no_fault()
