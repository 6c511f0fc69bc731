"""UIDs, names and titles that are paths, scripts, control bytes, or very long."""
import json
import os
import struct
import urllib.parse

import pytest
import requests
from dimse_client import IMPLICIT, SECONDARY_CAPTURE, Association, Ended, element
from instances import explicit, instance, new_uid, part10, uid_of
from stack import ADMIN_OFFSET, wait_until
from strangers import CANNOT_UNDERSTAND, reasons, upload

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
            # A list holds what was stored; what was asked for is not said back.
            assert "json" in answer.headers["Content-Type"] if answer.status_code == 200 else "<script>" not in answer.text


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


DISGUISED = "zpacs_stow_instances_disguised_total"


def metric(stack, name):
    with requests.Session() as session:
        session.trust_env = False
        text = session.get(f"http://127.0.0.1:{stack.port + ADMIN_OFFSET['dicomweb']}/metrics", timeout=5).text
    return next(int(line.split()[1]) for line in text.splitlines() if line.startswith(name + " "))


@pytest.mark.parametrize("head, kind", [
    (b"MZ\x90\0", "a Windows program"), (b"\x7fELF", "a Linux program"), (b"#!/bin/sh\n", "a script"), (b"PK\3\4", "a ZIP archive"),
    (b"<script>alert(1)</script>", "a page"), (b"\xcf\xfa\xed\xfe", "a macOS program")])
def test_program_in_the_preamble_does_not_come_back(stack, web, head, kind):
    """A DICOM file that is a program, too (CVE-2019-11687): what leaves the archive is one no more."""
    dataset = instance()
    preamble, count = head.ljust(112, b"x") + os.urandom(16), metric(stack, DISGUISED)
    assert upload(stack, web, [preamble + part10(dataset)[128:], part10(instance())]).status_code == 200
    assert metric(stack, DISGUISED) == count + 1  # and a line in the log, as it came in the packs
    line = json.loads(wait_until(lambda: [l for l in stack.log("dicomweb").splitlines() if "stow.disguised" in l][count:])[0])
    assert line["level"] == "warning" and line["peer"] == "127.0.0.1" and line["instances"] == 1 and line["preamble"] == kind
    assert any(preamble in pack.read_bytes() for pack in (stack.data / "packs").rglob("*.pack"))
    path = "/studies/%s/series/%s/instances/%s" % tuple(uid_of(dataset, tag) for tag in (0x0020000D, 0x0020000E, 0x00080018))
    answer = web.get(stack.web + path, timeout=20, headers={"Accept": 'multipart/related; type="application/dicom"; transfer-syntax=*'})
    assert answer.status_code == 200 and answer.headers["X-Content-Type-Options"] == "nosniff"
    assert bytes(128) + b"DICM" in answer.content and head not in answer.content.split(b"DICM")[0]
