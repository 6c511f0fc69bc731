"""MPEG2, MPEG-4 and HEVC: the stream as a whole, never by frames.  PS3.5 8.2.5-8.2.9, PS3.18 8.7.3, 10.4.1.1.5"""
import os

import pytest
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset, write_file_meta_info
from pydicom.uid import generate_uid
from test_stow import address, send

VIDEO = "1.2.840.10008.5.1.4.1.1.77.1.4.1"  # Video Photographic Image Storage
MPEG2, MPEG4, BLU_RAY, HEVC = (f"1.2.840.10008.1.2.4.{n}" for n in ("100", "102.1", "103", "107"))
STREAM = os.urandom(300_001) + b"\x80"


def item(data):
    return b"\xfe\xff\x00\xe0" + len(data).to_bytes(4, "little") + data


def make_video(syntax, fragments, frames=25):
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = VIDEO, generate_uid()
    meta.TransferSyntaxUID = syntax
    ds = Dataset()
    ds.is_little_endian, ds.is_implicit_VR = True, False
    ds.SOPClassUID, ds.SOPInstanceUID = VIDEO, meta.MediaStorageSOPInstanceUID
    ds.StudyInstanceUID, ds.SeriesInstanceUID = generate_uid(), generate_uid()
    ds.PatientID, ds.PatientName, ds.Modality = "VIDEO-1", "Test^Video", "XC"
    ds.NumberOfFrames, ds.Rows, ds.Columns = frames, 1080, 1920
    ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation, ds.SamplesPerPixel = 8, 8, 7, 0, 3
    ds.PhotometricInterpretation, ds.PlanarConfiguration = "YBR_PARTIAL_420", 0
    ds.PixelData = b"".join(map(item, [b"", *fragments]))
    ds["PixelData"].VR, ds["PixelData"].is_undefined_length = "OB", True
    out = DicomBytesIO()  # not by save_as(), which knows none of the fragmentable syntaxes
    out.is_little_endian, out.is_implicit_VR = True, False
    out.write(b"\0" * 128 + b"DICM")
    write_file_meta_info(out, meta, enforce_standard=True)
    write_dataset(out, ds)
    return out.getvalue(), ds


@pytest.fixture(scope="module")
def videos(stack, web):
    """By transfer syntax: one in one fragment, one cut anywhere, one with as many fragments as frames."""
    made = {MPEG2: make_video(MPEG2, [STREAM]), HEVC: make_video(HEVC, [STREAM]),
            MPEG4: make_video(MPEG4, [STREAM[:1000], STREAM[1000:200_000], STREAM[200_000:]]),
            BLU_RAY: make_video(BLU_RAY, [STREAM[:7000], STREAM[7000:]], frames=2)}
    answer = send(stack, web, [file for file, _ in made.values()])
    assert answer.status_code == 200, answer.text
    return {syntax: stack.web + address(ds) for syntax, (_, ds) in made.items()}


@pytest.mark.parametrize("syntax", [MPEG2, MPEG4, BLU_RAY, HEVC])
@pytest.mark.parametrize("accept", [None, "*/*", "multipart/related; type=\"video/mp4\"; transfer-syntax=*"])
def test_frames_are_refused_with_what_to_do(videos, web, syntax, accept):
    answer = web.get(videos[syntax] + "/frames/1", headers={"Accept": accept})
    assert answer.status_code == 406
    assert "bulkdata/7FE00010" in answer.text


@pytest.mark.parametrize("syntax, media", [(MPEG2, "video/mpeg"), (MPEG4, "video/mp4"), (BLU_RAY, "video/mp4"),
                                           (HEVC, "video/mp4")])
@pytest.mark.parametrize("form", ["*/*", "video/*", "{media}", "{media}; transfer-syntax=*", "{media}; transfer-syntax={syntax}"])
def test_the_stream_comes_whole(videos, web, syntax, media, form):
    answer = web.get(videos[syntax] + "/bulkdata/7FE00010", headers={
        "Accept": form.format(media=media, syntax=syntax)})
    assert answer.status_code == 200
    assert answer.headers["Content-Type"] == f"{media}; transfer-syntax={syntax}"
    assert answer.content == STREAM


@pytest.mark.parametrize("accept, syntax, status", [
    ("video/mpeg", MPEG2, 200),      # 4.100 is the default of video/mpeg
    ("video/mp4", MPEG2, 406),
    ("video/mpeg", HEVC, 406),
    ("video/mp4", HEVC, 200),        # 4.102 is its default, which does not bind who has it in lossy form only: 8.7.3.3
    ("video/mp4", MPEG4, 200),
    (f"video/mp4; transfer-syntax={BLU_RAY}", HEVC, 406),
    ("video/mp4; transfer-syntax=1.2.840.10008.1.2.4.102", HEVC, 406),
    ("application/octet-stream", HEVC, 406),  # decoded pixels
    ("video/mpeg, video/mp4;q=0.1", HEVC, 200),
    ("image/jpeg", MPEG4, 406),
    ("application/octet-stream; transfer-syntax=*", MPEG4, 200),
])
def test_what_accept_names(videos, web, accept, syntax, status):
    answer = web.get(videos[syntax] + "/bulkdata/7FE00010", headers={"Accept": accept})
    assert answer.status_code == status
    assert status != 200 or answer.content == STREAM


@pytest.mark.parametrize("any_syntax", ["", "; transfer-syntax=*"])
def test_in_parts(videos, web, any_syntax):
    answer = web.get(videos[MPEG4] + "/bulkdata/7FE00010", headers={
        "Accept": 'multipart/related; type="video/mp4"' + any_syntax})
    assert answer.status_code == 200
    boundary = answer.headers["Content-Type"].split("boundary=")[1].encode()
    head, body = answer.content.split(b"--" + boundary)[1].split(b"\r\n\r\n", 1)
    assert b"Content-Type: video/mp4; transfer-syntax=" + MPEG4.encode() in head
    assert body[:-2] == STREAM and int(answer.headers["Content-Length"]) == len(answer.content)


@pytest.mark.parametrize("first, last", [(0, 9), (990, 1010), (500, 250_000), (200_000, 200_000), (300_000, 300_001)])
def test_winding(videos, web, first, last):
    answer = web.get(videos[MPEG4] + "/bulkdata/7FE00010", headers={"Range": f"bytes={first}-{last}"})
    assert answer.status_code == 206 and answer.content == STREAM[first:last + 1]
    assert answer.headers["Content-Range"] == f"bytes {first}-{last}/{len(STREAM)}"


def test_behind_the_end(videos, web):
    answer = web.get(videos[MPEG4] + "/bulkdata/7FE00010", headers={"Range": f"bytes={len(STREAM)}-"})
    assert answer.status_code == 416


def test_metadata_names_that_bulk_data(videos, web):
    answer = web.get(videos[MPEG4] + "/metadata", headers={"Accept": "application/dicom+json"})
    url = answer.json()[0]["7FE00010"]["BulkDataURI"]
    assert web.get(url).content == STREAM
