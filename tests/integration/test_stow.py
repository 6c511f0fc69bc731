"""STOW-RS and DELETE against the running stack, by a client that knows only the standard.  PS3.18 10.5"""
import io
import os
import signal
import subprocess

import pydicom
import pytest
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, generate_uid
from stack import wait_until

CT = "1.2.840.10008.5.1.4.1.1.2"
JSON = "application/dicom+json"
CONFLICT, MISMATCH, NOT_UNDERSTOOD, NOT_INDEXED = 0xB0F1, 0xA900, 0xC000, 0xB0F0


def make_instance(study=None, series=None, instance=None, pixels=b"\x00\x01" * 64 * 64, **attributes):
    """A CT image as the bytes of a file, and its dataset."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = CT
    meta.MediaStorageSOPInstanceUID = instance or generate_uid()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds = FileDataset(None, {}, file_meta=meta, preamble=b"\0" * 128)
    ds.is_little_endian, ds.is_implicit_VR = True, False
    ds.SOPClassUID, ds.SOPInstanceUID = CT, meta.MediaStorageSOPInstanceUID
    ds.StudyInstanceUID, ds.SeriesInstanceUID = study or generate_uid(), series or generate_uid()
    ds.PatientID, ds.PatientName, ds.Modality = "STOW-1", "Test^Stow", "CT"
    ds.Rows = ds.Columns = 64
    ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation, ds.SamplesPerPixel = 16, 16, 15, 0, 1
    ds.PhotometricInterpretation = "MONOCHROME2"
    for name, value in attributes.items():
        setattr(ds, name, value)
    ds.PixelData = pixels
    out = io.BytesIO()
    ds.save_as(out, write_like_original=False)
    return out.getvalue(), ds


def body_of(parts, boundary=b"BOUND"):
    return b"".join(b"\r\n--" + boundary + b"\r\nContent-Type: application/dicom\r\n\r\n" + part for part in parts) \
        + b"\r\n--" + boundary + b"--\r\n"


def send(stack, web, parts, path="/studies", body=None, timeout=60):
    return web.post(stack.web + path, data=body or body_of(parts), timeout=timeout, headers={
        "Accept": JSON, "Content-Type": 'multipart/related; type="application/dicom"; boundary=BOUND'})


def sequence(answer, tag):
    return answer.json().get(tag, {}).get("Value", [])


def uids(items):
    return [item["00081155"]["Value"][0] for item in items]


def address(ds, level="instance"):
    path = f"/studies/{ds.StudyInstanceUID}"
    if level != "study":
        path += f"/series/{ds.SeriesInstanceUID}"
    return path + (f"/instances/{ds.SOPInstanceUID}" if level == "instance" else "")


def retrieve(stack, web, ds):
    """The file that WADO-RS gives back, or the status when it gives none."""
    answer = web.get(stack.web + address(ds), timeout=30, headers={
        "Accept": 'multipart/related; type="application/dicom"; transfer-syntax=*'})
    if answer.status_code != 200:
        return answer.status_code
    boundary = answer.headers["Content-Type"].split("boundary=")[1].split(";")[0].strip('"').encode()
    return answer.content.split(b"--" + boundary)[1].split(b"\r\n\r\n", 1)[1][:-2]


def dataset_bytes(file):
    """What lies behind the file meta group.  PS3.10 7.1"""
    length = int.from_bytes(file[140:144], "little")
    return file[144 + length:]


def found(stack, web, ds):
    answer = web.get(stack.web + f"/studies?StudyInstanceUID={ds.StudyInstanceUID}", timeout=30,
                     headers={"Accept": JSON})
    return answer.status_code == 200 and len(answer.json()) == 1


def test_what_was_stored_comes_back_bit_for_bit(stack, web):
    one, first = make_instance()
    two, second = make_instance(first.StudyInstanceUID, first.SeriesInstanceUID, pixels=os.urandom(8192))
    answer = send(stack, web, [one, two])
    assert answer.status_code == 200, answer.text
    items = sequence(answer, "00081199")
    assert uids(items) == [first.SOPInstanceUID, second.SOPInstanceUID]
    assert items[0]["00081190"]["Value"] == [stack.web + address(first)]
    assert answer.json()["00081190"]["Value"] == [stack.web + address(first, "study")]
    assert found(stack, web, first)
    for file, ds in ((one, first), (two, second)):
        assert dataset_bytes(retrieve(stack, web, ds)) == dataset_bytes(file)
        assert web.get(items[0]["00081190"]["Value"][0], timeout=30).status_code == 200


def test_chunked_upload_of_a_large_instance(stack, web):
    file, ds = make_instance(pixels=os.urandom(20 << 20), Rows=2560, Columns=4096)
    body = body_of([file])
    answer = send(stack, web, None, body=(body[i:i + 100_000] for i in range(0, len(body), 100_000)))
    assert answer.status_code == 200, answer.text
    assert dataset_bytes(retrieve(stack, web, ds)) == dataset_bytes(file)


def test_the_same_again_is_success(stack, web):
    file, ds = make_instance()
    for _ in range(2):
        answer = send(stack, web, [file])
        assert answer.status_code == 200, answer.text
        assert uids(sequence(answer, "00081199")) == [ds.SOPInstanceUID]


def test_other_bytes_under_the_same_uid_are_a_conflict(stack, web):
    file, ds = make_instance()
    other, _ = make_instance(ds.StudyInstanceUID, ds.SeriesInstanceUID, ds.SOPInstanceUID, PatientID="STOW-2")
    assert send(stack, web, [file]).status_code == 200
    answer = send(stack, web, [other])
    assert answer.status_code == 202, answer.text
    stored = sequence(answer, "00081199")
    assert uids(stored) == [ds.SOPInstanceUID] and stored[0]["00081196"]["Value"] == [CONFLICT]
    assert dataset_bytes(retrieve(stack, web, ds)) == dataset_bytes(file)


def test_each_failure_has_its_reason(stack, web):
    good, ds = make_instance()
    stray, other = make_instance()
    answer = send(stack, web, [good, stray, b"no DICOM at all" * 50], f"/studies/{ds.StudyInstanceUID}")
    assert answer.status_code == 202, answer.text
    assert uids(sequence(answer, "00081199")) == [ds.SOPInstanceUID]
    failed = sequence(answer, "00081198")
    assert uids(failed) == [other.SOPInstanceUID] and failed[0]["00081197"]["Value"] == [MISMATCH]
    assert [i["00081197"]["Value"] for i in sequence(answer, "0008119A")] == [[NOT_UNDERSTOOD]]
    assert retrieve(stack, web, other) == 404


@pytest.mark.parametrize("cut", [10, 1000, 5000])
def test_an_upload_that_breaks_off_stores_nothing(stack, web, cut):
    file, ds = make_instance()
    answer = send(stack, web, None, body=body_of([file])[:-cut])
    assert answer.status_code == 400, answer.text
    assert retrieve(stack, web, ds) == 404


@pytest.mark.parametrize("level", ["study", "series", "instance"])
def test_delete(stack, web, level):
    file, ds = make_instance()
    assert send(stack, web, [file]).status_code == 200
    assert web.delete(stack.web + address(ds, level), timeout=30).status_code == 204
    assert retrieve(stack, web, ds) == 404
    assert not found(stack, web, ds)
    assert web.delete(stack.web + address(ds, level), timeout=30).status_code == 404


def test_what_was_deleted_may_come_again(stack, web):
    file, ds = make_instance()
    assert send(stack, web, [file]).status_code == 200
    assert web.delete(stack.web + address(ds, "study"), timeout=30).status_code == 204
    assert send(stack, web, [file]).status_code == 200
    assert dataset_bytes(retrieve(stack, web, ds)) == dataset_bytes(file)


def test_delete_of_what_is_no_uid(stack, web):
    assert web.delete(stack.web + "/studies/a%20b", timeout=30).status_code == 400


def test_an_acknowledged_instance_survives_kill(fresh_stack):
    stack = fresh_stack
    with stack.session() as web:
        file, ds = make_instance()
        assert send(stack, web, [file]).status_code == 200
        for service in ("dicomweb", "index"):
            os.kill(stack.pid(service), signal.SIGKILL)
        wait_until(lambda: stack.is_healthy("dicomweb") and stack.is_healthy("index"), 30)
        wait_until(lambda: retrieve(stack, web, ds) not in (404, 502, 503, 504), 20)
        assert dataset_bytes(retrieve(stack, web, ds)) == dataset_bytes(file)
        again, other = make_instance(ds.StudyInstanceUID)
        assert send(stack, web, [again]).status_code == 200


def supervisor(stack, *words):
    subprocess.run(["supervisorctl", "-c", str(stack.data / "run/supervisord.conf"), *words], check=True,
                   capture_output=True, timeout=60)


def test_without_the_index_the_answer_is_202_and_nothing_is_lost(fresh_stack):
    stack = fresh_stack
    with stack.session() as web:
        file, ds = make_instance()
        supervisor(stack, "stop", "index")
        answer = send(stack, web, [file])
        assert answer.status_code == 202, answer.text
        items = sequence(answer, "00081199")
        assert uids(items) == [ds.SOPInstanceUID] and items[0]["00081196"]["Value"] == [NOT_INDEXED]
        supervisor(stack, "start", "index")
        wait_until(lambda: found(stack, web, ds), 30)
        assert dataset_bytes(retrieve(stack, web, ds)) == dataset_bytes(file)
