"""Crash and error enumeration of the commit path.

Runs tests/crash/pack_commit with tests/crash/inject.so, which stops it at, or fails, its n-th system
call, for every n there is; then opens the data folder as the next process would and compares with
the ledger of what was acknowledged. docs/pack-format.md has the table of the states this walks through.
"""

import shutil
import signal

import pytest
from injection import ACTIONS, STOPS, build, drive, for_every_call, memory_folder

STEPS = set(range(10))
ABORTED = {3, 5, 9}
# fewer: the preload does not see the calls
CALLS_AT_LEAST = {"tear": 15, "short": 15, "cut-late": 15, "cut-early": 15}
ALL_CALLS_AT_LEAST = 60


@pytest.fixture(scope="module")
def driver():
    return build("pack_commit")


@pytest.fixture
def folder():
    with memory_folder() as path:
        yield path


def fresh(folder):
    data = folder / "data"
    shutil.rmtree(data, ignore_errors=True)
    data.mkdir()
    (folder / "ledger").unlink(missing_ok=True)
    return data, folder / "ledger"


def read_ledger(path):
    lines = [line.split() for line in path.read_text().splitlines()] if path.exists() else []
    tried = {int(line[1]) for line in lines if line[0] == "try"}
    refused = {int(line[1]) for line in lines if line[0] == "refused"}
    stored = {int(line[1]): (line[2], int(line[3])) for line in lines if line[0] == "stored"}
    return tried, refused, stored


def check(driver, data, folder):
    """Opens the data folder with no fault injected; returns the records found: step -> place."""
    code, lines, _ = drive(driver, ["check", data], folder)
    assert code == 0, lines
    assert [line for line in lines if line[0] in ("damaged", "open")] == []
    found = [line for line in lines if line[0] == "found"]
    assert [line for line in found if line[4] != "good"] == []
    places = {int(line[1]): (line[2], int(line[3])) for line in found}
    assert len(places) == len(found), "a record is there twice"
    return places


def check_against_ledger(driver, data, ledger, folder, twice):
    tried, refused, stored = read_ledger(ledger)
    found = check(driver, data, folder)
    lost = {step: place for step, place in stored.items() if found.get(step) != place}
    assert lost == {}, "acknowledged, but lost"
    assert set(found) <= tried - ABORTED
    assert not twice or check(driver, data, folder) == found, "a second start sees something else"
    return refused, stored, found


def one_run(driver, action, at, folder):
    """One whole run with a fault at one call, and what came of it. False: there was no such call."""
    folder.mkdir()
    data, ledger = fresh(folder)
    code, lines, was_there = drive(driver, ["run", data, ledger], folder, action, at)
    where = f"{action} at call {at}: {(folder / 'mark').read_text() if was_there else 'none'}"
    expected = -signal.SIGKILL if was_there and action in STOPS else 0
    assert code == expected, (where, lines)
    try:
        refused, stored, found = check_against_ledger(driver, data, ledger, folder, at % 4 == 0)
    except AssertionError as error:
        raise AssertionError(where) from error
    if action in ("eio", "enospc"):
        # one failure costs at most one instance: the next is stored in another pack
        assert len(refused) <= 1, where
        # and what was refused is not there, so that sending it again stores it once
        assert not refused & set(found), where
    if action == "short" or not was_there:
        assert set(stored) == STEPS - ABORTED, where
    shutil.rmtree(folder)
    return was_there


@pytest.mark.parametrize("action", ACTIONS)
def test_every_call_of_the_commit_path(action, driver, folder):
    seen = for_every_call(lambda at: one_run(driver, action, at, folder / str(at)))
    assert seen > CALLS_AT_LEAST.get(action, ALL_CALLS_AT_LEAST)


def one_recovery(driver, action, at, before, ledger, folder):
    """A recovery with a fault at one call, of a copy of a data folder. False: there was no such call."""
    data = folder / "data"
    shutil.copytree(before, data)
    code, lines, was_there = drive(driver, ["check", data], folder, action, at)
    where = f"{action} at call {at}"
    expected = ((-signal.SIGKILL,) if action in STOPS else (0, 5)) if was_there else (0,)
    assert code in expected, (where, lines)
    try:
        check_against_ledger(driver, data, ledger, folder, False)
    except AssertionError as error:
        raise AssertionError(where) from error
    shutil.rmtree(folder)
    return was_there


@pytest.mark.parametrize("action", ["kill", "cut", "eio"])
def test_every_call_of_recovery(action, driver, folder):
    """Stops or fails the recovery itself, at every call, after stops at various places."""
    seen = 0
    for stopped_at in (5, 11, 16):
        data, ledger = fresh(folder)
        _, _, was_there = drive(driver, ["run", data, ledger], folder, "tear", stopped_at)
        assert was_there
        seen += for_every_call(lambda at: one_recovery(driver, action, at, data, ledger, folder / str(at)))
    assert seen > ALL_CALLS_AT_LEAST
