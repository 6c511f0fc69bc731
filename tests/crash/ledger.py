"""What was sent and what was answered, on stable storage outside of the system under test.

One file per sender, append-only, one JSON object per line, each line synced:

    {"at": ns, "what": "sent",   "way": "cstore", "uid": ..., "study": ..., "series": ..., "sha": ...}
    {"at": ns, "what": "answer", "way": "cstore", "uid": ..., "sha": ..., "status": "0000"}

"sent" is on the disk before the first byte goes out; "answer" is written when the sender has read it. An
attempt without an answer is one of which nothing is known: the instance may be there or not. Times are of
CLOCK_MONOTONIC, which all processes of one machine share.
"""
import hashlib
import json
import os
import time
from collections import Counter
from dataclasses import dataclass, field

ACKNOWLEDGED = {"0000", "200", "202", "imported"}


def digest(data):
    return hashlib.sha256(data).hexdigest()


class Ledger:
    def __init__(self, path):
        self.file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def sent(self, way, instances):
        self._write([{"what": "sent", "way": way, "uid": one.uid, "study": one.study, "series": one.series,
                      "sha": one.sha} for one in instances])

    def answer(self, way, answers):
        """answers: (instance, status) of one answer."""
        self._write([{"what": "answer", "way": way, "uid": one.uid, "sha": one.sha, "status": status}
                     for one, status in answers])

    def _write(self, rows):
        at = time.monotonic_ns()
        text = "".join(json.dumps({"at": at, **row}) + "\n" for row in rows)
        assert os.write(self.file, text.encode()) == len(text)
        os.fdatasync(self.file)


@dataclass
class Known:
    """Of one SOP Instance UID: the versions that went out, and those that were acknowledged."""
    study: str
    series: str
    sent: Counter = field(default_factory=Counter)  # SHA-256: how often
    acknowledged: set = field(default_factory=set)
    attempts: int = 0
    answers: int = 0


def read(folder, until_ns=None):
    """{SOP Instance UID: Known} of all ledgers in a folder; what came after until_ns did not happen."""
    known = {}
    rows = [json.loads(line) for path in sorted(folder.glob("*.ledger")) for line in path.read_text().splitlines()]
    for row in rows:
        if until_ns is not None and row["at"] > until_ns:
            continue
        if row["what"] == "sent":
            one = known.setdefault(row["uid"], Known(row["study"], row["series"]))
            one.sent[row["sha"]] += 1
            one.attempts += 1
        else:
            known[row["uid"]].answers += 1
            if row["status"] in ACKNOWLEDGED:
                known[row["uid"]].acknowledged.add(row["sha"])
    return known
