"""What is small and unfolds to much: deflate, gzip, ZIP; and lengths that lie."""
import gzip
import os
import re
import socket
import struct
import time
import zipfile
import zlib

import pytest
from dimse_client import EXPLICIT, SECONDARY_CAPTURE, Association
from instances import dice, instance, part10, uid_of
from memory import MIB, rollup
from strangers import CANNOT_UNDERSTAND, http_status, post, raw, reasons, store, stow_head, upload

DEFLATED = "1.2.840.10008.1.2.1.99"


def private_bytes(pid):
    """Memory of the process's own: what it maps of packs is the page cache's."""
    rows = dict(line.split(":", 1) for line in open(f"/proc/{pid}/status") if ":" in line)
    return int(rows["RssAnon"].split()[0]) << 10


# ---- deflate ----------------------------------------------------------------------------------------

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


# ---- gzip --------------------------------------------------------------------------------------------

@pytest.mark.parametrize("coding", ["gzip", "deflate", "br", "GZIP", "identity, gzip"])
def test_encoded_request_is_unsupported(stack, web, coding):
    answer = post(stack, web, zlib.compress(b"\0" * 100_000), headers={"Content-Encoding": coding})
    assert answer.status_code == 415


def test_gzip_bomb_is_not_unfolded(stack, web, warm, tmp_path):
    """As a request it is refused by its head; as a file to import it is just no DICOM file."""
    bomb = gzip.compress(b"\0" * (256 << 20))
    before = rollup(warm["dicomweb"])[0]
    assert post(stack, web, bomb, headers={"Content-Encoding": "gzip"}).status_code == 415
    assert rollup(warm["dicomweb"])[0] - before < 16 * MIB
    tmp_path.chmod(0o755)
    (tmp_path / "bomb.dcm.gz").write_bytes(bomb)
    result = stack.zpacs("import", tmp_path, check=False)
    assert "0 stored" in result.stdout + result.stderr and "1 skipped" in result.stdout + result.stderr


# ---- ZIP -----------------------------------------------------------------------------------------------

def write_ratio_bomb(path):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive, archive.open("bomb.dcm", "w", force_zip64=True) as entry:
        for _ in range(512):  # the limit is 200 times the size, and a little
            entry.write(b"\0" * (1 << 20))


def write_overlapping_bomb(path):
    """A thousand entries of the directory that share one body, as in 42.zip's successors."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("0.dcm", b"\0" * (64 << 20))
        first = archive.filelist[0]
        for number in range(1, 1000):
            copy = zipfile.ZipInfo(f"{number}.dcm")
            for field in ("header_offset", "CRC", "compress_size", "file_size", "compress_type", "flag_bits", "date_time"):
                setattr(copy, field, getattr(first, field))
            archive.filelist.append(copy)
            archive.NameToInfo[copy.filename] = copy


def write_nested_bomb(path):
    inner = path.with_suffix(".inner")
    write_ratio_bomb(inner)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for number in range(100):
            archive.write(inner, f"{number}.zip")
    inner.unlink()


def write_many_names(path):
    with zipfile.ZipFile(path, "w") as archive:
        for number in range(20_000):
            archive.writestr(f"../../{number}/" + "x" * 100, b"")


def write_lying_size(path):
    """The directory says 4 bytes; the body is longer."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.dcm", part10(instance()))
    data = bytearray(path.read_bytes())
    for mark, offset in ((b"PK\x03\x04", 22), (b"PK\x01\x02", 24)):
        struct.pack_into("<I", data, data.index(mark) + offset, 4)
    path.write_bytes(bytes(data))


@pytest.mark.parametrize("write", [write_ratio_bomb, write_overlapping_bomb, write_nested_bomb, write_many_names, write_lying_size],
                         ids=lambda write: write.__name__[6:])
def test_zip_bomb_is_refused(stack, tmp_path, write):
    tmp_path.chmod(0o755)
    write(tmp_path / "bomb.zip")
    result = stack.zpacs("import", tmp_path / "bomb.zip", check=False, timeout=120)
    said = result.stdout + result.stderr
    assert result.returncode in (0, 1) and re.search(r"\b0 stored", said), said


def test_names_in_a_zip_are_no_paths(stack, web, tmp_path):
    """Entries are streamed into the archive, whatever they are called; nothing is written beside it."""
    tmp_path.chmod(0o755)
    names = ["../../../../tmp/zpacs-slip.dcm", "/tmp/zpacs-slip.dcm", "a\\..\\..\\b.dcm", "-rf", "x" * 5000, "a\x1b[2J.dcm"]
    none = ["b\x1b[2J\n0 skipped\r.dcm", "\u202e\x9bfile"]
    with zipfile.ZipFile(tmp_path / "slip.zip", "w") as archive:
        for name in names:
            archive.writestr(name, part10(instance(patient=b"SLIP")))
        for name in none:
            archive.writestr(name, b"no DICOM")
        link = zipfile.ZipInfo("link.dcm")
        link.external_attr = 0o120777 << 16
        archive.writestr(link, "/etc/passwd")
    said = stack.zpacs("import", tmp_path / "slip.zip", check=False).stderr
    assert f"{len(names)} stored" in said and f"{len(none)} skipped" in said, said
    assert not set(said) & set("\x1b\r\x9b") and "\n0 skipped" not in said, ascii(said)
    assert len(web.get(stack.web + "/studies?PatientID=SLIP", timeout=10).json()) == len(names)
    assert not os.path.exists("/tmp/zpacs-slip.dcm")


# ---- lengths that lie -----------------------------------------------------------------------------------

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
        assert private_bytes(warm["dicomweb"]) - before < 1 << 20


OPEN_ENDED = {  # what announces more than comes: is it taken? Pixels that end too early are (common/dicom/instance.h)
    "pixels": (struct.pack("<HH2sHI", 0x7FE0, 0x0010, b"OW", 0, 0xFFFFFFFE), True),
    "fragment": (struct.pack("<HH2sHI", 0x7FE0, 0x0010, b"OB", 0, 0xFFFFFFFF) + struct.pack("<HHI", 0xFFFE, 0xE000, 0xFFFFFFFE), True),
    "private": (struct.pack("<HH2sHI", 0x0009, 0x1001, b"UN", 0, 0xFFFFFFFE), False),
    "short form": (struct.pack("<HH2sH", 0x0020, 0x4000, b"LT", 0xFFFE), False),
}


@pytest.mark.parametrize("what", OPEN_ENDED)
def test_values_that_announce_more_than_comes(stack, web, warm, what):
    tail, is_taken = OPEN_ENDED[what]
    before = private_bytes(warm["dicomweb"])
    dataset = instance(tail)
    assert store(stack, dataset, EXPLICIT) == (0 if is_taken else CANNOT_UNDERSTAND)
    assert upload(stack, web, [part10(instance(tail))]).status_code == (200 if is_taken else 409)
    path = "/studies/%s/series/%s/instances/%s" % tuple(uid_of(dataset, tag) for tag in (0x0020000D, 0x0020000E, 0x00080018))
    for what_of_it in ("/metadata", "/frames/1", "/bulkdata/7FE00010", ""):
        answer = web.get(stack.web + path + what_of_it, timeout=20, headers={"Accept": "*/*"})
        assert answer.status_code in (200, 404, 406, 500) and len(answer.content) < 100_000, what_of_it
    assert private_bytes(warm["dicomweb"]) - before < 4 << 20


# ---- framing ----------------------------------------------------------------------------------------------

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
