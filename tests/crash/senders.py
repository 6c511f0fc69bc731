"""Load that outlives the server: senders in processes of their own, each with its ledger.

What a sender sends follows from its seed alone: CT-like instances of some kilobytes, some above 1 MiB, some
twice (the same bytes), some again under the same UID with other bytes (a conflict). After an
error it connects anew and sends the same instance again; now and then it gives one up, as a modality
does that is switched off, so that the ledger also has instances without an answer.
"""
import multiprocessing
import random
import shutil
import struct
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import requests
from dimse_client import IMPLICIT, Association, Ended, Refused, element
from ledger import Ledger, digest
from test_kill import CT, JSON, part10

PER_SERIES, SERIES_PER_STUDY = 8, 2
LARGE_EVERY, TWICE_EVERY, CONFLICT_EVERY = 37, 11, 53
GIVE_UP = 0.15  # of the attempts that failed
PATIENCE_S = 20
FORK = multiprocessing.get_context("fork")


@dataclass
class Instance:
    uid: str
    study: str
    series: str
    data: bytes

    def __post_init__(self):
        self.sha = digest(self.data)


def ct(uid, study, series, number, pixels):
    """A small CT in implicit VR little endian."""
    short = [struct.pack("<H", value) for value in (64, len(pixels) // 128, 16, 16, 15, 0)]
    rows = zip((0x00280010, 0x00280011, 0x00280100, 0x00280101, 0x00280102, 0x00280103), short)
    return b"".join([
        element(0x00080016, CT.encode()), element(0x00080018, uid.encode()), element(0x00080020, b"20261101"),
        element(0x00080060, b"CT"), element(0x00100010, b"Storm^" + study[-4:].encode()),
        element(0x00100020, study[-8:].encode()), element(0x0020000D, study.encode()),
        element(0x0020000E, series.encode()), element(0x00200013, str(number).encode()),
        *(element(tag, value) for tag, value in rows),
        struct.pack("<HHI", 0x7FE0, 0x0010, len(pixels)) + pixels])


def instances(seed, small_only=False):
    """Without end."""
    chance = random.Random(seed)
    root = f"1.2.826.0.1.3680043.10.{seed}"
    count = 0
    before = []
    while True:
        series_number = count // PER_SERIES
        study = f"{root}.{series_number // SERIES_PER_STUDY}"
        series = f"{study}.{series_number}"
        size = 4000 + 128 * chance.randrange(96)
        if count % LARGE_EVERY == LARGE_EVERY - 1 and not small_only:
            size = (1 << 20) + 128 * chance.randrange(4096)
        one = Instance(f"{series}.{count}", study, series, b"")
        one = Instance(one.uid, study, series, ct(one.uid, study, series, count, chance.randbytes(size)))
        yield one
        before = [*before[-20:], one]
        if count % TWICE_EVERY == TWICE_EVERY - 1:
            yield chance.choice(before)
        if count % CONFLICT_EVERY == CONFLICT_EVERY - 1:
            old = chance.choice(before)
            yield Instance(old.uid, old.study, old.series,
                           ct(old.uid, old.study, old.series, 0, chance.randbytes(3000)))
        count += 1


class Sender:
    """One way in. A subclass has `batch`, `way`, and send(batch), which returns [(instance, status)]."""
    batch = 1

    def __init__(self, stack, seed, ledger, pace_s, keeps):
        self.stack, self.ledger, self.pace_s, self.keeps = stack, Ledger(ledger), pace_s, keeps
        self.chance = random.Random(-seed)

    def run(self, source, stop, limit):
        waiting, sent = [], 0
        while not stop.is_set() and (waiting or sent < limit):
            while len(waiting) < self.batch and sent < limit:
                waiting.append(next(source))
                sent += 1
            waiting = self.attempt(waiting)
            time.sleep(self.pace_s)
        self.close()

    def attempt(self, waiting):
        """Returns what is still to be sent."""
        self.ledger.sent(self.way, waiting)
        try:
            answers = self.send(waiting)
        except (Ended, Refused, OSError, ValueError, requests.RequestException):
            self.close()
            answers = []
            time.sleep(0.02)
        if answers:
            self.ledger.answer(self.way, answers)
        done = {id(one) for one, status in answers if status in ("0000", "200", "202", "imported")}
        left = [one for one in waiting if id(one) not in done]
        return [one for one in left if self.chance.random() >= GIVE_UP]

    def close(self):
        pass


class StoreSender(Sender):
    way, association, stored = "cstore", None, 0
    per_association = 10

    def send(self, batch):
        if self.association is None:
            self.association = Association(self.stack.dicom_port, [(CT, [IMPLICIT])], timeout=PATIENCE_S)
            self.stored = 0
        answer = self.association.store(CT, batch[0].uid, batch[0].data)
        self.stored += 1
        if not self.keeps and self.stored == self.per_association:
            self.association.release()
            self.association = None
        return [(batch[0], f"{answer.status:04X}")]

    def close(self):
        if self.association is not None:
            self.association.close()
        self.association = None


class StowSender(Sender):
    way, batch, session = "stow", 4, None

    def send(self, batch):
        self.session = self.session or self.stack.session()
        body = b"".join(b"\r\n--B\r\nContent-Type: application/dicom\r\n\r\n" + part10(one.data, one.uid) for one in batch)
        answer = self.session.post(self.stack.web + "/studies", data=body + b"\r\n--B--\r\n", timeout=PATIENCE_S, headers={
            "Accept": JSON, "Content-Type": 'multipart/related; type="application/dicom"; boundary=B'})
        if answer.status_code not in (200, 202):
            return [(one, str(answer.status_code)) for one in batch]
        stored = [item["00081155"]["Value"][0] for item in answer.json().get("00081199", {}).get("Value", [])]
        return [(one, str(answer.status_code)) for one in batch if self.take(stored, one.uid)]

    @staticmethod
    def take(stored, uid):
        """Each row of the answer speaks of one instance: the same UID may be twice in one request."""
        if uid not in stored:
            return False
        stored.remove(uid)
        return True

    def close(self):
        if self.session is not None:
            self.session.close()
        self.session = None


class ImportSender(Sender):
    """The operator's `zpacs import` of small folders."""
    way, batch = "import", 12

    def send(self, batch):
        folder = Path(tempfile.mkdtemp(dir=self.stack.folder))
        folder.chmod(0o755)
        for number, one in enumerate(batch):
            (folder / f"{number}.dcm").write_bytes(part10(one.data, one.uid))
        result = self.stack.zpacs("import", folder, check=False)
        shutil.rmtree(folder)
        # 1 also stands for conflicts; then its words count
        whole = f"{len(batch)} stored" in result.stderr and " 0 skipped" in result.stderr
        return [(one, "imported" if whole and result.returncode in (0, 1) else "failed") for one in batch]


class Storm:
    """Senders at work while the block runs; after it they have ended, and the ledgers are complete.

    stores, stows, imports: how many of each; limit: instances of one sender, at most; keeps: whether
    every second association stays for as long as it can.
    """

    def __init__(self, stack, seed, stores=4, stows=2, imports=0, pace_s=0.004, limit=1 << 30, small_only=False,
                 keeps=True):
        self.folder = stack.folder / f"ledger-{seed}"
        self.folder.mkdir()
        self.stop = FORK.Event()
        kinds = [StoreSender] * stores + [StowSender] * stows + [ImportSender] * imports
        self.processes = [FORK.Process(target=self._work, daemon=True, args=(
            kind, stack, seed * 100 + number, pace_s, keeps and number % 2 == 0, limit, small_only))
            for number, kind in enumerate(kinds)]

    def _work(self, kind, stack, seed, pace_s, keeps, limit, small_only):
        path = self.folder / f"{kind.way}-{seed}.ledger"
        kind(stack, seed, path, pace_s, keeps).run(instances(seed, small_only), self.stop, limit)
        sys.exit(0)

    def acknowledged(self):
        """Answers of success so far."""
        return sum(path.read_bytes().count(b'"0000"') + path.read_bytes().count(b'"200"')
                   for path in self.folder.glob("*.ledger"))

    def __enter__(self):
        for process in self.processes:
            process.start()
        return self

    def __exit__(self, *_):
        self.stop.set()
        for process in self.processes:
            process.join(3 * PATIENCE_S)
            if process.is_alive():
                process.kill()
                process.join()
        assert all(process.exitcode == 0 for process in self.processes), "a sender broke"
