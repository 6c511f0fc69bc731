"""Real files, cut and with bits turned: stored or refused, and never a trouble to whoever reads them."""
import json
import re

import pytest
from dimse_client import Association, Ended
from instances import dice
from scale import IS_LONG, count
from strangers import upload

HEADER = 4096  # bits are turned here; behind it are pixels, which nobody looks into
ANYTHING = 'application/dicom+json, multipart/related; type="application/dicom"; transfer-syntax=*'
AS_XML = 'multipart/related; type="application/dicom+xml"'


def mangled(good):
    """Copies that are cut somewhere, and copies with one to three bits turned."""
    bad = [good[:dice.randrange(min(132, len(good) - 1), len(good))] for _ in range(count("cuts per file"))]
    for _ in range(count("flips per file")):
        copy = bytearray(good)
        for _ in range(dice.choice((1, 1, 3))):
            copy[dice.randrange(min(132, len(copy) - 1), min(len(copy), HEADER))] ^= 1 << dice.randrange(8)
        bad.append(bytes(copy))
    return bad


@pytest.fixture(scope="module")
def files(shared_data):
    """The smallest of the good ones; in the long version all, the odd ones too."""
    folders = ("good", "odd") if IS_LONG else ("good",)
    paths = [path for folder in folders for path in (shared_data / folder).iterdir() if path.is_file()]
    return sorted(paths, key=lambda path: (path.stat().st_size, path.name))[:count("mangled files")]


def assert_readable(stack, web, study):
    for what, accept in (("/metadata", ANYTHING), ("/metadata", AS_XML), ("", ANYTHING), ("/series", ANYTHING),
                         ("/instances?includefield=all", ANYTHING)):
        answer = web.get(f"{stack.web}/studies/{study}{what}", timeout=60, headers={"Accept": accept})
        assert answer.status_code < 500, (study, what, answer.text[:300])
        if "json" in answer.headers.get("Content-Type", ""):
            json.loads(answer.content.decode("utf-8"))


def test_mangled_files_by_stow(stack, web, files):
    studies = set()
    for path in files:
        answer = upload(stack, web, mangled(path.read_bytes()))
        assert answer.status_code in (200, 202, 409), (path.name, answer.text[:300])
        for item in answer.json().get("00081199", {}).get("Value", []):
            studies.add(re.search(r"/studies/([^/]+)", item["00081190"]["Value"][0])[1])
    assert studies
    for study in studies:
        assert_readable(stack, web, study)


def parts_of(data):
    """(SOP class, SOP instance, transfer syntax, dataset) as the file meta has them; None when it cannot be read."""
    length = re.match(rb".{128}DICM\x02\x00\x00\x00UL\x04\x00(.{4})", data, re.S)
    if not length:
        return None
    end = 144 + int.from_bytes(length[1], "little")
    meta = data[144:end]
    uids = [re.search(tag + rb"UI(..)", meta, re.S) for tag in (b"\x02\x00\x02\x00", b"\x02\x00\x03\x00", b"\x02\x00\x10\x00")]
    if not all(uids):
        return None
    texts = [meta[uid.end():uid.end() + int.from_bytes(uid[1], "little")].rstrip(b"\0 ").decode("latin-1") for uid in uids]
    return (*texts, data[end:])


def test_mangled_files_by_c_store(stack, files):
    """The dataset is mangled, the association around it is right: every answer is a status, or the association's end."""
    answers = set()
    for path in files:
        whole = parts_of(path.read_bytes())
        if not whole:
            continue
        sop_class, sop_instance, syntax, dataset = whole
        for bad in mangled(b"\0" * 132 + dataset):
            try:
                with Association(stack.dicom_port, [(sop_class, [syntax])]) as peer:
                    if peer.accepted:
                        answers.add(peer.store(sop_class, sop_instance, bad[132:]).status)
                        peer.release()
            except (Ended, ConnectionError):
                answers.add("ended")
    assert 0 in answers and answers <= {0, 0xA900, 0xC000, "ended"}, answers


def test_mangled_files_by_import(stack, files, tmp_path):
    tmp_path.chmod(0o755)
    copies = 0
    for path in files:
        for bad in mangled(path.read_bytes()):
            (tmp_path / f"{copies}.dcm").write_bytes(bad)
            copies += 1
    result = stack.zpacs("import", tmp_path, check=False, timeout=1800)
    stored, skipped = (int(n) for n in re.search(r"(\d+) stored .* (\d+) skipped\n*\Z", result.stderr).groups())
    assert result.returncode in (0, 1) and stored + skipped == copies and stored and skipped
