"""WADO-RS in Explicit VR Little Endian of what is stored in another native transfer syntax, against pydicom."""
import shutil
import warnings
from io import BytesIO

import pydicom
import pytest
import requests
from pydicom import filewriter
from stack import Stack
from test_archive import dataset_of, good_files
from test_peers import make_ct, part10

IMPLICIT, EXPLICIT, BIG, DEFLATED = (f"1.2.840.10008.1.2{end}" for end in ("", ".1", ".2", ".1.99"))
WORD = {"OW": 2, "OL": 4, "OF": 4, "OD": 8, "OV": 8}
SINGLE, MANY = "application/dicom", 'multipart/related; type="application/dicom"'

warnings.filterwarnings("ignore")


def syntax_of(file):
    return pydicom.dcmread(BytesIO(file), force=True, specific_tags=[]).file_meta.get("TransferSyntaxUID", IMPLICIT)


@pytest.fixture(scope="module")
def archive(shared_data):
    """A stack with every good file of another native transfer syntax."""
    with Stack() as stack:
        folder = stack.folder / "native"
        folder.mkdir()
        stack.files = [(path, file, uids) for path, file, uids in good_files(shared_data)
                       if syntax_of(file) in (IMPLICIT, BIG, DEFLATED)]
        for path, _, _ in stack.files:
            shutil.copy(path, folder)
        stack.zpacs("import", folder)
        yield stack


@pytest.fixture(scope="module")
def session(archive):
    with archive.session() as session:
        yield session


def url_of(stack, uids):
    return "{}/studies/{}/series/{}/instances/{}".format(stack.web, *uids)


def read(file):
    """A dataset whose ambiguous VRs are decided."""
    ds = pydicom.dcmread(BytesIO(file), force=True)
    try:
        filewriter.correct_ambiguous_vr(ds, ds.is_little_endian)
    except (AttributeError, NotImplementedError):
        pass
    return ds


def turned(value, word):
    whole = len(value) - len(value) % word
    return b"".join(value[i:i + word][::-1] for i in range(0, whole, word)) + value[whole:]


def word_of(element, ds, is_top):
    """Bytes of a word of a big endian value; pixels of 32 bits are turned round as a whole."""
    bits = ds.get("BitsAllocated", 0)
    if is_top and element.keyword == "PixelData" and bits >= 16:
        return bits // 8
    return WORD.get(element.VR, 1)


class Comparison:
    def __init__(self, is_big):
        self.is_big = is_big
        self.faults = []
        self.compared = 0

    def dataset(self, want, got, path=""):
        tags = [tag for tag in want.keys() if tag.element != 0 and tag != 0xFFFCFFFC]
        if tags != list(got.keys()):
            self.faults.append(f"{path}: other attributes: {set(tags) ^ set(got.keys())}")
            return
        for tag in tags:
            self.element(want, got, tag, f"{path}/{tag}")

    def element(self, want, got, tag, path):
        """VR and value; what pydicom cannot convert is compared as bytes."""
        try:
            left, right = want[tag], got[tag]
        except Exception:
            if want.get_item(tag).value != got.get_item(tag).value:
                self.faults.append(f"{path}: bytes differ")
            return
        self.compared += 1
        if left.VR == "SQ" and right.VR == "SQ":
            if len(left.value) != len(right.value):
                self.faults.append(f"{path}: {len(right.value)} items, not {len(left.value)}")
                return
            for number, (a, b) in enumerate(zip(left.value, right.value)):
                self.dataset(a, b, f"{path}[{number}]")
        elif left.VR != right.VR and not (tag.is_private and right.VR == "UN") and " or " not in left.VR:
            self.faults.append(f"{path}: {right.VR}, not {left.VR}")
        elif isinstance(left.value, bytes):
            self.bytes(left, right, want, path)
        elif left.VR == right.VR and left.value != right.value and str(left.value) != str(right.value):
            self.faults.append(f"{path}: {right.value!r}, not {left.value!r}")

    def bytes(self, left, right, ds, path):
        value = left.value
        if self.is_big:
            value = turned(value, word_of(left, ds, path.count("/") == 1))
        if value + b"\0" * (len(value) % 2) != right.value:
            self.faults.append(f"{path}: bytes differ")


def test_every_native_file_in_explicit_little_endian(archive, session):
    assert len(archive.files) >= 30
    faults, seen = [], set()
    for path, file, uids in archive.files:
        answer = session.get(url_of(archive, uids), headers={"Accept": SINGLE}, timeout=60)
        assert answer.status_code == 200, (path.name, answer.text)
        assert answer.headers["Content-Type"] == f"{SINGLE}; transfer-syntax={EXPLICIT}"
        assert int(answer.headers["Content-Length"]) == len(answer.content)
        got = pydicom.dcmread(BytesIO(answer.content))
        assert got.file_meta.TransferSyntaxUID == EXPLICIT
        assert got.file_meta.MediaStorageSOPInstanceUID == uids[2]
        comparison = Comparison(syntax_of(file) == BIG)
        comparison.dataset(read(file), got)
        assert comparison.compared > 5
        faults += [f"{path.name}{fault}" for fault in comparison.faults]
        seen.add(syntax_of(file))
    assert not faults, "\n".join(faults[:40])
    assert seen == {IMPLICIT, BIG, DEFLATED}


def pixels_of(shared_data, name):
    return pydicom.dcmread(shared_data / "good" / name).PixelData


@pytest.mark.parametrize("big, little", [
    ("pydicom__test_files_SC_rgb_small_odd_big_endian.dcm", "dicom-test-files__pydicom_SC_rgb_small_odd.dcm"),
    ("pydicom-data__data_OBXXXX1A_expb.dcm", "pydicom-data__data_OBXXXX1A.dcm"),
    ("pydicom__test_files_rtdose_expb_1frame.dcm", "pydicom__test_files_rtdose_1frame.dcm"),
    ("pydicom-data__data_SC_rgb_expb_16bit.dcm", "pydicom-data__data_SC_rgb_16bit.dcm"),
    ("dicomParser__testImages_CT1_UNC.explicit_big_endian.dcm", "dicomParser__testImages_CT1_UNC.implicit_little_endian.dcm"),
])
def test_big_endian_pixels_are_those_of_the_little_endian_sibling(archive, session, shared_data, big, little):
    """The same image, written by others in both orders of bytes: 8 bits in OW, 16, 32."""
    want = pixels_of(shared_data, little)
    ds = pydicom.dcmread(shared_data / "good" / big, stop_before_pixels=True)
    answer = session.get(url_of(archive, (ds.StudyInstanceUID, ds.SeriesInstanceUID, ds.SOPInstanceUID)),
                         headers={"Accept": SINGLE}, timeout=60)
    assert answer.status_code == 200
    assert pydicom.dcmread(BytesIO(answer.content)).PixelData == want
    bulk = session.get(url_of(archive, (ds.StudyInstanceUID, ds.SeriesInstanceUID, ds.SOPInstanceUID)) + "/bulkdata/7FE00010",
                       headers={"Accept": "application/octet-stream"}, timeout=60)
    assert bulk.status_code == 200 and bulk.content == want


def frames_in(pixels, ds):
    """The bytes of each frame that can be had: whole ones of the little endian value."""
    frames = int(ds.get("NumberOfFrames", 1))
    bits = ds.Rows * ds.Columns * ds.SamplesPerPixel * ds.BitsAllocated
    number = int.from_bytes(pixels, "little") if bits % 8 else 0
    for i in range(frames):
        if bits % 8:
            yield (number >> i * bits & (1 << bits) - 1).to_bytes((bits + 7) // 8, "little")
        else:
            yield pixels[i * bits // 8:(i + 1) * bits // 8]


@pytest.fixture(scope="module")
def odd_frames(archive):
    """Frames of an odd size in OW, so that each second one begins inside a word: of 8 bits, and of single bits."""
    made = []
    for bits, rows, columns in (8, 3, 5), (1, 5, 5):
        size = (rows * columns * bits * 7 + 7) // 8
        pixels = bytes(range(1, size + size % 2 + 1))
        ds = make_ct(PatientID="ODD", Rows=rows, Columns=columns, NumberOfFrames=7, BitsAllocated=bits, BitsStored=bits,
                     HighBit=bits - 1, PixelData=turned(pixels, 2))
        ds["PixelData"].VR = "OW"
        ds.file_meta.TransferSyntaxUID = BIG
        ds.is_little_endian, ds.is_implicit_VR = False, False
        path = archive.folder / f"odd-{bits}.dcm"
        ds.save_as(path, write_like_original=False)
        archive.zpacs("import", path)
        made.append((path.name, path.read_bytes(), (ds.StudyInstanceUID, ds.SeriesInstanceUID, ds.SOPInstanceUID)))
    return made


def test_frames_and_bulk_data_are_the_bytes_of_the_whole_file(archive, session, odd_frames):
    """Whichever way pixels leave, it is the same little endian bytes, which are those that pydicom reads and turns."""
    octets = {"Accept": "application/octet-stream"}
    compared, widths = 0, set()
    for name, file, uids in archive.files + odd_frames:
        ds = read(file)
        if syntax_of(file) != BIG or "PixelData" not in ds:
            continue
        want = turned(ds.PixelData, word_of(ds["PixelData"], ds, True))
        url = url_of(archive, uids)
        bulk = session.get(f"{url}/bulkdata/7FE00010", headers=octets, timeout=60)
        assert bulk.status_code == 200 and bulk.content == want, name
        part = session.get(f"{url}/bulkdata/7FE00010", headers={**octets, "Range": "bytes=3-7"}, timeout=60)
        assert part.status_code == 206 and part.content == want[3:8], name
        for number, frame in enumerate(frames_in(want, ds), 1):
            answer = session.get(f"{url}/frames/{number}", headers=octets, timeout=60)
            assert answer.status_code == 200 and answer.content == frame, (name, number)
            compared += 1
        widths.add((ds["PixelData"].VR, ds.BitsAllocated))
    assert compared > 20 and {("OW", 1), ("OW", 8), ("OW", 16), ("OW", 32)} <= widths, (compared, widths)


@pytest.mark.parametrize("accept, want", [
    ("application/dicom", EXPLICIT),
    (f"application/dicom; transfer-syntax={EXPLICIT}", EXPLICIT),
    ("application/dicom; transfer-syntax=*", None),
    (f"{MANY}; transfer-syntax=*", None),
    (f"{MANY}; transfer-syntax={EXPLICIT}", EXPLICIT),
    (MANY, EXPLICIT),
    (f"application/dicom; transfer-syntax=*; q=0.5, application/dicom; transfer-syntax={EXPLICIT}", EXPLICIT),
    ("application/dicom; transfer-syntax=1.2.840.10008.1.2.4.50", 406),
])
def test_what_accept_asks_for(archive, session, accept, want):
    """None: as stored, byte for byte."""
    for syntax in (IMPLICIT, BIG, DEFLATED):
        _, file, uids = next(row for row in archive.files if syntax_of(row[1]) == syntax)
        answer = session.get(url_of(archive, uids), headers={"Accept": accept}, timeout=60)
        if want == 406:
            assert answer.status_code == 406
            continue
        assert answer.status_code == 200
        body = answer.content
        if accept.startswith("multipart"):
            assert f"transfer-syntax={want or syntax}\r\n".encode() in body[:400]
            body = body[body.index(b"\r\n\r\n") + 4:body.rindex(b"\r\n--")]
        assert pydicom.dcmread(BytesIO(body)).file_meta.TransferSyntaxUID == (want or syntax)
        if want is None:
            assert dataset_of(body) == dataset_of(file)


def test_a_study_of_mixed_syntaxes(archive, session):
    """Each instance of a study comes in what Accept asks for, whatever it is stored in."""
    study = pydicom.uid.generate_uid()
    instances = {}
    for syntax in (IMPLICIT, EXPLICIT, BIG):
        ds = make_ct(StudyInstanceUID=study, PatientID="MIXED")
        ds.file_meta.TransferSyntaxUID = syntax
        ds.is_little_endian, ds.is_implicit_VR = syntax != BIG, syntax == IMPLICIT
        path = archive.folder / f"{syntax}.dcm"
        ds.save_as(path, write_like_original=False)
        instances[ds.SOPInstanceUID] = path.read_bytes()
        archive.zpacs("import", path)
    answer = session.get(f"{archive.web}/studies/{study}", headers={"Accept": MANY}, timeout=60)
    assert answer.status_code == 200
    boundary = answer.headers["Content-Type"].split("boundary=")[1].encode()
    parts = answer.content.split(b"--" + boundary)[1:-1]
    got = [pydicom.dcmread(BytesIO(part[part.index(b"\r\n\r\n") + 4:-2])) for part in parts]
    assert {ds.file_meta.TransferSyntaxUID for ds in got} == {EXPLICIT}
    assert {ds.SOPInstanceUID for ds in got} == set(instances)


def test_compressed_pixels_stay_refused(archive, session, shared_data):
    name = "pydicom__test_files_SC_rgb_small_odd_jpeg.dcm"
    archive.zpacs("import", shared_data / "good" / name)
    ds = pydicom.dcmread(shared_data / "good" / name, stop_before_pixels=True)
    url = url_of(archive, (ds.StudyInstanceUID, ds.SeriesInstanceUID, ds.SOPInstanceUID))
    assert session.get(url, headers={"Accept": SINGLE}).status_code == 406
    assert session.get(url, headers={"Accept": f"{SINGLE}; transfer-syntax=*"}).status_code == 200


def test_fragments_in_a_native_syntax_are_refused(archive, session):
    """Compressed pixels that claim to be native: as stored they can be had, recoded not."""
    ds = make_ct(PatientID="FRAGMENTS")
    del ds.PixelData
    ds.file_meta.TransferSyntaxUID = IMPLICIT
    ds.is_little_endian = ds.is_implicit_VR = True
    file = BytesIO()
    ds.save_as(file, write_like_original=False)
    fragments = b"\xe0\x7f\x10\0\xff\xff\xff\xff" b"\xfe\xff\0\xe0\0\0\0\0" b"\xfe\xff\0\xe0\4\0\0\0abcd" b"\xfe\xff\xdd\xe0\0\0\0\0"
    path = archive.folder / "fragments.dcm"
    path.write_bytes(file.getvalue() + fragments)
    archive.zpacs("import", path)
    url = url_of(archive, (ds.StudyInstanceUID, ds.SeriesInstanceUID, ds.SOPInstanceUID))
    refused = session.get(url, headers={"Accept": SINGLE})
    assert refused.status_code == 406 and "transfer-syntax=*" in refused.json()["detail"]
    answer = session.get(url, headers={"Accept": f"{SINGLE}; transfer-syntax=*"})
    assert dataset_of(answer.content) == dataset_of(path.read_bytes())
    study = f"{archive.web}/studies/{ds.StudyInstanceUID}"
    assert session.get(study, headers={"Accept": MANY}).status_code == 406
    same = {"PatientID": "FRAGMENTS", "StudyInstanceUID": ds.StudyInstanceUID, "SeriesInstanceUID": ds.SeriesInstanceUID}
    for size in (32, 1024):  # these go out first: no byte has left when the broken one's turn comes, and many have
        good = make_ct(**same, InstanceNumber=0, Rows=size, Columns=size, PixelData=bytes(2 * size * size))
        (archive.folder / "first.dcm").write_bytes(part10(good))
        archive.zpacs("import", archive.folder / "first.dcm")
        if size == 32:
            refused = session.get(study, headers={"Accept": MANY})
            assert refused.status_code == 406 and "transfer-syntax=*" in refused.json()["detail"]
    with pytest.raises(requests.exceptions.RequestException):  # it breaks off rather than lack one
        session.get(study, headers={"Accept": MANY}, timeout=30)
