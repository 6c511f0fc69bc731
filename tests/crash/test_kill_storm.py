"""Promises P1, P2, P6: under load any process is killed at any instant, again and again."""
import os
import random
import time

import oracle
import processes
import pytest
from processes import Stack
from senders import Storm

KILLS = int(os.environ.get("ZPACS_CRASH_KILLS", 12))
STORES, STOWS, IMPORTS = (int(n) for n in os.environ.get("ZPACS_CRASH_SENDERS", "4,2,1").split(","))
SEED = int(os.environ.get("ZPACS_CRASH_SEED", random.randrange(1, 10000)))
PACE_S = float(os.environ.get("ZPACS_CRASH_PACE", 0.01))
AT_ONCE = 0.25  # of the kills come without waiting for the recovery from the one before


def kills(stack, chance):
    """Yields the seconds that each took to be forgotten."""
    names = list(processes.VICTIMS)
    chance.shuffle(names)
    done = 0
    while done < KILLS:
        victim = names[done % len(names)] if done < len(names) else chance.choice(names)
        time.sleep(chance.uniform(0.05, 0.6))
        since = time.monotonic()
        pid = processes.kill_one(stack, victim, chance)
        if pid is None:
            continue
        done += 1
        if chance.random() < AT_ONCE and done < KILLS:
            continue
        seconds = processes.wait_until_back(stack, since)
        print(f"  kill {done}: {victim} ({pid}), back after {seconds:.2f} s")
        yield seconds


@pytest.mark.parametrize("seed", [SEED])
def test_kill_storm(seed):
    print(f"\nZPACS_CRASH_SEED={seed} ZPACS_CRASH_KILLS={KILLS} ZPACS_CRASH_SENDERS={STORES},{STOWS},{IMPORTS}")
    chance = random.Random(seed)
    with Stack() as stack:
        with Storm(stack, seed, STORES, STOWS, IMPORTS, PACE_S) as storm:
            recoveries = list(kills(stack, chance))
        stack.wait_healthy()
        verdict = oracle.judge(stack, storm.folder, recoveries=recoveries)
        verdict.demand_no_fault()
        assert verdict.acknowledged > 10 * KILLS, "there was no load"
        assert verdict.unanswered, "no kill met a transfer"
