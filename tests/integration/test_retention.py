"""Deletion to its end, and what must not be deleted: over the real programs, with a short grace."""
import os
import signal
import struct
import threading
import time
import zlib
from pathlib import Path

import pytest
from dimse_client import IMPLICIT, Association, dataset
from pydicom.uid import generate_uid
from stack import Stack, wait_until
from test_archive import dataset_of
from test_disk_full import fill, stack_on_a_small_disk
from test_kill import CT, JSON, part10

DEFLATED = "1.2.840.10008.1.2.1.99"
SHORT = {"ZPACS_COMPACT_AFTER_SECONDS": "1", "ZPACS_RETIRE_GRACE_SECONDS": "1"}
LONG = {"ZPACS_COMPACT_AFTER_SECONDS": "3600", "ZPACS_RETIRE_GRACE_SECONDS": "1"}
RESTLESS = {**SHORT, "ZPACS_PACK_OPEN_SECONDS": "3"}


class Image:
    """Its pixels are found nowhere else."""

    def __init__(self, study=None, instance=None, series=None):
        self.study = study or generate_uid()
        self.series = series or self.study[:60].rstrip(".") + ".1"
        self.instance = instance or generate_uid()
        self.pixels = os.urandom(20_000)
        self.data = dataset(CT, self.instance, self.study, self.series, pixels=self.pixels)


def part_of(image):
    return b"\r\n--B\r\nContent-Type: application/dicom\r\n\r\n" + part10(image.data, image.instance)


class Archive:
    def __init__(self, stack):
        self.stack = stack
        self.web = stack.session()

    def store(self, *images):
        body = b"".join(map(part_of, images)) + b"\r\n--B--\r\n"
        answer = self.web.post(self.stack.web + "/studies", data=body, timeout=30, headers={
            "Accept": JSON, "Content-Type": 'multipart/related; type="application/dicom"; boundary=B'})
        assert answer.status_code in (200, 202), answer.text
        wait_until(lambda: all(self.is_known(image) for image in images))

    def is_known(self, image):
        return self.find(f"/instances?00080018={image.instance}")

    def find(self, path):
        answer = self.web.get(self.stack.web + path, headers={"Accept": JSON}, timeout=10)
        return answer.json() if answer.status_code == 200 else []

    def bytes_of(self, image, instance=None):
        """The dataset as it is served, or None."""
        url = f"{self.stack.web}/studies/{image.study}/series/{image.series}/instances/{instance or image.instance}"
        answer = self.web.get(url, timeout=20, headers={"Accept": "application/dicom; transfer-syntax=*"})
        assert answer.status_code in (200, 404), answer.text
        return dataset_of(answer.content) if answer.status_code == 200 else None

    def delete(self, *uids):
        names = ("studies", "series", "instances")
        path = "".join(f"/{name}/{uid}" for name, uid in zip(names, uids))
        return self.web.delete(self.stack.web + path, timeout=30).status_code

    def api(self, method, path, **body):
        return self.web.request(method, f"{self.stack.base}/api{path}", json=body or None, timeout=30)

    def restart(self):
        """Seals all packs."""
        self.stack.down()
        self.stack.up()
        self.stack.wait_healthy()

    def packs_with(self, image):
        found = 0
        for pack in (self.stack.data / "packs").rglob("*.pack"):
            try:
                found += image.pixels in pack.read_bytes()
            except FileNotFoundError:
                pass  # on its way out
        return found

    def everything(self):
        """What is there, in the order of UIDs."""
        lines = []
        for path in ("/studies", "/series", "/instances"):
            for row in self.find(path + "?includefield=all&limit=500"):
                lines.append(repr(sorted((k, v) for k, v in row.items() if k != "00081190")))
        conflicts = self.api("GET", "/conflicts").json()["conflicts"]
        return sorted(lines) + sorted(str(c) for c in conflicts)

    def check_rebuild(self):
        before = self.everything()
        self.stack.zpacs("reindex")
        assert self.everything() == before


@pytest.fixture(scope="module")
def short():
    with Stack(**SHORT) as stack:
        yield Archive(stack)


@pytest.fixture(scope="module")
def long():
    with Stack(**LONG) as stack:
        yield Archive(stack)


def test_deleted_bytes_are_gone_from_the_packs(short):
    study = generate_uid()
    kept, deleted, alone = Image(study), Image(study), Image()
    short.store(kept, deleted, alone)
    assert short.packs_with(deleted) == 1
    assert short.delete(study, deleted.series, deleted.instance) == 204
    assert short.delete(alone.study) == 204
    short.restart()
    wait_until(lambda: short.packs_with(deleted) + short.packs_with(alone) == 0, 25)
    assert short.bytes_of(kept) == kept.data
    assert short.bytes_of(deleted) is None
    short.check_rebuild()
    assert short.bytes_of(kept) == kept.data
    answer = short.api("POST", f"/studies/{alone.study}/undelete")
    assert answer.json() == {"instances": 0, "gone": 1}
    assert '"event":"compaction.removed"' in short.stack.log("index")
    short.stack.zpacs("verify")


class Restless:
    """Goes on with something, without a pause, until it is left."""

    def __init__(self, *jobs):
        self.failed, self.is_over = [], threading.Event()
        self.threads = [threading.Thread(target=self._run, args=(job,)) for job in jobs]

    def _run(self, job):
        try:
            while not self.is_over.is_set():
                job()
        except Exception as error:  # pylint: disable=broad-except
            self.failed.append(error)

    def __enter__(self):
        for thread in self.threads:
            thread.start()

    def __exit__(self, *_):
        self.is_over.set()
        for thread in self.threads:
            thread.join()
        assert not self.failed


def removed_but_open(stack):
    """Descriptors of packs that have no name any more: their bytes are on the disk until they are closed."""
    found = []
    for process in filter(str.isdigit, os.listdir("/proc")):
        try:
            targets = [os.readlink(link) for link in Path("/proc", process, "fd").iterdir()]
        except OSError:  # not ours, or gone
            continue
        found += [target for target in targets if target.startswith(f"{stack.data}/packs/") and " (deleted)" in target]
    return found


def test_deleted_bytes_go_though_nobody_rests():
    """An open pack is sealed by its age: of associations that go on or only stay, of requests, of decisions."""
    with Stack(**RESTLESS) as stack:
        archive = Archive(stack)

        def associate():
            return Association(stack.dicom_port, [(CT, [IMPLICIT])])

        def send(association, image):
            assert association.store(CT, image.instance, image.data).status == 0

        images = [Image() for _ in range(5)]
        held = Image()
        before, busy, silent, staying = associate(), associate(), associate(), associate()
        send(before, images[0])
        before.release()
        wait_until(lambda: '"event":"association.ended"' in stack.log("dimse"))
        lent = associate()  # and with it the pack that has images[0]: it stores nothing
        send(busy, images[1])
        send(staying, images[2])
        archive.store(images[3], held)
        archive.store(images[4])
        first = {path.name for path in (stack.data / "packs/open").glob("*.pack")}
        web = stack.session()

        def decide():
            url = f"{stack.base}/api/studies/{held.study}/hold"
            assert web.put(url, json={"reason": "a test"}, timeout=30).status_code == 204
            assert web.delete(url, timeout=30).status_code == 204

        with Restless(lambda: send(busy, Image()), lambda: archive.store(Image()), decide):
            for image in images:
                wait_until(lambda image=image: archive.is_known(image))
                assert stack.session().delete(f"{stack.web}/studies/{image.study}", timeout=30).status_code == 204
            events = {path.name for path in (stack.data / "packs/open").glob("*.pack")}
            wait_until(lambda: sum(archive.packs_with(image) for image in images) == 0, 60)
            wait_until(lambda: not removed_but_open(stack), 30)
            wait_until(lambda: not (first | events) & {p.name for p in (stack.data / "packs/open").iterdir()}, 30)
        late = [Image() for _ in range(4)]
        for association, image in zip((lent, busy, silent, staying), late):
            send(association, image)
            assert association.release()
        wait_until(lambda: all(archive.is_known(image) for image in late))
        assert archive.bytes_of(held) == held.data
        stack.zpacs("verify")


class Hesitant:
    """A body of some length that comes in two parts, the second one later."""

    def __init__(self, first, second, pause_s):
        self.parts, self.length, self.pause_s = [first, second], len(first) + len(second), pause_s

    def __len__(self):
        return self.length

    def read(self, _=-1):
        if len(self.parts) == 1:
            time.sleep(self.pause_s)
        return self.parts.pop(0) if self.parts else b""


def packs_of(stack, images):
    """The packs that hold any of them."""
    packs = (stack.data / "packs").rglob("*.pack")
    return {pack.name for pack in packs if any(image.pixels in pack.read_bytes() for image in images)}


def test_who_writes_for_long_changes_the_pack():
    """Amid one STOW-RS request, and amid one import."""
    with Stack(**LONG, ZPACS_PACK_OPEN_SECONDS="2") as stack:
        archive = Archive(stack)
        early, middle, late = Image(), Image(), Image()
        # The first ends where the next begins, and a body is read in large pieces.
        middle.data = dataset(CT, middle.instance, middle.study, middle.series, pixels=os.urandom(3_000_000))
        answer = archive.web.post(archive.stack.web + "/studies", timeout=60, headers={
            "Accept": JSON, "Content-Type": 'multipart/related; type="application/dicom"; boundary=B',
        }, data=Hesitant(part_of(early) + part_of(middle), part_of(late) + b"\r\n--B--\r\n", 3))
        assert answer.status_code == 200, answer.text
        wait_until(lambda: archive.is_known(early) and archive.is_known(late))
        assert len(packs_of(stack, [early])) == len(packs_of(stack, [late])) == 1
        assert len(packs_of(stack, [early, late])) == 2

        folder = stack.folder / "files"
        folder.mkdir()
        images = [Image() for _ in range(2000)]
        for image in images:
            image.pixels = image.pixels[:500]
            image.data = dataset(CT, image.instance, image.study, image.series, pixels=image.pixels)
            (folder / image.instance).write_bytes(part10(image.data, image.instance))
        done = []
        importing = threading.Thread(target=lambda: done.append(stack.zpacs("import", folder)))
        importing.start()
        process = None
        while not (process := process or process_with("zpacs-cli", folder)) or not writes_a_pack(process):
            assert importing.is_alive(), "it was done before it could be held up"
        os.kill(process, signal.SIGSTOP)
        time.sleep(3)
        os.kill(process, signal.SIGCONT)
        importing.join()
        assert "2000 stored" in done[0].stderr
        assert len(packs_of(stack, images)) >= 2
        wait_until(lambda: all(archive.is_known(image) for image in images[:5] + images[-5:]))
        stack.zpacs("verify")


def process_with(program, argument):
    for process in filter(str.isdigit, os.listdir("/proc")):
        try:
            words = Path("/proc", process, "cmdline").read_text().split("\0")
        except OSError:
            continue
        if Path(words[0]).name == program and str(argument) in words:
            return int(process)
    return None


def writes_a_pack(process):
    """It has one open that holds a record."""
    try:
        files = [link for link in Path(f"/proc/{process}/fd").iterdir() if os.readlink(link).endswith(".pack")]
        return any(file.stat().st_size > 4096 for file in files)
    except OSError:
        return False


def test_reading_goes_on_while_packs_are_compacted(short):
    """Whoever knows the old place asks once for the new one."""
    study = generate_uid()
    kept, deleted = Image(study), Image(study)
    short.store(kept, deleted)
    short.restart()
    assert short.bytes_of(kept) == kept.data
    assert short.delete(study, deleted.series, deleted.instance) == 204
    end = time.monotonic() + 25
    while short.packs_with(deleted):
        assert short.bytes_of(kept) == kept.data
        assert time.monotonic() < end
    for _ in range(20):
        assert short.bytes_of(kept) == kept.data
        time.sleep(0.05)


def test_undelete_within_the_grace(long):
    study = generate_uid()
    images = [Image(study) for _ in range(3)]
    long.store(*images)
    before = long.everything()
    assert long.delete(study) == 204
    assert not any(long.bytes_of(image) for image in images)
    long.restart()
    answer = long.api("POST", f"/studies/{study}/undelete", reason="a mistake")
    assert answer.json() == {"instances": 3, "gone": 0}
    assert all(long.bytes_of(image) == image.data for image in images)
    assert long.everything() == before
    assert long.api("POST", f"/studies/{study}/undelete").status_code == 404

    long.stack.zpacs("delete", study, images[0].series, images[0].instance)
    assert long.bytes_of(images[0]) is None
    told = long.stack.zpacs("undelete", study, images[0].series, images[0].instance)
    assert "1 instances are back, 0 are gone" in told.stdout
    long.check_rebuild()
    assert all(long.bytes_of(image) == image.data for image in images)


def test_hold_refuses_deletion(long):
    image = Image()
    long.store(image)
    path = f"/studies/{image.study}/hold"
    assert long.api("GET", path).json() == {"held": False}
    assert long.api("PUT", path).status_code == 400, "without a reason"
    assert long.api("PUT", path, reason="court file 12").status_code == 204
    held = long.api("GET", path).json()
    assert held["held"] and held["reason"] == "court file 12"
    answer = long.web.delete(f"{long.stack.web}/studies/{image.study}")
    assert answer.status_code == 409 and "court file 12" in answer.text
    assert long.delete(image.study, image.series, image.instance) == 409
    refused = long.stack.zpacs("delete", image.study, check=False)
    assert refused.returncode == 1 and "court file 12" in refused.stderr
    long.check_rebuild()
    assert long.delete(image.study) == 409
    assert long.api("DELETE", path).status_code == 204
    assert long.api("DELETE", path).status_code == 404
    long.stack.zpacs("hold", image.study, "--reason", "once more")
    assert "once more" in long.stack.zpacs("hold", image.study).stdout
    long.stack.zpacs("release", image.study)
    assert long.delete(image.study) == 204
    assert long.api("GET", path).status_code == 404
    assert long.api("PUT", path, reason="x").status_code == 404


def test_a_foreign_page_changes_nothing(long):
    image = Image()
    long.store(image)
    foreign = {"Origin": "http://elsewhere.example"}
    for method, path in (("POST", "undelete"), ("PUT", "hold"), ("DELETE", "hold")):
        answer = long.web.request(method, f"{long.stack.base}/api/studies/{image.study}/{path}", headers=foreign)
        assert answer.status_code == 403
    assert long.web.post(f"{long.stack.base}/api/conflicts/{image.instance}", headers=foreign).status_code == 403


def conflict(archive):
    first = Image()
    second = Image(first.study, first.instance)
    archive.store(first)
    archive.store(second)
    wait_until(lambda: any(c["instance"] == first.instance for c in archive.api("GET", "/conflicts").json()["conflicts"]))
    return first, second


def open_conflicts(archive, image):
    return [c for c in archive.api("GET", "/conflicts").json()["conflicts"] if c["instance"] == image.instance]


@pytest.mark.parametrize("outcome", ["keep", "replace", "both"])
def test_conflict(short, outcome):
    first, second = conflict(short)
    assert short.bytes_of(first) == first.data
    [found] = open_conflicts(short, first)
    path = f"/conflicts/{first.instance}"
    assert short.api("POST", path, outcome="guess").status_code == 400
    assert short.api("POST", path, outcome=outcome, record="01ARZ3NDEKTSV4RRFFQ69G5FAV/1").status_code == 404
    answer = short.api("POST", path, outcome=outcome, record=found["record"])
    assert answer.status_code == 200 and answer.json()["dead"] == 1
    assert not open_conflicts(short, first)
    assert short.api("POST", path, outcome=outcome).status_code == 404
    winner, loser = (second, first) if outcome == "replace" else (first, second)
    assert short.bytes_of(winner) == winner.data
    made = answer.json()["made"]
    assert bool(made) == (outcome == "both")
    if made:
        expected = dataset(CT, made, second.study, second.series, pixels=second.pixels)
        assert short.bytes_of(second, made) == expected
    short.check_rebuild()
    short.restart()
    wait_until(lambda: short.packs_with(loser) == (1 if made else 0), 25)
    assert short.bytes_of(winner) == winner.data
    if made:
        assert short.bytes_of(second, made) == expected
    short.check_rebuild()
    short.stack.zpacs("verify")


def explicit(instance, study, series, pixels):
    """A small grey image in explicit VR little endian."""
    rows = int(len(pixels) ** 0.5)
    assert rows * rows == len(pixels)

    def element(tag, vr, value, pad=b"\0"):
        value += pad * (len(value) % 2)
        long_form = struct.pack("<2sHI", vr, 0, len(value)) if vr == b"OB" else struct.pack("<2sH", vr, len(value))
        return struct.pack("<HH", tag >> 16, tag & 0xFFFF) + long_form + value

    def number(tag, value):
        return element(tag, b"US", struct.pack("<H", value))

    return b"".join((
        element(0x00080016, b"UI", CT.encode()), element(0x00080018, b"UI", instance.encode()),
        element(0x00100020, b"LO", b"DEFLATED", b" "), element(0x0020000D, b"UI", study.encode()),
        element(0x0020000E, b"UI", series.encode()), number(0x00280002, 1),
        element(0x00280004, b"CS", b"MONOCHROME2", b" "), number(0x00280010, rows), number(0x00280011, rows),
        number(0x00280100, 8), number(0x00280101, 8), number(0x00280102, 7), number(0x00280103, 0),
        element(0x7FE00010, b"OB", pixels)))


def test_both_of_a_deflated_dataset(long):
    """It lives on inflated: the same elements but one, and its pixels where the index says."""
    first, second = Image(), Image()
    second.study, second.series, second.instance = first.study, first.series, first.instance
    second.pixels = second.pixels[:10_000]
    plain = explicit(second.instance, second.study, second.series, second.pixels)
    squeeze = zlib.compressobj(wbits=-15)
    second.data = squeeze.compress(plain) + squeeze.flush()
    long.store(first)
    with Association(long.stack.dicom_port, [(CT, [DEFLATED])]) as association:
        assert association.store(CT, second.instance, second.data).status == 0
        association.release()
    wait_until(lambda: open_conflicts(long, first))
    answer = long.api("POST", f"/conflicts/{first.instance}", outcome="both")
    assert answer.status_code == 200, answer.text
    made = answer.json()["made"]
    expected = explicit(made, second.study, second.series, second.pixels)
    for _ in range(2):
        assert long.bytes_of(second, made) == expected
        url = f"{long.stack.web}/studies/{second.study}/series/{second.series}/instances/{made}"
        frame = long.web.get(f"{url}/frames/1", timeout=20, headers={
            "Accept": 'multipart/related; type="application/octet-stream"; transfer-syntax=1.2.840.10008.1.2.1'})
        assert frame.status_code == 200 and second.pixels in frame.content
        assert long.bytes_of(first) == first.data
        long.check_rebuild()
    long.stack.zpacs("verify")


def test_conflict_by_command(long):
    first, second = conflict(long)
    [found] = open_conflicts(long, first)
    listed = long.stack.zpacs("conflicts", check=False)
    assert found["record"] in listed.stdout
    long.stack.zpacs("resolve", first.instance, "replace", "--from", found["record"])
    assert long.bytes_of(first) == second.data
    assert long.stack.zpacs("resolve", first.instance, "keep", check=False).returncode == 1


def test_deletion_on_a_full_disk():
    """Not even the record of a deletion fits: the reserve is given up for it, and taken again."""
    with stack_on_a_small_disk(ZPACS_SPACE_LOW="0", **SHORT) as stack:
        archive = Archive(stack)
        images = [Image() for _ in range(3)]
        archive.store(*images)
        assert (stack.data / "reserve").stat().st_size > 0
        filler = fill(stack, 0)
        assert archive.delete(images[0].study) == 204
        assert (stack.data / "reserve").stat().st_size == 0
        assert '"event":"reserve.released"' in stack.log("index")
        assert archive.bytes_of(images[0]) is None
        assert archive.bytes_of(images[1]) == images[1].data
        filler.unlink()
        archive.restart()
        wait_until(lambda: archive.packs_with(images[0]) == 0, 25)
        wait_until(lambda: (stack.data / "reserve").stat().st_size > 0, 90)
        assert archive.bytes_of(images[1]) == images[1].data
