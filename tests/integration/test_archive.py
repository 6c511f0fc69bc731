"""The operator's verbs on a real archive: import, export, verify, delete; promise P3. For P2 see test_queries.py."""
import hashlib
import os
import shutil
import zipfile
from io import BytesIO

import pydicom
import pytest
from stack import Stack
from test_peers import make_ct, part10

ANY = 'multipart/related; type="application/dicom"; transfer-syntax=*'

def dataset_of(file):
    """The bytes behind the file meta of a Part 10 file; all of a file without one."""
    if file[128:132] != b"DICM":
        return file
    if file[132:136] == b"\x02\0\0\0":
        return file[144 + int.from_bytes(file[140:144], "little"):]
    stream = BytesIO(file)
    stream.seek(132)
    pydicom.filereader._read_file_meta_info(stream)
    return file[stream.tell():]


def good_files(folder):
    """(name, bytes, UIDs) of the files that must work; of files with one SOP Instance UID the first."""
    seen = set()
    for path in sorted((folder / "good").iterdir()):
        file = path.read_bytes()
        ds = pydicom.dcmread(BytesIO(file), stop_before_pixels=True, force=True,
                             specific_tags=["StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID"])
        if ds.SOPInstanceUID not in seen:
            seen.add(ds.SOPInstanceUID)
            yield path, file, (ds.StudyInstanceUID, ds.SeriesInstanceUID, ds.SOPInstanceUID)


@pytest.fixture(scope="module")
def archive(shared_data):
    """A stack into which all good files were imported."""
    with Stack() as stack:
        folder = stack.folder / "good"
        folder.mkdir()
        stack.files = list(good_files(shared_data))
        for path, _, _ in stack.files:
            shutil.copy(path, folder)
        (folder / "notes.txt").write_text("not DICOM")
        stack.imported = stack.zpacs("import", folder, check=False)
        yield stack


@pytest.fixture(scope="module")
def session(archive):
    with archive.session() as session:
        yield session


def test_import_says_what_it_did(archive):
    assert archive.imported.returncode == 0, archive.imported.stderr
    assert f"{len(archive.files)} stored" in archive.imported.stderr
    assert "notes.txt: " in archive.imported.stderr and "1 skipped" in archive.imported.stderr


def test_every_good_file_comes_back_byte_for_byte(archive, session):
    wrong = []
    for path, file, (study, series, instance) in archive.files:
        answer = session.get(f"{archive.web}/studies/{study}/series/{series}/instances/{instance}",
                             headers={"Accept": "application/dicom; transfer-syntax=*"}, timeout=60)
        if answer.status_code != 200 or dataset_of(answer.content) != dataset_of(file):
            wrong.append((path.name, answer.status_code))
    assert not wrong, wrong


def test_import_again_stores_nothing_twice(archive, session):
    def everything():
        return session.get(f"{archive.web}/instances?limit=5000&includefield=all", timeout=60).json()

    before = everything()
    again = archive.zpacs("import", archive.folder / "good")
    assert f"({len(archive.files)} of them were there already, 0 conflicts)" in again.stderr
    assert len(before) == len(archive.files) and everything() == before


def test_import_of_a_zip_with_names_that_are_paths(archive, session, tmp_path):
    ds = make_ct(PatientID="ZIP-1")
    with zipfile.ZipFile(tmp_path / "study.zip", "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("../../../../tmp/evil.dcm", part10(ds))
        file.writestr("README", "hello")
    result = archive.zpacs("import", tmp_path / "study.zip")
    assert "1 stored" in result.stderr and "1 skipped" in result.stderr
    assert session.get(f"{archive.web}/studies?PatientID=ZIP-1").json()[0]["0020000D"]["Value"] == [ds.StudyInstanceUID]


def test_import_says_what_is_a_program_too(archive, session, tmp_path):
    """A ZIP's head as the preamble makes no ZIP of it."""
    ds, other = make_ct(PatientID="DISGUISED"), make_ct(PatientID="DISGUISED")
    (tmp_path / "zip.dcm").write_bytes(b"PK\3\4".ljust(128, b"z") + part10(ds)[128:])
    (tmp_path / "zeros.dcm").write_bytes(part10(other))
    result = archive.zpacs("import", tmp_path)
    assert "2 stored" in result.stderr and "0 skipped" in result.stderr
    assert "zip.dcm: by its preamble a ZIP archive, too" in result.stderr and "1 of the stored are programs" in result.stderr
    assert "zeros.dcm" not in result.stderr
    assert len(session.get(f"{archive.web}/studies?PatientID=DISGUISED").json()) == 2


def test_import_of_a_zip_bomb_ends_early(archive, tmp_path):
    with zipfile.ZipFile(tmp_path / "bomb.zip", "w", zipfile.ZIP_DEFLATED) as file:
        with file.open("bomb.dcm", "w", force_zip64=True) as entry:
            entry.write(part10(make_ct())[:-512])
            for _ in range(600):
                entry.write(bytes(1024 * 1024))
    result = archive.zpacs("import", tmp_path / "bomb.zip", check=False)
    assert "unpacks to more than" in result.stderr
    assert "0 stored" in result.stderr


def test_export_writes_what_was_stored(archive, tmp_path):
    tmp_path.chmod(0o777)
    for parent in list(tmp_path.parents)[:3]:
        parent.chmod(parent.stat().st_mode | 0o055)
    study = archive.files[0][2][0]
    archive.zpacs("export", f"StudyInstanceUID={study}", tmp_path / "out")
    want = {hashlib.sha256(dataset_of(file)).hexdigest() for _, file, uids in archive.files if uids[0] == study}
    got = {hashlib.sha256(dataset_of(path.read_bytes())).hexdigest() for path in (tmp_path / "out").rglob("*.dcm")}
    assert got == want


def test_deleted_instance_may_be_sent_again(archive, session):
    _, file, (study, series, instance) = archive.files[11]
    url = f"{archive.web}/studies/{study}/series/{series}/instances/{instance}"
    assert session.delete(url, timeout=30).status_code in (200, 204)
    assert session.get(url, headers={"Accept": ANY}).status_code == 404
    archive.zpacs("import", archive.files[11][0])
    answer = session.get(url, headers={"Accept": "application/dicom; transfer-syntax=*"})
    assert dataset_of(answer.content) == dataset_of(file)


def test_conflict_keeps_the_first_and_lists_the_other(archive, session, tmp_path):
    first = make_ct(PatientID="CONFLICT-1")
    (tmp_path / "first.dcm").write_bytes(part10(first))
    archive.zpacs("import", tmp_path / "first.dcm")
    url = (f"{archive.web}/studies/{first.StudyInstanceUID}/series/{first.SeriesInstanceUID}"
           f"/instances/{first.SOPInstanceUID}")
    other = make_ct(PatientID="CONFLICT-1", StudyInstanceUID=first.StudyInstanceUID, SOPInstanceUID=first.SOPInstanceUID,
                    SeriesInstanceUID=first.SeriesInstanceUID, PixelData=bytes(512))
    (tmp_path / "other.dcm").write_bytes(part10(other))
    result = archive.zpacs("import", tmp_path / "other.dcm", check=False)
    assert "1 conflicts" in result.stderr and result.returncode == 1
    answer = session.get(url, headers={"Accept": "application/dicom; transfer-syntax=*"})
    assert dataset_of(answer.content) == dataset_of(part10(first))
    assert str(first.SOPInstanceUID) in archive.zpacs("conflicts", check=False).stdout


def test_verify_finds_one_flipped_bit(archive):
    assert archive.zpacs("verify").returncode == 0
    archive.down()
    pack = max((archive.data / "packs").rglob("*.pack"), key=lambda path: path.stat().st_size)
    with open(pack, "r+b") as file:
        file.seek(pack.stat().st_size // 2)
        byte = file.read(1)
        file.seek(-1, 1)
        file.write(bytes([byte[0] ^ 1]))
    damaged = archive.zpacs("verify", check=False)
    assert damaged.returncode == 1 and f"damaged: pack {pack.stem}" in damaged.stderr, damaged.stderr
    with open(pack, "r+b") as file:
        file.seek(pack.stat().st_size // 2)
        file.write(byte)
    assert archive.zpacs("verify").returncode == 0
    archive.up()


def test_a_pack_that_lost_its_end_is_no_fault_of_the_client(fresh_stack, tmp_path):
    """Whatever is asked of it: 500 with the reason, and no half answer, which nginx would call 502."""
    ds = make_ct(PatientID="CUT")
    (tmp_path / "one.dcm").write_bytes(part10(ds))
    fresh_stack.zpacs("import", tmp_path / "one.dcm")
    [pack] = (fresh_stack.data / "packs").rglob("*.pack")
    os.truncate(pack, 4096 + 100)
    study = f"{fresh_stack.web}/studies/{ds.StudyInstanceUID}"
    instance = f"{study}/series/{ds.SeriesInstanceUID}/instances/{ds.SOPInstanceUID}"
    with fresh_stack.session() as web:
        for url in (study, instance, f"{instance}/metadata", f"{instance}/frames/1", f"{instance}/bulkdata/7FE00010"):
            answer = web.get(url, headers={"Accept": "*/*"}, timeout=30)
            assert answer.status_code == 500, (url, answer.status_code, answer.text)
            assert "ends before the instance does" in answer.json()["detail"]
    assert "pack.cut" in fresh_stack.log("dicomweb")
