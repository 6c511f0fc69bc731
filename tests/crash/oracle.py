"""After the storm: what the ledgers say, against what the archive has."""
import re
import subprocess
import time
from collections import Counter
from dataclasses import dataclass, field
from io import BytesIO

import ledger
import preload
import requests
from stack import wait_until
from test_archive import dataset_of
from test_kill import JSON

PAGE = 1000  # query_limit_max
INDEX_SECONDS = 60
LATE_SECONDS = 20
ANY = 'multipart/related; type="application/dicom"; transfer-syntax=*'


@dataclass
class Verdict:
    sent: int = 0
    acknowledged: int = 0
    found: int = 0
    attempts: int = 0
    unanswered: int = 0  # attempts that a fault met
    conflicts: int = 0
    late: tuple = ()  # how many came after lag_bytes was 0, and the seconds until the last was there
    recoveries: list = field(default_factory=list)  # seconds
    lost: list = field(default_factory=list)
    doubled: list = field(default_factory=list)
    corrupt: list = field(default_factory=list)
    extra: list = field(default_factory=list)
    other: list = field(default_factory=list)  # what does not concern one instance

    def line(self):
        text = (f"{self.sent} instances sent in {self.attempts} attempts ({self.unanswered} without an answer), {self.acknowledged} acknowledged, "
                f"{self.found} found, {self.conflicts} conflicts; {len(self.lost)} lost, {len(self.doubled)} doubled, "
                f"{len(self.corrupt)} corrupt, {len(self.extra)} extra, {len(self.other)} other")
        if self.late:
            text += f"; {self.late[0]} found {self.late[1]:.1f} s after the index said that it had caught up"
        if self.recoveries:
            ordered = sorted(self.recoveries)
            text += (f"; {len(ordered)} faults, back after {ordered[len(ordered) // 2]:.1f} s (median), "
                     f"{ordered[-1]:.1f} s (longest)")
        return text

    def demand_no_fault(self):
        for name in ("lost", "doubled", "corrupt", "extra", "other"):
            assert not getattr(self, name), f"{name}: {getattr(self, name)[:8]}; {self.line()}"


class Archive:
    """What the archive answers, whole; questions are paged."""

    def __init__(self, stack):
        self.stack, self.session = stack, stack.session()

    def get(self, url, accept=JSON):
        answer = self.session.get(url, headers={"Accept": accept}, timeout=60)
        assert answer.status_code in (200, 204), (url, answer.status_code, answer.text[:200])
        return answer

    def rows(self, path):
        found = []
        while True:
            answer = self.get(f"{self.stack.web}{path}?limit={PAGE}&offset={len(found)}&includefield=all")
            page = answer.json() if answer.content else []
            found += page
            if len(page) < PAGE:
                return found

    def system(self):
        return self.get(f"{self.stack.base}/api/system", "application/json").json()

    def changes(self):
        """All; a page that does not go on from the one before ends it, as a fault."""
        found, epoch = [], ""
        while True:
            since = found[-1]["sequence"] if found else 0
            url = f"{self.stack.base}/api/changes?epoch={epoch}&since={since}&limit=1000"
            page = self.get(url, "application/json").json()
            assert epoch in ("", page["epoch"]), "rebuilt while it was read"
            epoch = page["epoch"]
            if not page["changes"]:
                return found
            assert page["changes"][0]["sequence"] > since, "the change feed does not go on"
            found += page["changes"]

    def datasets(self, study, series):
        """[(SOP Instance UID, SHA-256 of the dataset)] of a series."""
        answer = self.get(f"{self.stack.web}/studies/{study}/series/{series}", ANY)
        boundary = re.search(r'boundary="?([^";]+)', answer.headers["Content-Type"]).group(1).encode()
        for part in answer.content.split(b"\r\n--" + boundary if not answer.content.startswith(b"--" + boundary)
                                         else b"--" + boundary)[1:-1]:
            file = part.split(b"\r\n\r\n", 1)[1].removesuffix(b"\r\n")
            yield meta_uid(file), ledger.digest(dataset_of(file))


def meta_uid(file):
    """MediaStorageSOPInstanceUID."""
    at = file.index(b"\x02\0\x03\0UI", 132)
    length = int.from_bytes(file[at + 6:at + 8], "little")
    return BytesIO(file[at + 8:at + 8 + length]).read().rstrip(b"\0").decode()


def one(row, tag):
    return row[tag]["Value"][0]


def wait_until_indexed(archive, seconds=INDEX_SECONDS):
    """No bytes left to be read, and the count stands still."""
    before = None

    def is_quiet():
        nonlocal before
        try:
            now = archive.system()
        except (AssertionError, requests.RequestException):
            return False
        figures = (now["instances"], now["conflicts"], now["stored_bytes"])
        quiet = now["lag_bytes"] == 0 and not now["rebuilding"] and figures == before
        before = figures
        if not quiet:
            time.sleep(0.4)
        return quiet

    wait_until(is_quiet, seconds, lambda: f"the index has not caught up: {before}")


def wait_for_late(archive, known, verdict):
    """lag_bytes counts what the index has heard of: a pack that it has not is told by its writer within seconds."""
    def missing():
        found = {one(row, "00080018") for row in archive.rows("/instances")}
        return [uid for uid, it in known.items() if it.acknowledged and uid not in found]

    began, first = time.monotonic(), missing()
    left = first
    while left and time.monotonic() - began < LATE_SECONDS:
        time.sleep(0.2)
        left = missing()
    if first:
        verdict.late = (len(first) - len(left), time.monotonic() - began)
        wait_until_indexed(archive)


def check_instances(archive, known, verdict):
    rows = archive.rows("/instances")
    counts = Counter(one(row, "00080018") for row in rows)
    verdict.found = len(counts)
    verdict.doubled += [uid for uid, count in counts.items() if count > 1]
    verdict.extra += [uid for uid in counts if uid not in known]
    verdict.lost += [uid for uid, it in known.items() if it.acknowledged and uid not in counts]
    for row in rows:
        uid = one(row, "00080018")
        places = (one(row, "0020000D"), one(row, "0020000E"))
        if uid in known and places != (known[uid].study, known[uid].series):
            verdict.corrupt.append((uid, "in another study or series"))
    return rows


def check_bytes(archive, known, rows, verdict):
    """What is served is one of the versions that were sent; returns {UID: its SHA-256}."""
    served = Counter()
    versions = {}
    for study, series in sorted({(one(row, "0020000D"), one(row, "0020000E")) for row in rows}):
        for uid, sha in archive.datasets(study, series):
            served[uid] += 1
            versions[uid] = sha
            if uid in known and sha not in known[uid].sent:
                verdict.corrupt.append((uid, "bytes that were never sent"))
    found = {one(row, "00080018") for row in rows}
    verdict.lost += [(uid, "found, not served") for uid in found if not served[uid]]
    verdict.doubled += [(uid, "served more than once") for uid, count in served.items() if count > 1]
    verdict.extra += [(uid, "served, not found") for uid in served if uid not in found]
    return versions


@dataclass(order=True)
class Record:
    """An instance in a pack; of several of one UID the smallest is served."""
    received_us: int
    origin_pack: str
    origin_sequence: int
    content: tuple  # study, series, SHA-256


def records_in_packs(stack):
    """{SOP Instance UID: its records, the one to be served first}."""
    found, origins = {}, set()
    listing = subprocess.run([preload.tool("pack_list"), stack.data], text=True, capture_output=True, check=True)
    for line in listing.stdout.splitlines():
        uid, study, series, received_us, pack, sequence, sha = line.split()
        if (pack, sequence) not in origins:  # else it was copied by a compaction
            found.setdefault(uid, []).append(Record(int(received_us), pack, int(sequence), (study, series, sha)))
        origins.add((pack, sequence))
    return {uid: sorted(records) for uid, records in found.items()}


def check_conflicts(archive, known, packed, versions, verdict):
    """What was acknowledged is in the packs, the first of it is served, and each record of other content is listed."""
    text = archive.stack.zpacs("conflicts", check=False).stdout
    listed = Counter(line.split()[1] for line in text.splitlines())
    verdict.conflicts = sum(listed.values())
    for uid, it in known.items():
        records = packed.get(uid, [])
        missing = it.acknowledged - {record.content[2] for record in records}
        verdict.lost += [(uid, "not in the packs", sha) for sha in missing]
        aside = sum(record.content != records[0].content for record in records)
        if records and versions.get(uid) != records[0].content[2]:
            verdict.other.append(f"{uid}: not the version that is served by the rule, of {records}")
        if listed[uid] != aside:
            verdict.other.append(f"conflicts of {uid}: {listed[uid]} listed, but {records}")
    verdict.other += [f"conflict of an unknown {uid}" for uid in listed if uid not in known]


def check_counts(archive, rows, verdict):
    """The figures of every level against a recount of the instances."""
    studies = {one(row, "0020000D"): row for row in archive.rows("/studies")}
    series = {one(row, "0020000E"): row for row in archive.rows("/series")}
    per_study = Counter(one(row, "0020000D") for row in rows)
    per_series = Counter(one(row, "0020000E") for row in rows)
    series_of = Counter(study for study, _ in {(one(row, "0020000D"), one(row, "0020000E")) for row in rows})
    expected = [
        ("studies", set(studies), set(per_study)),
        ("series", set(series), set(per_series)),
        ("NumberOfStudyRelatedInstances", {u: one(r, "00201208") for u, r in studies.items()}, dict(per_study)),
        ("NumberOfStudyRelatedSeries", {u: one(r, "00201206") for u, r in studies.items()}, dict(series_of)),
        ("NumberOfSeriesRelatedInstances", {u: one(r, "00201209") for u, r in series.items()}, dict(per_series)),
    ]
    system = archive.system()
    counted = {"studies": len(per_study), "series": len(per_series), "instances": len(rows),
               "conflicts": verdict.conflicts, "unreadable": 0, "lag_bytes": 0}
    expected += [(f"/api/system {name}", system[name], value) for name, value in counted.items()]
    verdict.other += [f"{name}: {str(got)[:300]}, but counted {str(want)[:300]}"
                      for name, got, want in expected if got != want]


def check_changes(archive, packed, rows, verdict):
    """Each instance was stored: once, or again whenever a record that is to be served came late or outlived a deletion."""
    changes = archive.changes()
    sequences = [change["sequence"] for change in changes]
    if any(b <= a for a, b in zip(sequences, sequences[1:])):
        verdict.other.append("the change feed does not only go up")
    stored = Counter(change["instance"] for change in changes if change["kind"] == "instance.stored")
    deleted = Counter(change["study"] for change in changes if change["kind"].endswith(".deleted"))
    study_of = {change["instance"]: change["study"] for change in changes if change["kind"] == "instance.stored"}
    found = {one(row, "00080018") for row in rows}
    verdict.other += [f"instance.stored of {uid}: {stored[uid]} times" for uid in sorted(found | set(stored))
                      if not (uid in found) <= stored[uid] <= len(packed.get(uid, [])) + deleted[study_of.get(uid)]]


def judge(stack, folder, until_ns=None, recoveries=()):
    """Compares; prints one line and returns the verdict. folder: of the ledgers."""
    known = ledger.read(folder, until_ns)
    archive = Archive(stack)
    wait_until_indexed(archive)
    verdict = Verdict(sent=len(known), recoveries=list(recoveries))
    verdict.acknowledged = sum(bool(it.acknowledged) for it in known.values())
    verdict.attempts = sum(it.attempts for it in known.values())
    verdict.unanswered = verdict.attempts - sum(it.answers for it in known.values())
    wait_for_late(archive, known, verdict)
    rows = check_instances(archive, known, verdict)
    versions = check_bytes(archive, known, rows, verdict)
    packed = records_in_packs(stack)
    check_conflicts(archive, known, packed, versions, verdict)
    check_counts(archive, rows, verdict)
    check_changes(archive, packed, rows, verdict)
    verify = stack.zpacs("verify", check=False)
    if verify.returncode != 0:
        verdict.other.append(f"zpacs verify: {verify.stderr[-300:]}")
    print(f"\n{verdict.line()}")
    return verdict
