"""Crash and error enumeration of compaction: copy, seal, unlink.

Runs tests/crash/pack_compact with a fault at each of its system calls; then opens the data folder as the
next process would, and compacts once more. docs/pack-format.md has the table of the states this walks through.
"""

import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest
from injection import ACTIONS, BUILD, ROOT, STOPS, build, drive, for_every_call, memory_folder

LIVE = {0, 2, 4, 6, 8}
DEAD = {1, 3, 5, 7, 9}
# fewer: the preload does not see the calls
CALLS_AT_LEAST = {"tear": 7, "short": 7, "cut-late": 8, "cut-early": 8}
ALL_CALLS_AT_LEAST = 30


@pytest.fixture(scope="module")
def driver():
    return build("pack_compact")


@pytest.fixture
def folder():
    with memory_folder() as path:
        yield path


def read_ledger(path):
    lines = [line.split() for line in path.read_text().splitlines()] if path.exists() else []
    return {word: [line[1] for line in lines if line[0] == word] for word in ("copied", "sealed", "unlinked", "failed")}


def check(driver, data, folder):
    """Opens the data folder with no fault injected; returns pack -> the numbers of its records."""
    code, lines, _ = drive(driver, ["check", data], folder)
    assert code == 0, lines
    assert [line for line in lines if line[0] in ("damaged", "open", "taken")] == []
    assert [line for line in lines if line[0] == "found" and line[4] != "good"] == []
    packs = {}
    for line in lines:
        packs.setdefault(line[2], []).append(int(line[1]))
    return packs


def check_against_ledger(packs, old, ledger):
    """Nothing that lives is lost; a new pack is there whole or not at all; what was unlinked is gone."""
    found = {number for numbers in packs.values() for number in numbers}
    assert LIVE <= found, "a live record is lost"
    new = {pack: numbers for pack, numbers in packs.items() if pack not in old}
    assert all(set(numbers) == LIVE and len(numbers) == len(LIVE) for numbers in new.values()), "half a pack counts"
    assert set(ledger["sealed"]) <= set(new), "said to be sealed, but not there"
    assert not set(ledger["unlinked"]) & set(packs), "said to be gone, but there"
    gone = set(old) - set(packs)
    assert not gone or new, "the old pack went before the new one was there"


def one_run(driver, prepared, old, action, at, folder):
    """One compaction with a fault at one call, and what came of it. False: there was no such call."""
    folder.mkdir()
    data, ledger_path = folder / "data", folder / "ledger"
    shutil.copytree(prepared, data)
    code, lines, was_there = drive(driver, ["run", data, ledger_path], folder, action, at)
    where = f"{action} at call {at}: {(folder / 'mark').read_text() if was_there else 'none'}"
    expected = -signal.SIGKILL if was_there and action in STOPS else 0
    assert code == expected, (where, lines)
    ledger = read_ledger(ledger_path)
    try:
        check_against_ledger(check(driver, data, folder), old, ledger)
        if action == "short" or not was_there:
            assert ledger["failed"] == [] and set(ledger["unlinked"]) == set(old)
        # what was cut short is done by the next run, and then what was deleted is gone
        assert drive(driver, ["run", data, folder / "again"], folder)[0] == 0
        assert read_ledger(folder / "again")["failed"] == []
        packs = check(driver, data, folder)
        found = {number for numbers in packs.values() for number in numbers}
        assert found == LIVE, "deleted records are still there"
        assert not set(old) & set(packs)
    except AssertionError as error:
        raise AssertionError(where) from error
    shutil.rmtree(folder)
    return was_there


@pytest.mark.parametrize("action", ACTIONS)
def test_every_call_of_compaction(action, driver, folder):
    prepared = folder / "prepared"
    prepared.mkdir()
    assert drive(driver, ["prepare", prepared], folder)[0] == 0
    old = check(driver, prepared, folder)
    assert len(old) == 2 and {n for numbers in old.values() for n in numbers} == LIVE | DEAD
    seen = for_every_call(lambda at: one_run(driver, prepared, old, action, at, folder / str(at)))
    assert seen > CALLS_AT_LEAST.get(action, ALL_CALLS_AT_LEAST)


# ---- zpacs verify ----------------------------------------------------------------------------------------

@pytest.fixture(scope="module")
def cli():
    path = BUILD.parents[1] / "bin" / "zpacs-cli"
    subprocess.run(["make", "-s", str(path)], cwd=ROOT, check=True)
    return ROOT / path


def sealed_packs(data):
    return sorted(path for path in (data / "packs").rglob("*.pack") if path.parent.name != "open")


def verify(cli, data, **options):
    environment = {key: value for key, value in os.environ.items() if not key.startswith("ZPACS_")}
    return subprocess.Popen([cli, "verify"], env=environment | {"ZPACS_DATA": str(data)}, text=True, **options)


def test_verify_passes_over_half_made_packs_and_reads_retired_ones(driver, cli, folder):
    data = folder / "data"
    data.mkdir()
    assert drive(driver, ["prepare", data], folder)[0] == 0
    retired = [pack.read_bytes() for pack in sealed_packs(data)]
    names = sealed_packs(data)
    assert drive(driver, ["run", data, folder / "ledger"], folder)[0] == 0
    for path, content in zip(names, retired):  # as before the end of their grace
        path.write_bytes(content)
    half = data / "packs/open" / (names[0].stem[:-1] + "Z.new")
    half.write_bytes(retired[0][:20000] + b"torn")
    result = verify(cli, data, stderr=subprocess.PIPE)
    output = result.communicate(timeout=60)[1]
    assert result.returncode == 0 and "3 packs, 15 records, 0 damaged" in output, output
    assert half.exists()


def is_writing(pid):
    """Whether it waits in write(2)."""
    try:
        return Path(f"/proc/{pid}/syscall").read_text().split()[0] in ("1", "64")  # x86-64, AArch64
    except OSError:
        return False


def test_verify_takes_a_vanished_pack_for_gone(driver, cli, folder):
    """It is held at its first word about a damaged record, by a pipe that takes no more."""
    data = folder / "data"
    data.mkdir()
    assert drive(driver, ["prepare", data], folder)[0] == 0
    first, second = sealed_packs(data)
    with open(first, "r+b") as file:
        file.seek(4096 + 320 + 8)  # within the first dataset
        file.write(b"rot")
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    try:
        while True:
            os.write(writer, b"x" * 4096)
    except BlockingIOError:
        pass
    os.set_blocking(writer, True)
    process = verify(cli, data, stderr=writer)
    try:
        os.close(writer)
        end = time.monotonic() + 30
        while not is_writing(process.pid):
            assert process.poll() is None and time.monotonic() < end, "it never wrote a word"
            time.sleep(0.01)
        first.unlink()
        second.unlink()
        with os.fdopen(reader, "rb") as file:
            output = file.read().decode().lstrip("x")
        assert process.wait(60) == 1
    finally:
        process.kill()
    assert output.count("damaged: pack") == 1 and f"damaged: pack {first.stem} offset 4096" in output, output
    assert "1 records, 1 damaged" in output, output
