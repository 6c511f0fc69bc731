"""What strangers send: no process dies, nobody else waits, memory and descriptors come back.

THREATS: deep sequences, bombs, lying lengths, boundary tricks, names that are paths or scripts,
mangled files, junk on every socket, slow and silent clients, associations that break off.
"""
import json
import os
import random
import re
import socket
import struct
import threading
import time
import urllib.parse
import zlib

import pytest
from dimse_client import (EXPLICIT, IMPLICIT, SECONDARY_CAPTURE, VERIFICATION, Association, Ended, Refused, element,
                          pdu, pdv)
from stack import ADMIN_OFFSET, SERVICES, Stack, wait_until

DEFLATED = "1.2.840.10008.1.2.1.99"
MEMORY_MAX = 32 << 20
# Of connections kept for the next request: to nginx, and those of dicomweb to the index, at most 32
# (index_connections), of which each has some sockets at either end.
DESCRIPTORS_MORE = {"index": 60 + 32 * 2, "dimse": 60, "dicomweb": 60 + 32 * 8, "nginx": 60}
CANNOT_UNDERSTAND = 0xC000
HONEST = "127.0.0.2"  # the limit per address is for the strangers alone
UNDEFINED = 0xFFFFFFFF
dice = random.Random(20261124)


# ---- the watch: what the services are and hold -----------------------------------------------------

def children(pid):
    found = []
    for task in os.listdir(f"/proc/{pid}/task"):
        for child in open(f"/proc/{pid}/task/{task}/children").read().split():
            found += [int(child), *children(int(child))]
    return found


def private_bytes(pid):
    """Memory of the process's own: what it maps of packs is the page cache's."""
    rows = dict(line.split(":", 1) for line in open(f"/proc/{pid}/status") if ":" in line)
    return int(rows["RssAnon"].split()[0]) << 10


def births(pids):
    """When each was started: a number that comes again is another process."""
    found = {}
    for service, pid in pids.items():
        try:
            found[service] = open(f"/proc/{pid}/stat").read().rsplit(")", 1)[1].split()[19]
        except FileNotFoundError:
            found[service] = None
    return found


def inventory(pids):
    """{service: (memory, descriptors, number of processes)} of each service with its children."""
    found = {}
    for service, pid in pids.items():
        family = [pid, *children(pid)]
        found[service] = (sum(map(private_bytes, family)),
                          sum(len(os.listdir(f"/proc/{p}/fd")) for p in family), len(family))
    return found


def settled(pids):
    """The inventory, or None while a child is ending or a connection is being served."""
    try:
        return inventory(pids)
    except (FileNotFoundError, ProcessLookupError, KeyError):
        return None


# Mangled files keep the UIDs of the good ones: in the shared stack they would be the first of their
# name, and the good ones conflicts.
@pytest.fixture(scope="module")
def stack():
    with Stack() as one:
        yield one


@pytest.fixture(scope="module")
def web(stack):
    with stack.session() as session:
        yield session


@pytest.fixture(scope="module", autouse=True)
def warm(stack, web):
    """First calls fill caches and start threads; what comes later must not."""
    stack.wait_healthy()
    pids = {service: stack.pid(service) for service in SERVICES}
    for _ in range(20):
        upload(stack, web, [part10(instance())])
        web.get(stack.web + "/studies", timeout=30)
    echo(stack)
    hold_readers(stack, web, 64)  # connections to the index are kept for the next readers
    seen = [None]

    def is_at_rest():
        time.sleep(1)
        before, seen[0] = seen[0], {service: row[1:] for service, row in (settled(pids) or {}).items()}
        return seen[0] and seen[0] == before
    wait_until(is_at_rest, 30)
    return pids


@pytest.fixture(autouse=True)
def watch(stack, warm):
    """Every test here leaves the same processes, idle, no fatter, with no more descriptors."""
    wait_until(lambda: settled(warm))
    before, family = births(warm), settled(warm)
    watch.seen = None
    yield
    assert births(warm) == before, "a service died"

    def is_back():
        now = settled(warm)
        if not now:
            return False
        watch.seen = now
        return all(now[s][0] - family[s][0] < MEMORY_MAX and now[s][1] <= family[s][1] + DESCRIPTORS_MORE[s] and
                   now[s][2] == family[s][2] for s in SERVICES)
    wait_until(is_back, 20, lambda: f"before {family}, after {watch.seen}")
    stack.wait_healthy(seconds=10)


def upload(stack, web, files, **more):
    body = b"".join(b"\r\n--B\r\nContent-Type: application/dicom\r\n\r\n" + f for f in files) + b"\r\n--B--\r\n"
    return post(stack, web, body, **more)


def post(stack, web, body, boundary="B", headers=None, timeout=60):
    return web.post(stack.web + "/studies", data=body, timeout=timeout, headers={
        "Accept": "application/dicom+json",
        "Content-Type": f'multipart/related; type="application/dicom"; boundary={boundary}', **(headers or {})})


def reasons(answer):
    """Why instances were refused: with and without a name of theirs.  PS3.18 table I.2-1"""
    report = answer.json()
    return [item["00081197"]["Value"][0] for tag in ("00081198", "0008119A") for item in report.get(tag, {}).get("Value", [])]


def echo(stack, seconds=20):
    with Association(stack.dicom_port, [(VERIFICATION, [IMPLICIT])], timeout=seconds, source=HONEST) as peer:
        assert peer.echo() == 0


def assert_others_are_served(stack, seconds=2):
    """A C-ECHO and a QIDO answer of somebody else come in time."""
    start = time.monotonic()
    echo(stack, seconds)
    with stack.session() as session:
        assert session.get(stack.web + "/studies?limit=5", timeout=seconds).status_code == 200
    assert time.monotonic() - start < 2 * seconds


# ---- datasets -----------------------------------------------------------------------------------

def explicit(tag, vr, value, pad=b"\0"):
    value += pad * (len(value) % 2)
    if vr in (b"OB", b"OW", b"SQ", b"UN", b"UT"):
        return struct.pack("<HH2sHI", tag >> 16, tag & 0xFFFF, vr, 0, len(value)) + value
    return struct.pack("<HH2sH", tag >> 16, tag & 0xFFFF, vr, len(value)) + value


def instance(tail=b"", uid=None, study=None, series=None, name=b"Hostile^Test", patient=b"H1", implicit=False):
    """A small dataset; tail: elements behind (0020,000E)."""
    uid = uid if uid is not None else new_uid().encode()
    rows = [(0x00080016, b"UI", SECONDARY_CAPTURE.encode()), (0x00080018, b"UI", uid), (0x00080060, b"CS", b"OT"),
            (0x00100010, b"PN", name), (0x00100020, b"LO", patient),
            (0x0020000D, b"UI", study if study is not None else new_uid().encode()),
            (0x0020000E, b"UI", series if series is not None else new_uid().encode())]
    if implicit:
        return b"".join(element(tag, value) for tag, _, value in rows) + tail
    return b"".join(explicit(tag, vr, value, b"\0" if vr == b"UI" else b" ") for tag, vr, value in rows) + tail


def new_uid():
    return "2.25.%d" % dice.getrandbits(100)


def uid_of(dataset, tag, implicit=False):
    at = dataset.index(struct.pack("<HH", tag >> 16, tag & 0xFFFF)) + (8 if implicit else 8)
    length = struct.unpack_from("<I" if implicit else "<H", dataset, at - (4 if implicit else 2))[0]
    return dataset[at:at + length].rstrip(b"\0").decode()


def part10(dataset, syntax=EXPLICIT):
    meta = explicit(0x00020010, b"UI", syntax.encode())
    return b"\0" * 128 + b"DICM" + explicit(0x00020000, b"UL", struct.pack("<I", len(meta))) + meta + dataset


ITEM, ITEM_END, SEQUENCE_END = (struct.pack("<HH", 0xFFFE, n) for n in (0xE000, 0xE00D, 0xE0DD))
CONTENT = struct.pack("<HH", 0x0040, 0xA730)  # a sequence of the dictionary
PRIVATE = struct.pack("<HH", 0x0041, 0x1001)


def undefined(head):
    return head + struct.pack("<I", UNDEFINED) + ITEM + struct.pack("<I", UNDEFINED)


def defined(depth, head):
    """Levels of defined length, the outermost first."""
    size = len(head) + 12
    return b"".join([head + struct.pack("<I", size * (depth - k) - len(head) - 4) + ITEM +
                     struct.pack("<I", size * (depth - k - 1)) for k in range(depth)])


CLOSE = ITEM_END + b"\0\0\0\0" + SEQUENCE_END + b"\0\0\0\0"
EXPLICIT_SQ, PRIVATE_UN, CONTENT_UN = CONTENT + b"SQ\0\0", PRIVATE + b"UN\0\0", CONTENT + b"UN\0\0"


def un_defined(depth):
    inner = defined(depth - 1, CONTENT)
    item = ITEM + struct.pack("<I", len(inner)) + inner
    return CONTENT_UN + struct.pack("<I", len(item)) + item


NESTED = {
    "explicit undefined": (EXPLICIT, lambda n: undefined(EXPLICIT_SQ) * n + CLOSE * n),
    "explicit defined": (EXPLICIT, lambda n: defined(n, EXPLICIT_SQ)),
    "implicit undefined": (IMPLICIT, lambda n: undefined(CONTENT) * n + CLOSE * n),
    "implicit defined": (IMPLICIT, lambda n: defined(n, CONTENT)),
    "UN undefined": (EXPLICIT, lambda n: undefined(PRIVATE_UN) + undefined(CONTENT) * (n - 1) + CLOSE * n),
    "UN defined": (EXPLICIT, un_defined),
    "never closed": (EXPLICIT, lambda n: undefined(EXPLICIT_SQ) * n),
}


def nested(form, depth):
    syntax, make = NESTED[form]
    return instance(make(depth), implicit=syntax == IMPLICIT), syntax


def store(stack, dataset, syntax, **more):
    with Association(stack.dicom_port, [(SECONDARY_CAPTURE, [syntax])], **more) as peer:
        answer = peer.store(SECONDARY_CAPTURE, uid_of(dataset, 0x00080018, syntax == IMPLICIT), dataset, fragment=100_000)
        assert peer.release()
        return answer.status


DEPTHS = [(form, depth) for form in NESTED for depth in (65, 1000, 30_000)] + \
    [(form, 1_000_000) for form in ("explicit undefined", "implicit defined", "UN undefined")]


@pytest.mark.parametrize("form, depth", DEPTHS)
def test_deep_sequences_are_refused(stack, web, form, depth):
    dataset, syntax = nested(form, depth)
    assert store(stack, dataset, syntax) == CANNOT_UNDERSTAND
    answer = upload(stack, web, [part10(dataset, syntax)])
    assert answer.status_code == 409 and reasons(answer) == [CANNOT_UNDERSTAND]


@pytest.mark.parametrize("form", [f for f in NESTED if f != "never closed"])
def test_sequences_as_deep_as_allowed_are_stored_and_shown(stack, web, form):
    for send in (lambda d, s: store(stack, d, s) == 0,
                 lambda d, s: upload(stack, web, [part10(d, s)]).status_code in (200, 202)):
        dataset, syntax = nested(form, 64)
        assert send(dataset, syntax)
        study = uid_of(dataset, 0x0020000D, syntax == IMPLICIT)
        wait_until(lambda: web.get(f"{stack.web}/studies?StudyInstanceUID={study}", timeout=10).json())
        answer = web.get(f"{stack.web}/studies/{study}/metadata", timeout=10)
        assert answer.status_code == 200
        assert answer.text.count('"SQ"') == 64


def test_import_skips_deep_sequences(stack, tmp_path):
    tmp_path.chmod(0o755)
    for number, (form, depth) in enumerate([*DEPTHS, ("explicit undefined", 64), ("UN defined", 64)]):
        dataset, syntax = nested(form, depth)
        (tmp_path / f"{number}.dcm").write_bytes(part10(dataset, syntax))
    result = stack.zpacs("import", tmp_path, check=False)
    said = result.stdout + result.stderr
    assert result.returncode in (0, 1) and "2 stored" in said and f"{len(DEPTHS)} skipped" in said, said


# ---- bombs and lying lengths ------------------------------------------------------------------------

def deflate_bomb(total, filler=0):
    """An instance whose pixel data unfold to total bytes; filler: random bytes in each MiB, against the ratio."""
    unit = bytes(dice.getrandbits(8) for _ in range(filler)) + b"\0" * ((1 << 20) - filler)
    head = zlib.compressobj(9, zlib.DEFLATED, -15)
    dataset = instance(struct.pack("<HH2sHI", 0x7FE0, 0x0010, b"OB", 0, total))
    start = head.compress(dataset) + head.flush(zlib.Z_FULL_FLUSH)
    block = zlib.compressobj(9, zlib.DEFLATED, -15)
    again = block.compress(unit) + block.flush(zlib.Z_FULL_FLUSH)
    return dataset, start + again * (total >> 20) + b"\x03\0"


@pytest.mark.parametrize("total, filler", [(3 << 30, 0), (1 << 30, 6000)], ids=["by its ratio", "by its size"])
def test_deflate_bomb_is_refused(stack, web, warm, total, filler):
    dataset, packed = deflate_bomb(total, filler)
    assert filler == 0 or total / len(packed) < 200
    pid = warm["dicomweb"]
    with open(f"/proc/{pid}/clear_refs", "w") as file:
        file.write("5")  # the peak is counted from here
    before = private_bytes(pid)
    answer = upload(stack, web, [part10(packed, DEFLATED)])
    assert answer.status_code == 409 and reasons(answer) == [CANNOT_UNDERSTAND]
    peak = int(re.search(r"VmHWM:\s+(\d+)", open(f"/proc/{pid}/status").read())[1]) << 10
    assert peak - before < 128 << 20, "it was unfolded first and refused then"
    with Association(stack.dicom_port, [(SECONDARY_CAPTURE, [DEFLATED])]) as peer:
        assert peer.store(SECONDARY_CAPTURE, uid_of(dataset, 0x00080018), packed).status == CANNOT_UNDERSTAND
        assert peer.release()


def raw(port, data, seconds=5, half_close=False):
    """What comes back for these bytes, up to the end of the connection or the time."""
    with socket.create_connection(("127.0.0.1", port), seconds) as peer:
        got = b""
        try:
            peer.sendall(data)
            if half_close:
                peer.shutdown(socket.SHUT_WR)
            while more := peer.recv(65536):
                got += more
        except OSError:  # time, or the other side has gone at some point of it
            pass
        return got


def http_status(answer):
    return int(answer.split()[1]) if answer.startswith(b"HTTP/1.1 ") else None


def stow_head(stack, *lines, path="/dicom-web/studies"):
    secret = (stack.data / "run/gate").read_text().strip()
    return "\r\n".join([f"POST {path} HTTP/1.1", f"Host: 127.0.0.1:{stack.port}",
                        f"Authorization: Bearer {stack.token}", f"X-Zpacs-Gate: {secret}",
                        'Content-Type: multipart/related; type="application/dicom"; boundary=B', *lines, "", ""]).encode()


@pytest.mark.parametrize("length", [2**63 - 1, 2**63, 2**64, 2**64 + 5, 10**30, -1, "0x10", "1e3", "+5", "5, 5", "5 5", ""])
@pytest.mark.parametrize("door", ["nginx", "stow"])
def test_lying_content_length_is_a_clear_error(stack, door, length):
    port = stack.port + (2 if door == "stow" else 0)
    answer = raw(port, stow_head(stack, f"Content-Length: {length}", "Connection: close"))
    assert http_status(answer) in (400, 413), answer[:200]


@pytest.mark.parametrize("length", [2**31, 2**32 - 1, 2**33])
def test_announced_bytes_take_no_memory(stack, warm, length):
    """A length that may be true is waited for, not allocated; then the sender leaves."""
    before = private_bytes(warm["dicomweb"])
    with socket.create_connection(("127.0.0.1", stack.port), 5) as peer:
        peer.sendall(stow_head(stack, f"Content-Length: {length}") +
                     b"--B\r\nContent-Type: application/dicom\r\n\r\n" + b"\0" * 100_000)
        time.sleep(0.3)
        assert private_bytes(warm["dicomweb"]) - before < 4 << 20


@pytest.mark.parametrize("lines", [
    ["Content-Length: 5", "Content-Length: 6"], ["Content-Length: 5", "Transfer-Encoding: chunked"],
    ["Transfer-Encoding: chunked", "Transfer-Encoding: identity"], ["Transfer-Encoding: gzip, chunked"],
    ["Transfer-Encoding: xchunked"], ["Transfer-Encoding : chunked"], ["Transfer-Encoding:\x0bchunked"],
], ids=lambda lines: " | ".join(lines).replace("\x0b", "VT"))
@pytest.mark.parametrize("door", ["nginx", "stow"])
def test_ambiguous_framing_smuggles_nothing(stack, door, lines):
    """The inner request is not answered as one of its own; behind nginx's back only the gate answers it."""
    port = stack.port + (2 if door == "stow" else 0)
    inner = f"GET /dicom-web/smuggled HTTP/1.1\r\nHost: 127.0.0.1:{stack.port}\r\n\r\n".encode()
    answer = raw(port, stow_head(stack, *lines) + b"0\r\n\r\n" + inner, seconds=2, half_close=True)
    assert answer == b"" or http_status(answer) >= 400
    inner_statuses = [http_status(b"HTTP/1.1 " + part) for part in answer.split(b"HTTP/1.1 ")[2:]]
    assert inner_statuses == [] or door == "stow" and inner_statuses == [401]


@pytest.mark.parametrize("size", [b"FFFFFFFFFFFFFFFF", b"7FFFFFFFFFFFFFFF", b"-5", b"0x5", b"5;" + b"x" * 20_000, b"g", b""])
def test_chunk_sizes_that_lie(stack, size):
    for port in (stack.port, stack.port + 2):
        answer = raw(port, stow_head(stack, "Transfer-Encoding: chunked", "Connection: close") + size + b"\r\nhello\r\n0\r\n\r\n",
                     seconds=3, half_close=True)
        assert answer == b"" or http_status(answer) >= 400


@pytest.mark.parametrize("coding", ["gzip", "deflate", "br", "GZIP", "identity, gzip"])
def test_encoded_request_is_unsupported(stack, web, coding):
    answer = post(stack, web, zlib.compress(b"\0" * 100_000), headers={"Content-Encoding": coding})
    assert answer.status_code == 415


# ---- multipart ---------------------------------------------------------------------------------------

@pytest.mark.parametrize("count", [100_000, 100_001, 1_000_000])
def test_empty_parts(stack, web, count):
    start = time.monotonic()
    answer = post(stack, web, b"--B\r\n\r\n" * count + b"--B--")
    assert answer.status_code in (409, 413) and time.monotonic() - start < 10, answer.text[:200]


FILE = part10(instance())


@pytest.mark.parametrize("boundary, body", [
    ("B", b""), ("B", b"--B--\r\n"), ("B", b"--B\r\n"), ("B", b"--B\r\n\r\n"), ("B", b"\r\n\r\n\r\n"),
    ("B", b"--B\n\n" + FILE + b"\n--B--\n"), ("B", b"--C\r\n\r\n" + FILE + b"\r\n--C--"),
    ("B", b"--B\r\n\r\n" + FILE + b"\r\n--B"), ("B", b"--B\r\n\r\n" + FILE + b"\r\n--B-"),
    ("B", b"--B\r\n" + b"X: " + b"y" * 70_000 + b"\r\n\r\n" + FILE + b"\r\n--B--"),
    ("B", b"--B\r\n" + b"X: y\r\n" * 20_000 + b"\r\n" + FILE + b"\r\n--B--"),
    ("B", b"--B\r\nX: \0\r\n\r\n" + FILE + b"\r\n--B--"),
    ("B", b"--B" + b" " * 100_000 + b"\r\n\r\n" + FILE + b"\r\n--B--"),
    ("B", b"x" * (1 << 20)), ("B", b"\r\n--" * 300_000), ("B", b"-" * 100_000),
    ("B", b"--B\r\nContent-Type: multipart/related; boundary=C\r\n\r\n--C\r\n\r\n" + FILE + b"\r\n--C--\r\n--B--"),
    ("B", b"--B\r\nContent-Transfer-Encoding: base64\r\n\r\nAAAA\r\n--B--"),
    ("x" * 71, b"--" + b"x" * 71 + b"\r\n\r\n" + FILE + b"\r\n--" + b"x" * 71 + b"--"), ("x" * 10_000, b""),
    ('""', b"--\r\n\r\n" + FILE + b"\r\n----"), ('"', b""), ('"B', b""), ('"a\\"', b""), ("", b""), ("B C", b""),
    ("B; boundary=C", b"--C\r\n\r\n" + FILE + b"\r\n--C--"), ("/../../etc/passwd", b""),
], ids=lambda v: v[:24].decode("latin-1").encode("unicode_escape").decode() if isinstance(v, bytes) else v[:24])
def test_boundary_tricks_are_refused(stack, web, boundary, body):
    answer = post(stack, web, body, boundary)
    assert 400 <= answer.status_code < 500, answer.text[:200]


# ---- names ---------------------------------------------------------------------------------------------

NOT_UIDS = [b"..", b"../../x", b"/etc/passwd", b"a/b", b"%2e%2e", b"1.2\x00.3", b"1.2.3/../4", b"-rf", b"\\\\host\\x", b"", b".", b"_",
            b"1." * 40 + b"1", b"1" * 60_000, b"<script>alert(1)</script>", b"1.2.3\r\nX: y", b"1.2'; DROP TABLE study; --",
            b"1.2\\1.3", b"*", b"?"]


@pytest.mark.parametrize("member", ["uid", "study", "series"])
def test_uids_that_are_none(stack, web, member):
    files = os.listdir(stack.data / "packs")
    answer = upload(stack, web, [part10(instance(**{member: value})) for value in NOT_UIDS])
    assert answer.status_code == 409
    assert reasons(answer) == [CANNOT_UNDERSTAND] * len(NOT_UIDS)
    assert os.listdir(stack.data / "packs") == files
    for value in NOT_UIDS:
        dataset = instance(**{member: value}, implicit=True)
        with Association(stack.dicom_port, [(SECONDARY_CAPTURE, [IMPLICIT])]) as peer:
            uid = value if member == "uid" else uid_of(dataset, 0x00080018, True).encode()
            peer.send_command(1, element(0x0002, SECONDARY_CAPTURE.encode()), struct.pack("<HHIH", 0, 0x100, 2, 1),
                              struct.pack("<HHIH", 0, 0x110, 2, 1), struct.pack("<HHIH", 0, 0x700, 2, 0),
                              struct.pack("<HHIH", 0, 0x800, 2, 0), element(0x1000, uid))
            try:
                peer.send_dataset(1, dataset)
                assert peer.read_answer().status in (0x0117, CANNOT_UNDERSTAND, 0xA900)
            except (Ended, ConnectionError):
                assert len(uid) > 16_000  # a command set of that size ends the association


def test_uids_in_addresses_that_are_none(stack, web):
    for value in NOT_UIDS:
        if len(value) > 8000 or value in (b"", b".", b".."):
            continue
        quoted = urllib.parse.quote(value, safe="")
        for path in (f"/studies/{quoted}/metadata", f"/studies/1.2/series/{quoted}/metadata", f"/studies/{quoted}",
                     f"/studies/1.2/series/1.3/instances/{quoted}/frames/1", f"/studies?StudyInstanceUID={quoted}"):
            answer = web.get(stack.web + path, timeout=10)
            assert answer.status_code in (204, 400, 404) or (answer.status_code == 200 and "?" in path), (path, answer.text)
            assert "<script>" not in answer.text


TEXTS = [b"<script>alert(1)</script>", b"\"><img src=x onerror=alert(1)>", b"../../etc/passwd", b"'; DROP TABLE study; --",
         b"a\x1b[2Jb", b"a\r\nb", b"a\tb\x00c", b"\xff\xfe\x80", b"\xe2\x80\xa8", b"%n%s%n", b"{{7*7}}", b"^" * 1000,
         b"=" * 1000, b"x" * 65_000, b"\x1b$B" * 5000, b"\\" * 5000, b"\x1b$)C" * 9000]


@pytest.mark.parametrize("charset", [None, b"ISO_IR 192", b"GB18030", b"\\ISO 2022 IR 87\\ISO 2022 IR 149", b"../../x"])
def test_texts_of_strangers_are_data(stack, web, charset):
    """Whatever stands in a name: JSON and XML stay well-formed, and the instance can be found and read."""
    for text in TEXTS:
        study = new_uid()
        dataset = instance(study=study.encode(), name=text, patient=text)
        if charset is not None:
            dataset = explicit(0x00080005, b"CS", charset, b" ") + dataset
        answer = upload(stack, web, [part10(dataset)])
        assert answer.status_code in (200, 409), (text[:20], answer.text)
        if answer.status_code == 409:
            continue
        for path in (f"/studies?StudyInstanceUID={study}&includefield=all", f"/studies/{study}/metadata",
                     f"/studies/{study}/series", f"/studies/{study}/instances"):
            answer = web.get(stack.web + path, timeout=10, headers={"Accept": "application/dicom+json"})
            assert answer.status_code == 200, (text[:20], path, answer.text)
            assert len(json.loads(answer.content.decode("utf-8"))) == 1
            assert answer.headers["X-Content-Type-Options"] == "nosniff"


def test_ae_titles_of_strangers_keep_the_log_readable(stack):
    for title in ("<script>", "../../etc", "a\x1b[2Jb", "a\r\n{\"x\":1}", "\x00\x01", "%n%n", "\u00ff\u0080", " " * 16):
        try:
            with Association(stack.dicom_port, [(VERIFICATION, [IMPLICIT])], calling=title, called=title) as peer:
                peer.echo()
                peer.release()
        except (Refused, Ended):
            pass
    time.sleep(0.5)
    for line in stack.log("dimse").splitlines():
        assert json.loads(line)["service"] == "dimse"
        assert not any(ord(c) < 0x20 or ord(c) == 0x7f for c in line)


# ---- queries --------------------------------------------------------------------------------------------

INJECTIONS = [p % k for k in (1, 2, 3, 4) for p in (
    "' OR %d=1 --", "'; DROP TABLE study; --%d", "\" OR \"\"=\"%d", "%d') UNION SELECT sql FROM sqlite_master --", "1 OR %d",
    "%%_%d", "\\%d", "*' AND randomblob(1000000000) --%d", "[a-z]%d*", "{\"$gt\":%d}", "%d;ATTACH DATABASE '/tmp/x' AS x",
    "NULL%d", "-%d", "9999999999999999999%d", "0x%d", "1e%d09", "\u202e%d", "\u0130\u0131\u00df%d", "||%d||", "/*%d*/",
    "`id`%d", "$(id)%d", "%%00%d", "%%0d%%0aX: %d", "<svg/onload=%d>")]


@pytest.mark.parametrize("key", ["PatientName", "PatientID", "StudyDate", "StudyInstanceUID", "AccessionNumber",
                                 "ModalitiesInStudy", "00080050"])
def test_injected_values_match_nothing_and_break_nothing(stack, web, key):
    assert len(INJECTIONS) == 100
    total = len(web.get(stack.web + "/studies?limit=10000", timeout=20).json())
    for text in INJECTIONS:
        answer = web.get(stack.web + "/studies", params={key: text, "limit": 5}, timeout=5)
        assert answer.status_code in (200, 204, 400), (text, answer.text)
        assert "sqlite" not in answer.text.lower() and "syntax error" not in answer.text.lower()
    assert len(web.get(stack.web + "/studies?limit=10000", timeout=20).json()) == total


@pytest.mark.parametrize("name", ["limit", "offset", "includefield", "fuzzymatching", "PatientName' --", "orderby",
                                  "00100010'", "(0010,0010)", "00100010.00100020.00100010.00100020.00100010.00100020",
                                  "__proto__", "\0", "x" * 4000])
def test_injected_names_and_controls(stack, web, name):
    for text in INJECTIONS[:25]:
        answer = web.get(stack.web + "/studies", params={name: text}, timeout=5)
        assert answer.status_code in (200, 204, 400, 413, 414), (text, answer.text)


def test_bounds_of_a_query(stack, web):
    def ask(query, seconds=5):
        start = time.monotonic()
        answer = web.get(stack.web + "/studies?" + query, timeout=30)
        assert time.monotonic() - start < seconds, query[:80]
        return answer.status_code
    assert ask("limit=1000000000") in (200, 400)
    for wrong in ("-1", "1.5", "9" * 40, "", "1;2"):
        assert ask(f"limit={wrong}") == 400
        assert ask(f"offset={wrong}") == 400
    assert ask("offset=4000000000") in (200, 204)
    for pattern in ("*", "?*", "*?*", "*" * 1000, "?" * 60, "*a" * 500, "*?" * 30 + "b", "%2a" * 2000, "*^*^*^*^*", "a*" * 2000):
        assert ask(f"PatientName={pattern}&limit=5", 2) in (200, 204, 400, 413), pattern[:20]
        assert ask(f"PatientName={pattern}&fuzzymatching=true&limit=5", 2) in (200, 204, 400, 413), pattern[:20]
        assert ask(f"PatientID={pattern}&limit=5", 2) in (200, 204, 400, 413), pattern[:20]
    assert 400 <= ask("&".join(f"PatientID={i}" for i in range(200))) < 500
    assert 400 <= ask("&".join(["PatientName=a*"] * 200)) < 500
    assert ask("StudyInstanceUID=" + ",".join(f"1.2.{i}" for i in range(1200))) in (200, 204, 400, 413, 414)
    assert ask("includefield=" + ",".join(["00100010"] * 800)) in (200, 204, 400, 413, 414)
    assert 400 <= ask("PatientName=" + "x" * 9000) < 500
    assert 400 <= ask("PatientName=" + "x" * 70_000) < 500
    assert_others_are_served(stack)


@pytest.mark.parametrize("accept", ["*/*;q=" + "9" * 3000, "a/b," * 1500, ";" * 5000, "multipart/related;type=" + '"' * 999,
                                    "\x01", "application/dicom+json;q=nan", "*/*" + ";a=b" * 1000])
def test_accept_of_strangers(stack, web, accept):
    for path in ("/studies", "/studies/1.2.3", "/studies/1.2.3/metadata"):
        assert web.get(stack.web + path, headers={"Accept": accept}, timeout=5).status_code < 500


@pytest.mark.parametrize("field", ["bytes=0-" + "9" * 50, "bytes=" + "0-1," * 3000, "bytes=-0", "bytes=5-2", "bytes=" + "-" * 99, "x"])
def test_range_of_strangers(stack, web, field):
    dataset = instance(explicit(0x7FE00010, b"OW", os.urandom(4096)))
    assert upload(stack, web, [part10(dataset)]).status_code in (200, 202)
    path = "/studies/%s/series/%s/instances/%s/bulkdata/7FE00010" % tuple(
        uid_of(dataset, tag) for tag in (0x0020000D, 0x0020000E, 0x00080018))
    wait_until(lambda: web.get(stack.web + path, timeout=10).status_code == 200)
    assert web.get(stack.web + path, headers={"Range": field}, timeout=5).status_code in (200, 206, 400, 416)


# ---- mangled files -----------------------------------------------------------------------------------------

def test_mangled_files_are_stored_or_refused_and_never_hurt(stack, web, shared_data):
    paths = sorted((p for p in (shared_data / "good").iterdir() if p.is_file()), key=lambda p: (p.stat().st_size, p.name))[:30]
    studies = set()
    for path in paths:
        good = path.read_bytes()
        bad = [good[:dice.randrange(132, len(good))] for _ in range(4)]
        for _ in range(12):
            copy = bytearray(good)
            for _ in range(dice.choice((1, 1, 3))):
                copy[dice.randrange(132, min(len(copy), 4096))] ^= 1 << dice.randrange(8)
            bad.append(bytes(copy))
        answer = upload(stack, web, bad)
        assert answer.status_code in (200, 202, 409), (path.name, answer.text[:300])
        for item in answer.json().get("00081199", {}).get("Value", []):
            studies.add(re.search(r"/studies/([^/]+)", item["00081190"]["Value"][0])[1])
    assert studies
    for study in studies:
        for what in ("/metadata", "", "/series", "/instances?includefield=all"):
            answer = web.get(f"{stack.web}/studies/{study}{what}", timeout=20,
                             headers={"Accept": 'application/dicom+json, multipart/related; type="application/dicom"; transfer-syntax=*'})
            assert answer.status_code < 500, (study, what, answer.text[:300])
            if "json" in answer.headers.get("Content-Type", ""):
                json.loads(answer.content.decode("utf-8"))


# ---- junk on sockets ----------------------------------------------------------------------------------------

JUNK = [b"", b"\0", b"\0" * 70_000, os.urandom(100), os.urandom(70_000), b"\xff" * 10_000, b"GET / HTTP/1.1\r\n\r\n",
        b"GET " + b"/" * 100_000, b"\r\n" * 5000, b"PROXY TCP4 1.2.3.4 1.2.3.4 1 1\r\n", b"\x01\0\xff\xff\xff\xff" + b"x" * 1000,
        b"\x01\0\0\0\0\x04abcd", pdu(4, b"\xff" * 100), pdu(7, b""), pdu(5, b""), pdu(2, b"\0" * 200), pdu(0x99, b"\0" * 64),
        b"\xff\0\0\0\0\0\0\0\1\x7f", b"\xff\0\0\0\0\0\0\0\1\x7f\3\0CURVE" + b"\0" * 47,
        b"\xff\0\0\0\0\0\0\0\1\x7f\3\0NULL" + b"\0" * 48 + b"\4\x19\5READY\xff\xff\xff\xff", b"\1\0", b"GET / HTTP/1.1\r\nA: " + b"x" * 50_000,
        b"POST / HTTP/1.1\r\nContent-Length: 99999999999\r\n\r\n" + b"x" * 10_000, b"\x16\3\1\2\0\1\0\1\xfc\3\3" + os.urandom(500)]


def throw(family, address, data):
    with socket.socket(family) as peer:
        peer.settimeout(0.3)
        try:
            peer.connect(address)
            peer.sendall(data)
            peer.shutdown(socket.SHUT_WR)
            peer.recv(4096)
        except OSError:
            pass


def test_junk_on_every_socket(stack):
    doors = [(socket.AF_INET, ("127.0.0.1", port)) for port in
             (stack.dicom_port, stack.port, stack.port + 1, stack.port + 2, *(stack.port + n for n in ADMIN_OFFSET.values()))]
    doors.append((socket.AF_UNIX, str(stack.data / "run/index.sock")))
    threads = [threading.Thread(target=lambda door=door: [throw(*door, data) for data in JUNK]) for door in doors]
    for thread in threads:
        thread.start()
    assert_others_are_served(stack)
    for thread in threads:
        thread.join()
    assert_others_are_served(stack)


def test_half_open_greetings_on_the_index_socket(stack):
    """Peers that begin ZeroMQ's greeting and stay keep nobody out."""
    held = []
    try:
        for _ in range(300):
            peer = socket.socket(socket.AF_UNIX)
            held.append(peer)
            wait_until(lambda: peer.connect_ex(str(stack.data / "run/index.sock")) == 0, 5)  # its backlog may be full
            peer.sendall(b"\xff\0\0\0\0\0\0\0\1\x7f\3")
        assert_others_are_served(stack)
        with stack.session() as session:
            assert upload(stack, session, [part10(instance())]).status_code == 200
    finally:
        for peer in held:
            peer.close()


# ---- slow, silent, and gone -----------------------------------------------------------------------------------

def test_silent_and_slow_clients_keep_nobody_waiting(stack):
    held = []
    try:
        for n in range(100):
            held.append(socket.create_connection(("127.0.0.1", stack.dicom_port), 5))
            slow = socket.create_connection(("127.0.0.1", stack.port), 5)
            slow.sendall(b"GET /dicom-web/studies HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Slow: ")
            held.append(slow)
        for _ in range(4):
            for peer in held[1::2]:
                peer.sendall(b"x")
            assert_others_are_served(stack)
    finally:
        for peer in held:
            peer.close()


def test_slow_upload_bodies_leave_readers_alone(stack):
    held = []
    try:
        for _ in range(40):
            peer = socket.create_connection(("127.0.0.1", stack.port), 5)
            peer.sendall(stow_head(stack, "Content-Length: 100000") + b"--B\r\n")
            held.append(peer)
        for _ in range(3):
            assert_others_are_served(stack)
            time.sleep(0.1)
    finally:
        for peer in held:
            peer.close()


def hold_readers(stack, web, count):
    """So many clients ask for 16 MiB and read nothing of it."""
    dataset = instance(explicit(0x7FE00010, b"OW", os.urandom(16 << 20)))
    assert upload(stack, web, [part10(dataset)]).status_code in (200, 202)
    study = uid_of(dataset, 0x0020000D)
    request = (f"GET /dicom-web/studies/{study} HTTP/1.1\r\nHost: 127.0.0.1:{stack.port}\r\nAuthorization: Bearer {stack.token}\r\n"
               'Accept: multipart/related; type="application/dicom"; transfer-syntax=*\r\n\r\n').encode()
    held = []
    try:
        for _ in range(count):
            peer = socket.socket()
            peer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            peer.settimeout(5)
            peer.connect(("127.0.0.1", stack.port))
            peer.sendall(request)
            held.append(peer)
        assert held[0].recv(12).startswith(b"HTTP/1.1 200")
        if count < 64:  # as many as threads are served at once
            assert_others_are_served(stack)
    finally:
        for peer in held:
            peer.close()


def test_readers_that_do_not_read_leave_others_alone(stack, web):
    hold_readers(stack, web, 40)


def associate_request(*user_items):
    body = struct.pack(">HH", 1, 0) + b"ZPACS".ljust(16) + b"HOSTILE".ljust(16) + b"\0" * 32
    def item(kind, data):
        return struct.pack(">BBH", kind, 0, len(data)) + data
    body += item(0x10, b"1.2.840.10008.3.1.1.1")
    body += item(0x20, bytes([1, 0, 0, 0]) + item(0x30, VERIFICATION.encode()) + item(0x40, IMPLICIT.encode()))
    for extra in user_items or (b"",):
        body += item(0x50, item(0x51, struct.pack(">I", 16384)) + item(0x52, b"1.2.3") + extra)
    return pdu(1, body)


def in_threads(count, work, threads=6):
    failures = []

    def run(share):
        for number in share:
            try:
                work(number)
            except OSError:
                pass
            except Exception as error:  # noqa: BLE001
                failures.append(error)
                return
    running = [threading.Thread(target=run, args=(range(k, count, threads),)) for k in range(threads)]
    for thread in running:
        thread.start()
    return running, failures


def test_associations_that_are_malformed_or_dropped(stack):
    good = associate_request()
    identity = struct.pack(">BBHBBH", 0x58, 0, 8, 1, 0, 2) + b"ab" + b"\0\0"
    requests_ = [associate_request(identity, identity, identity), associate_request(b"\x54\0\xff\xff" + b"x" * 20), good[:80],
                 pdu(1, b"\0" * 68 + b"\x10\0\xff\xff"), pdu(1, b""), pdu(1, good[6:74]), b"\1\0\0\0\0\0" * 30]

    def malformed(number):
        data = bytearray(requests_[number % len(requests_)])
        if number % 2 and len(data) > 80:
            data[dice.randrange(6, len(data))] ^= 1 << dice.randrange(8)
        with socket.create_connection(("127.0.0.1", stack.dicom_port), 5) as peer:
            peer.sendall(bytes(data))
            peer.shutdown(socket.SHUT_WR)
            while peer.recv(4096):
                pass

    half = pdu(4, pdv(1, 1, b"\0" * 50))

    def dropped(number):
        with socket.create_connection(("127.0.0.1", stack.dicom_port), 5) as peer:
            peer.sendall(good)
            peer.recv(4096)
            if number % 2:
                peer.sendall(half)
            if number % 3 == 0:  # RST
                peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    for work in (malformed, dropped):
        running, failures = in_threads(2000, work)
        assert_others_are_served(stack)
        for thread in running:
            thread.join(60)
            assert not thread.is_alive()
        assert not failures
    assert_others_are_served(stack)
