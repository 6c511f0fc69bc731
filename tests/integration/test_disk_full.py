"""A full disk: senders are told so, nothing half is kept, reading goes on, and it heals by itself.

The data folder lies on a small file system of its own, so this needs root.
"""
import os
from contextlib import contextmanager

import pytest
import requests
from dimse_client import IMPLICIT, Association, Ended, dataset
from postgres import Postgres
from pydicom.uid import generate_uid
from stack import ADMIN_OFFSET, Stack, wait_until
from test_archive import dataset_of
from test_kill import CT, JSON, part10

SIZE_MB = 48
IMAGE = 2_000_000


@contextmanager
def stack_on_a_small_disk(**environment):
    stack = Stack(**environment)
    try:
        with stack.small_disk(SIZE_MB):
            try:
                yield stack.up()
            finally:
                stack.down()
    finally:
        stack.destroy()


@pytest.fixture
def small_stack():
    """Without marks: it takes what fits, up to the last byte."""
    with stack_on_a_small_disk(ZPACS_SPACE_LOW="0") as stack:
        yield stack


@pytest.fixture
def small_stack_with_marks():
    with stack_on_a_small_disk() as stack:
        yield stack


class Image:
    def __init__(self, size=IMAGE):
        self.study, self.series, self.instance = generate_uid(), generate_uid(), generate_uid()
        self.data = dataset(CT, self.instance, self.study, self.series, pixels=os.urandom(size))

    def store(self, stack):
        with Association(stack.dicom_port, [(CT, [IMPLICIT])]) as association:
            return association.store(CT, self.instance, self.data).status

    def stow(self, stack):
        body = b"\r\n--B\r\nContent-Type: application/dicom\r\n\r\n" + part10(self.data, self.instance) + b"\r\n--B--\r\n"
        with stack.session() as session:
            return session.post(stack.web + "/studies", data=body, timeout=30, headers={
                "Accept": JSON, "Content-Type": 'multipart/related; type="application/dicom"; boundary=B'})

    def is_there(self, stack):
        url = f"{stack.web}/studies/{self.study}/series/{self.series}/instances/{self.instance}"
        with stack.session() as session:
            answer = session.get(url, timeout=20, headers={"Accept": "application/dicom; transfer-syntax=*"})
        assert answer.status_code in (200, 404), answer.text
        return answer.status_code == 200 and dataset_of(answer.content) == self.data


def fill(stack, kept_kb):
    """Takes all room but that; returns the file to be removed."""
    path = stack.data / "filler"
    free = os.statvfs(stack.data)
    left = free.f_bavail * free.f_frsize - kept_kb * 1024
    with open(path, "wb", buffering=0) as file:
        try:
            while left > 0:
                left -= file.write(b"x" * min(left, 1 << 20))
        except OSError:
            pass  # somebody else took some: full it is
    return path


def pack_bytes(stack):
    return sum(pack.stat().st_size for pack in (stack.data / "packs").rglob("*.pack"))


@pytest.mark.parametrize("kept_kb", [700, 0], ids=["no-room-for-the-image", "no-room-at-all"])
def test_full_disk(small_stack, kept_kb):
    stack = small_stack
    before = [Image(), Image()]
    assert before[0].store(stack) == 0
    assert before[1].stow(stack).status_code == 200
    wait_until(lambda: all(image.is_there(stack) for image in before))
    pids = {name: stack.pid(name) for name in ("index", "dimse", "dicomweb")}
    size = pack_bytes(stack)

    filler = fill(stack, kept_kb)
    refused = [Image() for _ in range(6)]
    for image in refused[:3]:
        assert image.store(stack) == 0xA700
    for image in refused[3:]:
        answer = image.stow(stack)
        assert answer.status_code == 503 and int(answer.headers["Retry-After"]) > 0
    assert pack_bytes(stack) <= size + 8192, "what was refused has left bytes behind"
    assert all(image.is_there(stack) for image in before), "reading goes on"
    assert not any(image.is_there(stack) for image in refused)
    with stack.session() as session:
        found = session.get(f"{stack.web}/instances?limit=100", headers={"Accept": JSON}, timeout=10).json()
    assert len(found) == len(before)

    filler.unlink()
    for image in refused[:3]:
        assert image.store(stack) == 0
    for image in refused[3:]:
        assert image.stow(stack).status_code == 200
    wait_until(lambda: all(image.is_there(stack) for image in before + refused))
    assert kept_kb == 0 or '"event":"pack.failed"' in stack.log("dimse")
    assert pids == {name: stack.pid(name) for name in pids}, "nothing had to be started again"


def test_index_without_room_catches_up(small_stack):
    """The image fits, the database does not grow: acknowledged all the same, and found once there is room."""
    stack = small_stack
    filler = fill(stack, 700)
    stored = []
    for _ in range(200):  # small images until the disk says no
        image = Image(2000)
        try:
            status = image.store(stack)
        except (Ended, OSError):
            break
        if status != 0:
            assert status == 0xA700
            break
        stored.append(image)
    assert stored and len(stored) < 200
    wait_until(lambda: "database or disk is full" in stack.log("index"), 10)
    filler.unlink()
    wait_until(lambda: all(image.is_there(stack) for image in stored), 30)
    stack.wait_healthy()


def test_full_disk_while_the_database_is_away():
    """Each of the two is told by itself, and each heals without the other."""
    with Postgres() as postgres, \
            stack_on_a_small_disk(ZPACS_SPACE_LOW="0", ZPACS_INDEX_DATABASE=postgres.uri) as stack:
        before, during, refused = Image(), Image(), [Image() for _ in range(2)]
        pids = {name: stack.pid(name) for name in ("index", "dimse", "dicomweb")}
        assert before.store(stack) == 0
        wait_until(lambda: before.is_there(stack))
        postgres.kill()
        assert during.store(stack) == 0
        filler = fill(stack, 0)
        assert refused[0].store(stack) == 0xA700
        answer = refused[1].stow(stack)
        assert answer.status_code == 503 and int(answer.headers["Retry-After"]) > 0
        postgres.start()
        stack.wait_healthy()
        wait_until(lambda: before.is_there(stack) and during.is_there(stack))
        assert refused[0].store(stack) == 0xA700
        filler.unlink()
        assert refused[0].store(stack) == 0
        assert refused[1].stow(stack).status_code == 200
        wait_until(lambda: all(image.is_there(stack) for image in refused))
        assert pids == {name: stack.pid(name) for name in pids}


def metric(stack, service, name):
    with requests.Session() as session:
        session.trust_env = False
        text = session.get(f"http://127.0.0.1:{stack.port + ADMIN_OFFSET[service]}/metrics", timeout=5).text
    return next(int(line.split()[1]) for line in text.splitlines() if line.startswith(name + " "))


def test_marks_stop_senders_before_the_disk_is_full(small_stack_with_marks):
    """5 and 7 percent of 48 MB: 2457 and 3440 KB. All the images would fit."""
    stack = small_stack_with_marks
    def is_full(expected):
        return all(metric(stack, name, "zpacs_disk_full") == expected for name in ("dimse", "dicomweb"))
    with Association(stack.dicom_port, [(CT, [IMPLICIT])]) as held:
        def store(image):
            return held.store(CT, image.instance, image.data).status
        before, refused = Image(2000), [Image(2000) for _ in range(4)]
        assert store(before) == 0 and is_full(0)
        filler = fill(stack, 2000)
        wait_until(lambda: is_full(1))
        for kept_kb in (2000, 2900):  # below the low mark, and between the two on the way up
            free = os.statvfs(stack.data)
            os.truncate(filler, filler.stat().st_size + free.f_bavail * free.f_frsize - kept_kb * 1024)
            wait_until(lambda kb=kept_kb: abs(metric(stack, "dicomweb", "zpacs_disk_free_bytes") / 1024 - kb) < 300
                       and abs(metric(stack, "dimse", "zpacs_disk_free_bytes") / 1024 - kb) < 300)
            assert is_full(1)
            assert store(refused[0]) == 0xA700, "an association that has a pack already"
            assert refused[1].store(stack) == 0xA700, "a new one"
            answer = refused[2].stow(stack)
            assert answer.status_code == 503 and int(answer.headers["Retry-After"]) > 0
        wait_until(lambda: before.is_there(stack))
        filler.unlink()
        wait_until(lambda: is_full(0))
        assert all(store(image) == 0 for image in refused[0:2])
        assert refused[2].stow(stack).status_code == 200
        assert refused[3].store(stack) == 0
    wait_until(lambda: all(image.is_there(stack) for image in refused[0:4]))
    for service in ("dimse", "dicomweb"):
        assert stack.log(service).count('"event":"disk.full"') == 1
        assert stack.log(service).count('"event":"disk.has_room"') == 1
