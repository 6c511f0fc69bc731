"""Runs a driver of this folder with a fault at its n-th system call (inject.so)."""

import itertools
import os
import subprocess
import tempfile
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
    workers = os.cpu_count() or 1
    seen = 0
    with ThreadPoolExecutor(workers) as pool:
        for first in itertools.count(1, workers):
            were_there = list(pool.map(one_run, range(first, first + workers)))
            seen += sum(were_there)
            if not all(were_there):
                return seen
