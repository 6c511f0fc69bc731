"""Clients that are silent, slow, or read nothing: nobody else waits for them."""
import os

import pytest
from instances import instance, part10, pixels, uid_of
from scale import count
from stack import wait_until
from strangers import Crowd, associate_request, stow_head, upload

SECONDS = count("seconds of slowness")
TWO = ("127.0.1.1", "127.0.1.2")  # so many addresses do not fill what there is of associations
SLOW_HEADER = b"GET /dicom-web/studies HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Slow: "


@pytest.mark.parametrize("door", ["dicom", "http"])
def test_silent_connections(stack, door):
    port, sources = {"dicom": (stack.dicom_port, TWO), "http": (stack.port, ("127.0.0.1",))}[door]
    with Crowd(port, count("silent connections"), sources=sources) as crowd:
        crowd.stay(SECONDS)


@pytest.mark.parametrize("door", ["dicom", "http"])
def test_one_byte_a_second(stack, door):
    """The beginning of a real request, then a byte a second."""
    port, sources, begin = {"dicom": (stack.dicom_port, TWO, associate_request()[:20]),
                            "http": (stack.port, ("127.0.0.1",), SLOW_HEADER)}[door]
    with Crowd(port, count("trickling connections"), begin, sources) as crowd:
        crowd.stay(SECONDS, b"x")


def test_associations_that_are_accepted_and_silent(stack):
    with Crowd(stack.dicom_port, 120, associate_request(), TWO) as crowd:
        crowd.stay(SECONDS, reads=False)


def test_slow_headers(stack):
    with Crowd(stack.port, count("slow headers"), SLOW_HEADER) as crowd:
        crowd.stay(SECONDS, b"x")


@pytest.mark.asks("echo", "query", "upload")
def test_slow_bodies(stack, web):
    """Uploads of which a byte a second comes: those of others are taken meanwhile."""
    begin = stow_head(stack, "Content-Length: 100000") + b"--B\r\n"
    with Crowd(stack.port, count("slow bodies"), begin) as crowd:
        crowd.stay(SECONDS, b"x")
    wait_until(lambda: upload(stack, web, [part10(instance())]).status_code == 200, 60)


def large_study(stack, web, size):
    dataset = instance(pixels(os.urandom(size)))
    assert upload(stack, web, [part10(dataset)]).status_code in (200, 202)
    study = uid_of(dataset, 0x0020000D)
    wait_until(lambda: web.get(f"{stack.web}/studies?StudyInstanceUID={study}", timeout=10).json())
    return study


def reading(stack, study):
    return (f"GET /dicom-web/studies/{study} HTTP/1.1\r\nHost: 127.0.0.1:{stack.port}\r\nAuthorization: Bearer {stack.token}\r\n"
            'Accept: multipart/related; type="application/dicom"; transfer-syntax=*\r\n\r\n').encode()


def test_readers_that_do_not_read(stack, web):
    """Each asks for 16 MiB and takes nothing of it."""
    study = large_study(stack, web, 16 << 20)
    with Crowd(stack.port, count("slow readers"), reading(stack, study), receive_buffer=4096) as crowd:
        crowd.stay(SECONDS, reads=False)
    wait_until(lambda: web.get(f"{stack.web}/studies/{study}/metadata", timeout=10).status_code == 200, 60)
