"""WADO-RS /metadata: kept in memory, and never old; as JSON, gzip and XML; no more of the packs and of memory than it takes."""
import configparser
import gzip
import json
import os
import shlex
import subprocess
import threading
import uuid

import pytest
from dimse_client import dataset, element
from postgres import Postgres
from pydicom.uid import generate_uid
from stack import Stack, wait_until
from test_kill import CT, JSON
from test_replicas import Replicas, metrics
from test_retention import Archive, Image

XML = 'multipart/related; type="application/dicom+xml"'
SECOND = {"ZPACS_DICOMWEB_ADDRESS": 5, "ZPACS_STOW_ADDRESS": 6, "ZPACS_ADMIN": 7}  # ports, from the stack's own on


class Marked(Image):
    """An instance that says in its metadata which one it is, also beside another of the same UID."""

    def __init__(self, *uids, pixels=200, **kw):
        super().__init__(*uids, **kw)
        self.pixels = os.urandom(pixels)
        self.mark = uuid.uuid4().hex[:16]
        self.data = dataset(CT, self.instance, self.study, self.series, pixels=self.pixels,
                            extra=element(0x00204000, self.mark.encode()))


def series_of(count, study=None, **kw):
    study = study or generate_uid()
    return [Marked(study, **kw) for _ in range(count)]


class Process:
    """A dicomweb, asked as a browser asks that keeps what it was told."""

    def __init__(self, stack, address, head):
        self.address, self.known = address, {}
        self.session = stack.session()
        self.session.headers.update({"Accept": JSON, **head})

    def get(self, path, encoding="identity", **head):
        answer = self.session.get(self.address + "/dicom-web" + path, timeout=60, stream=True,
                                  headers={"Accept-Encoding": encoding, **head})
        answer.raw_body = answer.raw.read(decode_content=False)
        return answer

    def metadata(self, path, encoding):
        """The objects; as they were when it says so."""
        known = self.known.get((path, encoding))
        answer = self.get(path, encoding, **({"If-None-Match": known[0]} if known else {}))
        if answer.status_code == 304:
            assert answer.raw_body == b"" and known
            return known[1]
        if answer.status_code == 404:
            return []
        assert answer.status_code == 200, answer.raw_body
        assert answer.headers.get("Content-Encoding", "identity") == encoding
        body = gzip.decompress(answer.raw_body) if encoding == "gzip" else answer.raw_body
        self.known[path, encoding] = answer.headers["ETag"], json.loads(body)
        return self.known[path, encoding][1]


class Two:
    """The stack's own dicomweb behind nginx, and another one that nobody told of anything."""

    def __init__(self, stack):
        self.archive = Archive(stack)
        self.second = None
        self.start_second(stack)
        gate = (stack.data / "run/gate").read_text().strip()
        there = f"http://127.0.0.1:{stack.port + SECOND['ZPACS_DICOMWEB_ADDRESS']}"
        self.processes = [Process(stack, stack.base, {}), Process(stack, there, {
            "X-Zpacs-Gate": gate, "Host": f"127.0.0.1:{stack.port}"})]

    def start_second(self, stack):
        """As supervisord starts the first: the same command, user and environment, but for addresses."""
        config = configparser.RawConfigParser()
        config.read_string((stack.data / "run/supervisord.conf").read_text())
        with open(f"/proc/{stack.pid('dicomweb')}/environ") as file:
            environment = dict(line.split("=", 1) for line in file.read().split("\0") if "=" in line)
        environment.update({name: f"127.0.0.1:{stack.port + offset}" for name, offset in SECOND.items()})
        owner = stack.data.stat()
        user = {"user": owner.st_uid, "group": owner.st_gid, "extra_groups": []} if os.getuid() == 0 else {}
        with open(stack.folder / "second-dicomweb.log", "ab") as log:
            self.second = subprocess.Popen(shlex.split(config["program:dicomweb"]["command"]), env=environment, cwd="/",
                                           stdin=subprocess.DEVNULL, stdout=log, stderr=log, umask=0o077, **user)

        def is_there():
            try:
                return metrics(stack.port + SECOND["ZPACS_ADMIN"])
            except OSError:
                return False

        wait_until(is_there, 20, lambda: "the second dicomweb does not start")

    def stop(self):
        self.second.terminate()
        self.second.wait(30)

    def check(self, study, *images):
        """At once and everywhere: exactly these, of the study and of each of its series; an image is what it says, or
        (SOP Instance UID, what it says)."""
        expected = {(image.instance, image.mark) if isinstance(image, Image) else image for image in images}
        paths = [f"/studies/{study}/metadata"]
        for series in self.series | {image.series for image in images if isinstance(image, Image)}:
            self.series.add(series)
            paths.append(f"/studies/{study}/series/{series}/metadata")
        for process in self.processes:
            for encoding in ("identity", "gzip"):
                found = [[self.said(item) for item in process.metadata(path, encoding)] for path in paths]
                assert set(found[0]) == expected and len(found[0]) == len(expected)
                assert sorted(found[0]) == sorted(sum(found[1:], []))
            for instance, mark in expected:
                [series] = [p for p, items in zip(paths[1:], found[1:]) if (instance, mark) in items]
                path = series.replace("/metadata", f"/instances/{instance}/metadata")
                assert [self.said(item) for item in process.metadata(path, "identity")] == [(instance, mark)]

    def begin(self):
        self.series = set()

    @staticmethod
    def said(item):
        return item["00080018"]["Value"][0], item["00204000"]["Value"][0]


@pytest.fixture(scope="module", params=["one index", "two replicas"])
def two(request):
    if request.param == "one index":
        with Stack() as stack:
            both = Two(stack)
            yield both
            both.stop()
    else:
        with Postgres() as postgres, Replicas(postgres.uri) as replicas:
            both = Two(replicas.stack)
            yield both
            both.stop()


@pytest.fixture
def archive(stack):
    return Archive(stack)


# ---- never old ------------------------------------------------------------------------------------

def test_no_change_is_missed(two):
    archive, study = two.archive, generate_uid()
    two.begin()
    a, b, c = series_of(3, study)
    d = Marked(study, series=f"{study[:60].rstrip('.')}.2")
    archive.store(a, b)
    two.check(study, a, b)
    archive.store(c)
    two.check(study, a, b, c)
    archive.store(d)
    two.check(study, a, b, c, d)

    assert archive.delete(study, b.series, b.instance) == 204
    two.check(study, a, c, d)
    archive.stack.zpacs("undelete", study, b.series, b.instance)
    two.check(study, a, b, c, d)
    archive.stack.zpacs("delete", study, a.series)
    two.check(study, d)
    archive.stack.zpacs("undelete", study, a.series)
    two.check(study, a, b, c, d)
    assert archive.delete(study) == 204
    two.check(study)
    assert archive.api("POST", f"/studies/{study}/undelete").json()["instances"] == 4
    two.check(study, a, b, c, d)
    archive.store(a)  # the same bytes once more
    two.check(study, a, b, c, d)


@pytest.mark.parametrize("outcome", ["keep", "replace", "both"])
def test_a_conflict_shows_when_it_is_resolved(two, outcome):
    archive, study = two.archive, generate_uid()
    two.begin()
    first, other = series_of(2, study)
    second = Marked(study, instance=first.instance)
    archive.store(first, other)
    two.check(study, first, other)
    archive.store(second)

    def conflicts():
        return [c for c in archive.api("GET", "/conflicts").json()["conflicts"] if c["instance"] == first.instance]

    wait_until(conflicts)
    two.check(study, first, other)
    answer = archive.api("POST", f"/conflicts/{first.instance}", outcome=outcome)
    assert answer.status_code == 200, answer.text
    if outcome == "both":
        two.check(study, first, other, (answer.json()["made"], second.mark))
    else:
        two.check(study, second if outcome == "replace" else first, other)


def test_it_stays_the_same_when_bytes_move():
    """Compaction gives the records another place, a rebuild begins the versions anew."""
    with Stack(ZPACS_COMPACT_AFTER_SECONDS="1", ZPACS_RETIRE_GRACE_SECONDS="1") as stack:
        both = Two(stack)
        archive, study = both.archive, generate_uid()
        both.begin()
        images = series_of(4, study)
        archive.store(*images)
        both.check(study, *images)
        etag = both.processes[1].known[f"/studies/{study}/metadata", "gzip"][0]
        stack.zpacs("reindex")
        wait_until(lambda: all(archive.is_known(image) for image in images))
        both.check(study, *images)
        assert both.processes[1].known[f"/studies/{study}/metadata", "gzip"][0] == etag
        assert archive.delete(study, images[0].series, images[0].instance) == 204
        both.check(study, *images[1:])
        both.stop()
        archive.restart()
        wait_until(lambda: archive.packs_with(images[0]) == 0, 25)
        again = Two(stack)
        again.begin()
        again.check(study, *images[1:])
        again.check(study, *images[1:])
        again.stop()


# ---- forms and validators -------------------------------------------------------------------------

@pytest.fixture(scope="module")
def some(stack):
    """Paths of a study of two series, of one of them and of an instance."""
    archive, study = Archive(stack), generate_uid()
    images = series_of(20, study) + series_of(3, study, series=study[:60].rstrip(".") + ".7")
    archive.store(*images)
    one = images[0]
    return [f"/studies/{study}", f"/studies/{study}/series/{one.series}",
            f"/studies/{study}/series/{one.series}/instances/{one.instance}"]


@pytest.mark.parametrize("level", range(3))
def test_gzip_holds_the_same(stack, some, level):
    process, path = Process(stack, stack.base, {}), some[level] + "/metadata"
    for _ in range(2):  # made, and from memory
        plain, packed = process.get(path), process.get(path, "br, gzip")
        assert "Content-Encoding" not in plain.headers
        assert packed.headers["Content-Encoding"] == "gzip"  # once: nginx does not do it again
        assert gzip.decompress(packed.raw_body) == plain.raw_body
        assert len(packed.raw_body) < len(plain.raw_body)
        assert int(packed.headers["Content-Length"]) == len(packed.raw_body)
        assert int(plain.headers["Content-Length"]) == len(plain.raw_body)
        assert len(json.loads(plain.raw_body)) == [23, 20, 1][level]
        for answer in (plain, packed):
            assert answer.headers["Vary"] == "Accept, Accept-Encoding"
            assert answer.headers["Cache-Control"] == "private, no-cache"
    assert process.get(path, "gzip;q=0").raw_body == plain.raw_body


@pytest.mark.parametrize("level", range(3))
def test_what_is_known_is_not_sent_again(stack, some, level):
    process, path = Process(stack, stack.base, {}), some[level] + "/metadata"
    plain, packed = process.get(path).headers["ETag"], process.get(path, "gzip").headers["ETag"]
    assert plain.startswith('"') and packed == "W/" + plain
    for encoding, known in (("identity", plain), ("gzip", packed), ("gzip", f'"x", {plain}'), ("identity", "*")):
        answer = process.get(path, encoding, **{"If-None-Match": known})
        assert (answer.status_code, answer.raw_body) == (304, b"")
        assert answer.headers["ETag"] == (packed if encoding == "gzip" else plain)
        assert answer.headers["Vary"] == "Accept, Accept-Encoding"
    for other in ('"x"', plain[:-2] + '"', plain.strip('"')):
        assert process.get(path, **{"If-None-Match": other}).status_code == 200
    for form in ("application/json", XML):
        assert process.get(path, **{"If-None-Match": plain, "Accept": form}).status_code == 200
    xml = process.get(path, **{"Accept": XML})
    assert xml.headers["ETag"].startswith("W/") and "Content-Encoding" not in xml.headers
    assert xml.raw_body.count(b"<NativeDicomModel") == [23, 20, 1][level]


def test_head_says_how_long_it_is(stack, some):
    with stack.session() as session:
        for encoding in ("identity", "gzip"):
            head = {"Accept": JSON, "Accept-Encoding": encoding}
            length = session.head(stack.web + some[1] + "/metadata", headers=head).headers["Content-Length"]
            body = session.get(stack.web + some[1] + "/metadata", headers=head, stream=True).raw
            assert int(length) == len(body.read(decode_content=False)) > 0


# ---- what it takes --------------------------------------------------------------------------------

def test_many_who_ask_first_have_it_made_once(archive):
    stack, images = archive.stack, series_of(100)
    archive.store(*images)
    path = f"/studies/{images[0].study}/series/{images[0].series}/metadata"
    before = metrics(stack.port + 13).get("zpacs_metadata_built_total", 0)
    answers, barrier = [], threading.Barrier(8)

    def ask():
        process = Process(stack, stack.base, {})
        barrier.wait()
        answers.append(gzip.decompress(process.get(path, "gzip").raw_body))

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(answers) == 8 and len(set(answers)) == 1 and len(json.loads(answers[0])) == 100
    assert metrics(stack.port + 13)["zpacs_metadata_built_total"] == before + 1


def bytes_read(pid):
    with open(f"/proc/{pid}/io") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("rchar"))


def test_pixels_are_not_read(archive):
    images = series_of(40, pixels=100_000)
    archive.store(*images)
    process, pid = Process(archive.stack, archive.stack.base, {}), archive.stack.pid("dicomweb")
    before = bytes_read(pid)
    answer = process.get(f"/studies/{images[0].study}/metadata")
    read = bytes_read(pid) - before
    headers = sum(len(image.data) - len(image.pixels) for image in images)
    assert len(json.loads(answer.raw_body)) == 40
    assert headers <= read < headers + 400_000  # of 4,000,000; /proc and the admin port are read meanwhile


LIMIT = 400_000  # bytes; a series may have an eighth


@pytest.fixture(scope="module")
def small():
    with Stack(ZPACS_METADATA_CACHE_BYTES=str(LIMIT)) as stack:
        yield Archive(stack)


def test_memory_has_its_limit(small):
    process, admin = Process(small.stack, small.stack.base, {}), small.stack.port + 13
    studies = [series_of(20) for _ in range(30)]
    small.store(*sum(studies, []))
    for _ in range(2):
        for images in studies:
            for encoding in ("identity", "gzip"):
                items = process.metadata(f"/studies/{images[0].study}/metadata", encoding)
                assert {Two.said(item) for item in items} == {(image.instance, image.mark) for image in images}
            assert metrics(admin)["zpacs_metadata_bytes"] <= LIMIT
        process.known.clear()
    told = metrics(admin)
    assert LIMIT / 2 < told["zpacs_metadata_bytes"] and told["zpacs_metadata_built_total"] > len(studies)


def test_what_is_too_large_is_sent_as_it_is_made(small):
    """Beside a series that is kept; what comes is the same, and so is how it is named."""
    study = generate_uid()
    large, little = series_of(150, study), series_of(3, study, series=study[:60].rstrip(".") + ".9")
    small.store(*large, *little)
    process = Process(small.stack, small.stack.base, {})
    for path, images in ((f"/studies/{study}/series/{large[0].series}/metadata", large),
                         (f"/studies/{study}/metadata", large + little)):
        plain, packed = process.get(path), process.get(path, "gzip")
        assert plain.headers["Transfer-Encoding"] == "chunked"
        assert gzip.decompress(packed.raw_body) == plain.raw_body
        items = json.loads(plain.raw_body)
        assert sorted(map(Two.said, items)) == sorted((image.instance, image.mark) for image in images)
        assert process.get(path, **{"If-None-Match": plain.headers["ETag"]}).status_code == 304
        assert process.get(path, **{"Accept": XML}).raw_body.count(b"<NativeDicomModel") == len(images)
    assert metrics(small.stack.port + 13)["zpacs_metadata_bytes"] <= LIMIT
