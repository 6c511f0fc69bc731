"""multipart/related: parts without end, boundaries that are tricks, bodies that are cut anywhere."""
import pytest
from instances import instance, part10
from scale import count
from strangers import http_status, post, raw, stow_head

FILE = part10(instance())


@pytest.mark.parametrize("parts", [100_000, 100_001, 1_000_000])
def test_empty_parts(stack, web, parts):
    answer = post(stack, web, b"--B\r\n\r\n" * parts + b"--B--")
    assert answer.status_code in (409, 413), answer.text[:200]


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


def places(length):
    """Where to cut: everywhere, or evenly and around the ends."""
    step = max(1, length // count("cut bodies"))
    return sorted({*range(0, length, step), *range(min(8, length)), *range(length - 8, length)})


def test_body_cut_anywhere(stack, web):
    """Every beginning of a body of two parts: a first part that is whole may have been stored, and is told then."""
    parts = [b"--B\r\nContent-Type: application/dicom\r\n\r\n" + part10(instance(patient=b"CUT")) + b"\r\n" for _ in range(2)]
    body = b"".join(parts) + b"--B--"
    for end in places(len(body)):
        answer = post(stack, web, body[:end])
        assert answer.status_code in ((200, 202, 400, 409) if end >= len(parts[0]) else (400, 409)), (end, answer.text[:200])
    for end in places(len(body))[::4]:  # announced whole, and then the connection is gone
        answer = raw(stack.port, stow_head(stack, f"Content-Length: {len(body)}") + body[:end], half_close=True)
        assert answer == b"" or http_status(answer) in (200, 202, 400, 409), (end, answer[:200])
    assert post(stack, web, body).status_code in (200, 202)


def test_body_in_small_pieces_is_the_same_body(stack, web):
    """Chunks of a few bytes: boundaries and headers lie across them."""
    body = b"\r\n--B\r\nContent-Type: application/dicom\r\n\r\n" + part10(instance()) + b"\r\n--B--\r\n"
    for size in (1, 2, 3, 7):
        answer = post(stack, web, (body[at:at + size] for at in range(0, len(body), size)))
        assert answer.status_code == 200, answer.text


@pytest.mark.parametrize("media_type", ["application/dicom+xml", "application/dicom+json", "image/jpeg", "text/html"])
def test_only_dicom_files_are_taken(stack, web, media_type):
    """No parser of XML meets a body: neither entities nor depth are anybody's concern."""
    bomb = b'<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/passwd">]><NativeDicomModel>&a;</NativeDicomModel>'
    kind = {"Content-Type": f'multipart/related; type="{media_type}"; boundary=B'}
    assert post(stack, web, b"--B\r\nContent-Type: " + media_type.encode() + b"\r\n\r\n" + bomb + b"\r\n--B--", headers=kind).status_code == 415
    assert post(stack, web, bomb, headers={"Content-Type": media_type}).status_code == 415
