"""Runs a driver of this folder with a fault at its n-th system call (inject.so)."""

import itertools
import os
import subprocess
import tempfile
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BUILD = Path("build") / os.environ.get("MODE", "debug") / "tests" / "crash"
PRELOAD = ROOT / BUILD / "inject.so"

STOPS = {"kill", "tear", "cut", "cut-late", "cut-early"}
ACTIONS = [*sorted(STOPS), "eio", "enospc", "short", "gone", "full"]


def build(driver):
    subprocess.run(["make", "-s", str(BUILD / driver), str(BUILD / "inject.so")], cwd=ROOT, check=True)
    return ROOT / BUILD / driver


@contextmanager
def memory_folder():
    """In memory where there is such a folder: what is tested is the order of calls, not the disk."""
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as name:
        yield Path(name)


def drive(driver, arguments, folder, action=None, at=0):
    """Runs the driver; returns its exit code, its lines, and whether there was an n-th call."""
    mark = folder / "mark"
    mark.unlink(missing_ok=True)
    environment = dict(os.environ)
    if action:
        environment |= {"LD_PRELOAD": str(PRELOAD), "INJECT_ACTION": action,
                        "INJECT_AT": str(at), "INJECT_MARK": str(mark)}
    done = subprocess.run([driver, *arguments], env=environment, capture_output=True, text=True,
                          timeout=60)
    return done.returncode, [line.split() for line in done.stdout.splitlines()], mark.exists()


def for_every_call(one_run):
    """Calls one_run(n) for n = 1, 2 … until it says that there was no n-th call; returns how many there were."""
    numbers, seen, ended = itertools.count(1), 0, False
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        running = deque(pool.submit(one_run, next(numbers)) for _ in range(2 * (os.cpu_count() or 1)))
        while running:
            was_there = running.popleft().result()
            seen += was_there
            ended = ended or not was_there
            if not ended:
                running.append(pool.submit(one_run, next(numbers)))
    return seen
