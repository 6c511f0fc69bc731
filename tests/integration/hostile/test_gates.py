"""Gates that are settings, or words of an answer: what nginx runs with, and how data leaves."""
import re

import pytest
from instances import instance, part10, uid_of
from stack import wait_until
from strangers import upload
from watch import inventory

HELD_MIB = {"index": 128, "dimse": 32, "dicomweb": 256}


def test_nginx_has_its_time_limits(stack):
    """What it was started with; a limit of its own in a location would be another one."""
    text = "".join((stack.data / "run/nginx" / name).read_text() for name in ("nginx.conf", "snippets/upstream.conf"))
    for name in ("client_header_timeout", "client_body_timeout"):
        assert re.findall(rf"^\s*{name} (\w+);", text, re.MULTILINE) == ["10s"]
    assert dict(re.findall(r"^\s*limit_conn (\w+) (\d+);", text, re.MULTILINE)) == {"address": "48", "uploads": "12"}


def test_a_stack_at_rest_is_small(warm):
    held = {service: row[0] for service, row in wait_until(lambda: inventory(warm)).items()}
    print(f"\n{held} MiB")
    assert all(held[service] < most for service, most in HELD_MIB.items()) and sum(held.values()) < 200, held


@pytest.fixture(scope="module")
def page(stack, web):
    """A page that was stored as if it were an image."""
    dataset = instance(name=b"<script>alert(1)</script>")
    file = b"<html><script>alert(1)</script>".ljust(128) + part10(dataset)[128:]
    assert upload(stack, web, [file]).status_code in (200, 202)
    study, series, uid = (uid_of(dataset, tag) for tag in (0x0020000D, 0x0020000E, 0x00080018))
    wait_until(lambda: web.get(f"{stack.web}/studies?StudyInstanceUID={study}", timeout=10).json())
    path = f"/dicom-web/studies/{study}/series/{series}/instances/{uid}"
    return {"instance": path, "metadata": path + "/metadata", "study": f"/dicom-web/studies/{study}"}


@pytest.mark.parametrize("what, accept, media_type", [
    ("instance", "application/dicom", "application/dicom"), ("instance", "*/*", "multipart/related"),
    ("study", "*/*", "multipart/related"), ("metadata", "*/*", "application/dicom+json")])
def test_what_was_stored_is_no_page(stack, web, page, what, accept, media_type):
    answer = web.get(stack.base + page[what], headers={"Accept": accept}, timeout=20)
    assert answer.status_code == 200 and answer.headers["Content-Type"].split(";")[0] == media_type
    assert answer.headers["X-Content-Type-Options"] == "nosniff" and "default-src 'none'" in answer.headers["Content-Security-Policy"]
    assert media_type != "application/dicom" or answer.headers["Content-Disposition"].startswith("attachment;")
    assert b"<html>" not in answer.content
