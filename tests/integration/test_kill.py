"""Promises P1, P2 and P6: whatever is killed in the middle of a transfer, what was acknowledged is there, once."""
import os
import shutil
import signal
import threading
import time
from pathlib import Path

import pytest
import requests
from dimse_client import IMPLICIT, Association, Ended, Refused, dataset
from pydicom.uid import generate_uid
from stack import Stack, wait_until
from test_archive import dataset_of

CT = "1.2.840.10008.5.1.4.1.1.2"
JSON = "application/dicom+json"
INSTANCES = 200
KILL_AFTER = (60, 140)  # acknowledged instances
PACE_S = 0.002  # between two instances, so that a kill meets a transfer
SECONDS = 45
PROCESSES = {"index": "zpacs-index", "dimse": "zpacs-dimse", "dicomweb": "zpacs-dicomweb",
             "association": "dimse-assoc"}


def part10(data, instance):
    """Preamble and file meta (explicit VR little endian) in front of a dataset in implicit VR."""
    def element(number, vr, value):
        value += b"\0" * (len(value) % 2)
        return b"\x02\0" + number.to_bytes(2, "little") + vr + len(value).to_bytes(2, "little") + value

    meta = element(2, b"UI", CT.encode()) + element(3, b"UI", instance.encode()) + \
        element(0x10, b"UI", IMPLICIT.encode())
    return b"\0" * 128 + b"DICM" + element(0, b"UL", len(meta).to_bytes(4, "little")) + meta + data


class Sender(threading.Thread):
    """Sends each instance until it is acknowledged, as a modality does; the ledger says what was."""

    def __init__(self, stack):
        super().__init__(daemon=True)
        self.stack, self.study, series = stack, generate_uid(), generate_uid()
        uids = [generate_uid() for _ in range(INSTANCES)]
        self.waiting = [(u, dataset(CT, u, self.study, series, pixels=os.urandom(6000 + 31 * i)))
                        for i, u in enumerate(uids)]
        self.ledger, self.breaks = {}, 0
        self.end = time.monotonic() + SECONDS

    def run(self):
        while self.waiting and time.monotonic() < self.end:
            try:
                self.send_some()
            except (Ended, Refused, OSError, requests.RequestException):
                self.breaks += 1
                time.sleep(0.05)

    def acknowledged(self, instance):
        at = next(i for i, (uid, _) in enumerate(self.waiting) if uid == instance)
        self.ledger[instance] = self.waiting.pop(at)[1]
        time.sleep(PACE_S)


class StoreSender(Sender):
    def send_some(self):
        with Association(self.stack.dicom_port, [(CT, [IMPLICIT])], timeout=10) as association:
            while self.waiting:
                instance, data = self.waiting[0]
                answer = association.store(CT, instance, data)
                if answer.status != 0:
                    raise Ended(f"{answer.status:04X}")
                self.acknowledged(instance)
            association.release()


class StowSender(Sender):
    def send_some(self):
        parts = [part10(data, instance) for instance, data in self.waiting[:5]]
        body = b"".join(b"\r\n--B\r\nContent-Type: application/dicom\r\n\r\n" + part for part in parts)
        with self.stack.session() as session:
            answer = session.post(self.stack.web + "/studies", data=body + b"\r\n--B--\r\n", timeout=20, headers={
                "Accept": JSON, "Content-Type": 'multipart/related; type="application/dicom"; boundary=B'})
        if answer.status_code not in (200, 202):
            raise Ended(str(answer.status_code))
        for item in answer.json()["00081199"]["Value"]:
            self.acknowledged(item["00081155"]["Value"][0])


def processes(stack, victim):
    """Pids; asking supervisord would take too long in the middle of a transfer."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if (folder / "comm").read_text().strip() == PROCESSES[victim] and \
                    str(stack.data).encode() in (folder / "environ").read_bytes():
                found.append(int(folder.name))
        except OSError:
            continue
    return found


def kill(stack, victim):
    """Ends it as a crash does; true when something was there to be killed."""
    pids = processes(stack, victim)
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
    return bool(pids)


PAGE = 1000  # query_limit_max


def stored(stack, study):
    """SOP Instance UIDs that a query finds; None while the archive does not answer."""
    found = []
    with stack.session() as session:
        while len(found) % PAGE == 0:
            try:
                answer = session.get(f"{stack.web}/studies/{study}/instances?limit={PAGE}&offset={len(found)}", timeout=10,
                                     headers={"Accept": JSON})
            except requests.RequestException:
                return None
            if answer.status_code != 200:
                return None
            page = [row["00080018"]["Value"][0] for row in answer.json()]
            found += page
            if not page:
                break
    return found


def check_everything_is_there(stack, sender):
    wait_until(lambda: len(stored(stack, sender.study) or []) >= len(sender.ledger), 30,
               lambda: f"{len(stored(stack, sender.study) or [])} of {len(sender.ledger)} are found")
    found = stored(stack, sender.study)
    assert sorted(found) == sorted(sender.ledger), "each exactly once"
    with stack.session() as session:
        session.headers["Accept"] = "application/dicom; transfer-syntax=*"
        series = session.get(f"{stack.web}/studies/{sender.study}/series", headers={"Accept": JSON}, timeout=10)
        series = series.json()[0]["0020000E"]["Value"][0]
        for instance, data in sender.ledger.items():
            answer = session.get(f"{stack.web}/studies/{sender.study}/series/{series}/instances/{instance}", timeout=20)
            assert answer.status_code == 200 and dataset_of(answer.content) == data, instance


@pytest.fixture(scope="module")
def broken_stack():
    """One for all cases, so that each also meets what the one before has left."""
    with Stack() as stack:
        yield stack


@pytest.mark.parametrize("kind, victim", [
    (StoreSender, "index"), (StoreSender, "dimse"), (StoreSender, "association"),
    (StowSender, "dicomweb"), (StowSender, "index")])
def test_killed_in_mid_transfer(broken_stack, kind, victim):
    stack, kills = broken_stack, 0
    sender = kind(stack)
    sender.start()
    for count in KILL_AFTER:
        while len(sender.ledger) < count and sender.is_alive():
            time.sleep(0.001)
        kills += kill(stack, victim)
    sender.join(SECONDS)
    assert not sender.is_alive() and len(sender.ledger) == INSTANCES
    assert kills and (victim == "index" or sender.breaks), "nothing was killed in the middle"
    stack.wait_healthy()
    check_everything_is_there(stack, sender)


def test_index_without_its_database_while_writers_hold_their_packs(broken_stack):
    """Nothing else is told or restarted, and the packs are not sealed: they wait for their next lease."""
    stack = broken_stack
    senders = [StoreSender(stack), StowSender(stack)]
    for sender in senders:
        sender.start()
    for sender in senders:
        sender.join(SECONDS)
        assert len(sender.ledger) == INSTANCES
        check_everything_is_there(stack, sender)
    pid = stack.pid("index")
    os.kill(pid, signal.SIGSTOP)  # so that it does not come back before its folder is gone
    shutil.rmtree(stack.data / "index")
    os.kill(pid, signal.SIGKILL)
    stack.wait_healthy()
    assert list((stack.data / "packs/open").glob("*.pack")), "the packs were sealed: this shows nothing"
    for sender in senders:
        check_everything_is_there(stack, sender)


@pytest.mark.parametrize("victim", ["index", "dimse", "dicomweb"])
def test_however_often_it_is_killed_it_comes_back(broken_stack, victim):
    """A supervisor that waits longer after each quick end would leave the last of these alone for ten seconds."""
    for _ in range(10):
        wait_until(lambda: processes(broken_stack, victim), 5, lambda: f"{victim} did not come back")
        assert kill(broken_stack, victim)
        wait_until(lambda: not processes(broken_stack, victim))
    broken_stack.wait_healthy()
