"""Objects far larger than the memory that a service may take, in and out in every way.

ZPACS_TEST_LARGE=1 has them of 2 GiB, of the largest value that has a length (4 GiB - 2), and of over 4 GiB too. With -s each step prints a row of docs/performance.md, "Large objects".
"""
import hashlib
import http.client
import os
import struct
import time
from functools import cached_property

import pytest
from dimse_client import EXPLICIT, Association
from memory import SERVICES, Watch
from pydicom.uid import generate_uid
from stack import Stack, wait_until

SOP_CLASS = "1.2.840.10008.5.1.4.1.1.7.3"  # Multi-frame Grayscale Word Secondary Capture
JPEG_2000 = "1.2.840.10008.1.2.4.90"
ROWS, COLUMNS = 512, 1024
FRAME = 2 * ROWS * COLUMNS
FRAGMENT = 64 * 1024
HELD_MIB_MAX = 100  # by all processes of a service together
MIB = 1 << 20
IS_LARGE = os.environ.get("ZPACS_TEST_LARGE") == "1"
SIZES = [300 * MIB] + [2048 * MIB] * IS_LARGE
LONGEST_VALUE = 0xFFFFFFFE  # even, and not the mark of an undefined length.  PS3.5 7.1.1
OVER_4_GIB = 4352 * MIB
RANDOM = os.urandom(FRAME)
SOC, EOC = b"\xff\x4f\xff\x51", b"\xff\xd9"  # a JPEG 2000 codestream begins and ends so


def element(tag, vr, value):
    """In Explicit VR Little Endian; vr of two letters with a short length, or OV."""
    if len(value) % 2:
        value += b"\0" if vr == "UI" else b" "
    if vr == "OV":
        return struct.pack("<HH2sHI", tag >> 16, tag & 0xFFFF, b"OV", 0, len(value)) + value
    return struct.pack("<HH2sH", tag >> 16, tag & 0xFFFF, vr.encode(), len(value)) + value


def item(tag, length):
    return struct.pack("<HHI", tag >> 16, tag & 0xFFFF, length)


class Large:
    """A multi-frame object that is made while it is sent. Each frame has its number in it.

    native      frames, and behind the last one what is left of size
    basic       a frame in many fragments, a Basic Offset Table (of 32 bits, so up to 4 GiB)     PS3.5 A.4
    extended    a frame in one fragment, Extended Offset Tables                                  PS3.3 C.7.6.3.1.8
    no_table    a frame in many fragments: they begin and end with a codestream's marks
    """

    def __init__(self, size, form):
        self.form, self.frames, self.rest = form, size // FRAME, size % FRAME
        self.syntax = EXPLICIT if form == "native" else JPEG_2000
        self.study, self.series, self.instance = generate_uid(), generate_uid(), generate_uid()

    def frame(self, index):
        return SOC + struct.pack("<Q", index) + RANDOM[12:-2] + EOC

    def head(self):
        texts = [(0x00080016, "UI", SOP_CLASS), (0x00080018, "UI", self.instance), (0x00080060, "CS", "OT"),
                 (0x00100010, "PN", "Large^Object"), (0x00100020, "LO", "LARGE"), (0x0020000D, "UI", self.study),
                 (0x0020000E, "UI", self.series), (0x00280002, 1), (0x00280004, "CS", "MONOCHROME2"),
                 (0x00280008, "IS", str(self.frames)), (0x00280010, ROWS), (0x00280011, COLUMNS), (0x00280100, 16),
                 (0x00280101, 16), (0x00280102, 15), (0x00280103, 0)]
        return b"".join(element(row[0], row[1], row[2].encode()) if len(row) == 3 else
                        element(row[0], "US", struct.pack("<H", row[1])) for row in texts)

    def pieces(self):
        """The dataset."""
        yield self.head()
        if self.form == "native":
            yield struct.pack("<HH2sHI", 0x7FE0, 0x0010, b"OW", 0, self.frames * FRAME + self.rest)
            yield from map(self.frame, range(self.frames))
            yield RANDOM[:self.rest]
            return
        fragment = FRAME if self.form == "extended" else FRAGMENT
        offsets = [index * (FRAME + FRAME // fragment * 8) for index in range(self.frames)]
        if self.form == "extended":
            yield element(0x7FE00001, "OV", struct.pack(f"<{self.frames}Q", *offsets))
            yield element(0x7FE00002, "OV", struct.pack("<Q", FRAME) * self.frames)
        table = struct.pack(f"<{self.frames}I", *offsets) if self.form == "basic" else b""
        yield struct.pack("<HH2sHI", 0x7FE0, 0x0010, b"OB", 0, 0xFFFFFFFF) + item(0xFFFEE000, len(table)) + table
        for index in range(self.frames):
            frame = self.frame(index)
            yield b"".join(item(0xFFFEE000, fragment) + frame[at:at + fragment] for at in range(0, FRAME, fragment))
        yield item(0xFFFEE0DD, 0)

    @cached_property
    def length_and_hash(self):
        digest, length = hashlib.sha256(), 0
        for piece in self.pieces():
            digest.update(piece)
            length += len(piece)
        return length, digest.hexdigest()


# ---- in -------------------------------------------------------------------------------------------
def send_by_dimse(stack, large):
    with Association(stack.dicom_port, [(SOP_CLASS, [large.syntax])], timeout=120) as association:
        association.begin_store(SOP_CLASS, large.instance)
        size = association.peer_max - 6
        for piece in large.pieces():
            for at in range(0, len(piece), size):
                association.send_dataset(1, piece[at:at + size], size, last=False)
        association.send_dataset(1, b"")
        answer = association.read_answer()
        assert answer.status == 0, (hex(answer.status), answer.comment)
        assert association.release()


def file_meta(large):
    body = element(0x00020002, "UI", SOP_CLASS.encode()) + element(0x00020003, "UI", large.instance.encode()) + \
        element(0x00020010, "UI", large.syntax.encode()) + element(0x00020012, "UI", b"1.2.3.4")
    version = struct.pack("<HH2sHI", 2, 1, b"OB", 0, 2) + b"\0\1"
    return b"\0" * 128 + b"DICM" + element(0x00020000, "UL", struct.pack("<I", len(version + body))) + version + body


def send_by_stow(stack, large):
    head = b"--BOUND\r\nContent-Type: application/dicom\r\n\r\n" + file_meta(large)
    end = b"\r\n--BOUND--\r\n"

    def body():
        yield head
        yield from large.pieces()
        yield end

    connection = http.client.HTTPConnection("127.0.0.1", stack.port, timeout=300)
    connection.request("POST", "/dicom-web/studies", body(), {
        "Authorization": f"Bearer {stack.token}", "Accept": "application/dicom+json",
        "Content-Type": 'multipart/related; type="application/dicom"; boundary=BOUND',
        "Content-Length": str(len(head) + large.length_and_hash[0] + len(end))})
    answer = connection.getresponse()
    assert answer.status == 200, answer.read()
    connection.close()


# ---- out ------------------------------------------------------------------------------------------
def get(session, url, accept, **headers):
    answer = session.get(url, headers={"Accept": accept, **headers}, stream=True, timeout=300)
    assert answer.status_code in (200, 206), answer.text
    return answer


def read_instance(session, url, large):
    """All of it, as a file: its dataset is what was sent, byte for byte."""
    answer = get(session, url, "application/dicom; transfer-syntax=*")
    length, want = large.length_and_hash
    head = int(answer.headers["Content-Length"]) - length
    assert 128 < head < 4096
    digest = hashlib.sha256()
    for block in answer.iter_content(MIB):
        digest.update(block[head:])
        head = max(0, head - len(block))
    assert digest.hexdigest() == want
    return length


def read_frame(session, url, large, index):
    started = time.monotonic()
    answer = get(session, f"{url}/frames/{index + 1}", "application/octet-stream; transfer-syntax=*")
    got = answer.raw.read(1)
    print(f"first byte of frame {index + 1} after {1000 * (time.monotonic() - started):.0f} ms")
    assert got + answer.raw.read() == large.frame(index)
    return FRAME


def read_middle_frame(session, url, large):
    return read_frame(session, url, large, large.frames // 2)


def read_last_frame(session, url, large):
    return read_frame(session, url, large, large.frames - 1)


def read_bulk_data(session, url, large):
    """Native: a range across frames. Encapsulated: all frames, as parts."""
    url += "/bulkdata/7FE00010"
    if large.form == "native":
        first = large.frames // 2 * FRAME - 1000
        answer = get(session, url, "application/octet-stream", Range=f"bytes={first}-{first + FRAME - 1}")
        assert answer.status_code == 206
        assert answer.content == (large.frame(large.frames // 2 - 1)[-1000:] + large.frame(large.frames // 2))[:FRAME]
        return FRAME
    answer = get(session, url, 'multipart/related; type="application/octet-stream"; transfer-syntax=*')
    boundary = answer.headers["Content-Type"].split("boundary=")[1].encode()
    length = 0
    for number, block in enumerate(parts_of(answer, boundary)):
        assert block == large.frame(number)
        length += len(block)
    assert length == large.frames * FRAME
    return length


def parts_of(answer, boundary):
    """The bodies of the parts, of a frame each, without holding more than one."""
    buffer, delimiter = b"", b"--" + boundary
    for block in answer.iter_content(MIB):
        buffer += block
        while (at := buffer.find(b"\r\n\r\n")) >= 0 and len(buffer) >= at + 4 + FRAME:
            assert buffer[:at].lstrip(b"\r\n").startswith(delimiter)
            yield buffer[at + 4:at + 4 + FRAME]
            buffer = buffer[at + 4 + FRAME:]
    assert buffer == b"\r\n" + delimiter + b"--\r\n"


# ---- the test -------------------------------------------------------------------------------------
@pytest.fixture(scope="module")
def archive():
    with Stack() as stack:
        yield stack


def watched(stack, title, action):
    """Runs action, which returns bytes; nobody may have held more than the limit meanwhile."""
    with Watch(stack) as watch:
        started = time.monotonic()
        length = action()
        seconds = time.monotonic() - started
    print(f"| {title} | {length / MIB / seconds:.0f} | {seconds:.2f} | " +
          " | ".join(f"{watch.held[service]:.1f} ({watch.resident[service]:.0f})" for service in SERVICES) + " |")
    assert max(watch.held.values()) < HELD_MIB_MAX, (title, dict(watch.held))


def in_and_out(archive, large, send):
    length, _ = large.length_and_hash
    kind = f"{length // MIB} MiB {large.form}"
    url = f"{archive.web}/studies/{large.study}/series/{large.series}/instances/{large.instance}"
    with archive.session() as session:
        def send_and_see():
            send(archive, large)
            wait_until(lambda: session.get(url + "/metadata").status_code == 200)
            return length

        print()
        watched(archive, f"{kind}: {send.__name__}", send_and_see)
        for read in (read_middle_frame, read_last_frame, read_instance, read_bulk_data):
            watched(archive, f"{kind}: {read.__name__}", lambda: read(session, url, large))


@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size // MIB}MiB")
@pytest.mark.parametrize("form", ["native", "basic"])
@pytest.mark.parametrize("send", [send_by_dimse, send_by_stow])
def test_in_and_out(archive, size, form, send):
    in_and_out(archive, Large(size, form), send)


@pytest.mark.parametrize("form", ["extended", "no_table"])
def test_other_tables_of_frames(archive, form):
    in_and_out(archive, Large(300 * MIB, form), send_by_dimse)


@pytest.mark.skipif(not IS_LARGE, reason="ZPACS_TEST_LARGE=1 has it: it takes minutes and 5 GiB")
@pytest.mark.parametrize("size, form, send", [
    (LONGEST_VALUE, "native", send_by_dimse), (LONGEST_VALUE, "native", send_by_stow),
    (OVER_4_GIB, "extended", send_by_dimse), (OVER_4_GIB, "no_table", send_by_stow)])
def test_where_32_bits_end(size, form, send):
    with Stack() as archive:  # of its own: what it holds goes with it
        in_and_out(archive, Large(size, form), send)
