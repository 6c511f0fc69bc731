"""Whatever peers send, each path that a service hands to the kernel is one that we chose."""
import os
import re
import urllib.parse
import zipfile
from collections import Counter

import pytest
import requests
from dimse_client import IMPLICIT, SECONDARY_CAPTURE, VERIFICATION, Association, Ended, Refused, element, number
from followed import Followed, paths_of, paths_of_program
from instances import explicit, instance, new_uid, part10, uid_of
from stack import ROOT
from strangers import JSON, raw

VALUES = [b"..", b"../../x", b"/etc/x", b"a/b", b"%2e%2e%2fx", b"1.2\0/x", b"1" * 65, b"x/" * 300, b"", b"-rf", b"\\", b"..\\x", b"/proc/self/mem",
          b"~root/x", b"x.pack", b"file:///etc/x", b"/etc/x\0.dcm"]

ULID = "[0-9A-HJKMNP-TV-Z]{26}"
# Below the data folder.
OURS = re.compile(rf"""
    \. | packs | packs/open | packs/open/{ULID}\.(new|pack) | packs/\d{{4}} | packs/\d{{4}}/\d\d | packs/\d{{4}}/\d\d/\d\d(/{ULID}\.pack)? |
    index | index/(index\.db(-wal|-shm|-journal)?|progress|lock) | reserve | quarantine(/{ULID}(-\d+|\.pack)?)? |
    keys | keys/allowed(/[a-z]+\.pub)? | keys/[a-z]+\.(key|pub)(_secret)? |
    run | run/[a-z-]+ | run/nginx-temp/(body|proxy)(/\d+)*
    """, re.VERBOSE)
# Of the system: what libc and its character sets read.
SYSTEM = re.compile(r"/dev/u?random|/sys/devices/system/cpu/(online|possible)|/proc/self/\w+|/proc/self/fd/\d+|/etc/(localtime|ld\.so\.cache)|/usr/share/zoneinfo(/\w+)*"
                    r"|(/usr)?/lib/[a-z0-9_-]+-linux-gnu/(gconv/[\w.-]+|lib[\w.+-]+\.so[.\d]*)")
# Of a program that starts: its libraries, and the name of the user who runs it.
START = re.compile(r"/|/etc/(ld\.so\.preload|nsswitch\.conf|passwd|protocols)|(/usr)?/lib(/[\w-]+)*(/lib[\w.+-]+\.so[.\d]*)?")
PAGES = {os.path.normpath(folder) for folder in (ROOT / "build/ohif/dist", (ROOT / "build/ohif/dist").resolve())}


def is_ours(path, data):
    below = os.path.relpath(path, data)
    if not below.startswith(".."):
        return bool(OURS.fullmatch(below)) or f"{below}/".startswith("program/build/ohif/dist/")
    return bool(SYSTEM.fullmatch(path)) or any(path == folder or path.startswith(folder + "/") for folder in PAGES)


def text(value, most=None):
    return value.decode("latin-1")[:most]


# ---- what is sent -------------------------------------------------------------------------------------

def with_texts(value, implicit):
    """An instance that can be stored, in whose texts, and in what names files elsewhere, stands the value."""
    uids = {0x00080016: SECONDARY_CAPTURE.encode(), 0x00080018: new_uid().encode(), 0x0020000D: new_uid().encode(), 0x0020000E: new_uid().encode()}
    rows = [(0x00041500, b"CS"), (0x00080005, b"CS"), (0x00080054, b"AE"), (0x00080080, b"LO"), (0x00081030, b"LO"), (0x00090010, b"LO"),
            (0x00100010, b"PN"), (0x00100020, b"LO"), (0x00400241, b"AE"), (0x00880140, b"UI"), *((tag, b"UI") for tag in uids)]
    return b"".join(element(tag, uids.get(tag, value)) if implicit else explicit(tag, vr, uids.get(tag, value), b"\0" if vr == b"UI" else b" ")
                    for tag, vr in sorted(rows))


def with_uids(value, implicit, uid=None):
    return instance(uid=uid or value, study=value, series=value, implicit=implicit)


def send_by_dimse(stack, value, dataset, uid):
    """The status; None when the association was refused, or ended."""
    try:
        with Association(stack.dicom_port, [(SECONDARY_CAPTURE, [IMPLICIT]), (VERIFICATION, [text(value, 64) or "1"])],
                         calling=text(value, 16), called=text(value, 16)) as peer:
            peer.send_command(1, element(0x0002, SECONDARY_CAPTURE.encode()), number(0x0100, 1), number(0x0110, 1), number(0x0700, 0),
                              number(0x0800, 0), element(0x1000, uid), element(0x1030, value))
            peer.send_dataset(1, dataset)
            return peer.read_answer().status
    except (Ended, Refused, ConnectionError):
        return None


def send_all_by_dimse(stack, value):
    texts, good = with_texts(value, True), new_uid().encode()
    for dataset, uid in ((texts, uid_of(texts, 0x00080018, True).encode()), (with_uids(value, True, good), good), (with_uids(value, True), value)):
        yield send_by_dimse(stack, value, dataset, uid)


def file_of(dataset, value):
    """Its file meta is of the value, too: source AE title, private information, and in every second the transfer syntax."""
    head = explicit(0x00020016, b"AE", value, b" ") + explicit(0x00020100, b"UI", value) + explicit(0x00020102, b"OB", value)
    return part10(dataset).replace(b"\x02\x00\x10\x00UI", head + b"\x02\x00\x10\x00UI", 1)


def send_all_by_stow(stack, web, value):
    head = b"\r\n--B\r\nContent-Type: application/dicom\r\n"
    quoted = value.replace(b"\0", b"?")  # a head with NUL is refused before it is looked at
    heads = head + b"Content-Location: " + quoted + b'\r\nContent-Disposition: attachment; filename="' + quoted + b'"\r\n'
    files = [file_of(with_texts(value, False), value), file_of(with_uids(value, False), value),
             part10(with_texts(value, False), text(value, 64))]
    body = b"".join(heads + b"\r\n" + file for file in files) + b"\r\n--B--\r\n"
    for path in ("", "/" + urllib.parse.quote(value, safe="")):
        yield web.post(stack.web + "/studies" + path, data=body, timeout=60, headers={
            "Accept": JSON, "Content-Type": 'multipart/related; type="application/dicom"; boundary=B'}).status_code


def addresses(value):
    """In each place of an address."""
    word, good = urllib.parse.quote(value, safe=""), new_uid()
    for key in ("StudyInstanceUID", "PatientName", "PatientID", "ModalitiesInStudy", "AccessionNumber", "00080054", "includefield", "limit", "x"):
        yield "GET", f"/dicom-web/studies?{key}={word}"
    for path in (f"/{word}", f"/{word}/metadata", f"/{good}/series/{word}", f"/{good}/series/{good}/instances/{word}", f"/{word}/rendered",
                 f"/{good}/series/{good}/instances/{good}/frames/{word}", f"/{good}/series/{good}/instances/{good}/bulkdata/{word}"):
        yield "GET", "/dicom-web/studies" + path
    yield "DELETE", f"/dicom-web/studies/{word}"
    yield "GET", f"/wado?requestType=WADO&studyUID={word}&seriesUID={word}&objectUID={word}"
    yield "GET", f"/api/studies/{word}/hold"
    yield "PUT", f"/api/studies/{word}/hold"
    yield "POST", f"/api/studies/{word}/undelete"
    yield "POST", f"/api/conflicts/{word}"
    yield "GET", f"/api/changes?after={word}"
    yield "GET", f"/ohif/{word}"
    yield "GET", f"/{word}"


def ask_all(stack, web, value):
    word = text(value).replace("\0", "?").strip() or "x"
    for method, path in addresses(value):
        request = web.prepare_request(requests.Request(method, stack.base, json={"reason": text(value)} if method in ("PUT", "POST") else None,
                                                       headers={"Accept": f"application/dicom; transfer-syntax={word}, */*"}))
        request.url = stack.base + path  # as it stands: requests would take the dots out
        yield web.send(request, timeout=60, allow_redirects=False).status_code


def ask_raw(stack, value):
    """What no library sends: dots and slashes as they are, to nginx and to dicomweb behind it."""
    secret = (stack.data / "run/gate").read_text().strip().encode()
    for port in (stack.port, stack.port + 1):
        for before in (b"/dicom-web/studies/", b"/ohif/", b"/ohif/../", b"/"):
            raw(port, b"GET " + before + value + b" HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nConnection: close\r\nAuthorization: Bearer %s\r\n"
                b"X-Zpacs-Gate: %s\r\n\r\n" % (stack.port, stack.token.encode(), secret), half_close=True)


# ---- the tests ----------------------------------------------------------------------------------------

@pytest.mark.parametrize("line, paths", [
    (r'12 openat(AT_FDCWD<\x2fa>, "\x2f\x62\x22", O_RDONLY) = 5</b>', ['/b"']),
    (r'12 openat(7<\x2fa\x2fb>, "\x2e\x2e\x2fc", O_RDONLY <unfinished ...>', ["/a/c"]),
    (r'12 rename("\x2fa", "\x62") = 0', ["/a", "/run/b"]),
    (r'12 renameat2(3<\x2fa>, "\x62", 4<\x2fc>, "\x64", RENAME_NOREPLACE) = 0', ["/a/b", "/c/d"]),
    (r'12 readlink("\x2fproc\x2fself\x2fexe", "\x2fbin\x2fx", 4096) = 6', ["/proc/self/exe"]),
    ("12 <... openat resumed>) = 3", [])])
def test_paths_are_read_from_what_strace_says(line, paths):
    assert [path for _, path in paths_of(line, "/run")] == paths


@pytest.mark.parametrize("path", [
    "/d/x", "/d/packs/open/1.2.3.pack", "/d/packs/open/../x", "/d/packs/2026/11/24/x/y.pack", "/d/index/../../etc/x", "/d/run/nginx/secrets.conf",
    "/d/logs/index.log", "/e", "/etc/x", "/etc/passwd", "/proc/self/../1/mem", "/proc/1/mem", "/usr/lib/x86_64-linux-gnu/x", "/tmp/x", "/"])
def test_other_paths_are_none_of_ours(path):
    assert not is_ours(os.path.normpath(path), "/d")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may follow the processes of another user")
@pytest.mark.asks("upload")  # strace makes all of it slow: what has a limit of time is not asked for
def test_peers_name_no_file(stack, web, tmp_path):
    seen = {"dimse": Counter(), "stow": Counter(), "http": Counter()}
    with Followed(stack, tmp_path / "trace") as followed:
        for value in VALUES:
            seen["dimse"].update(send_all_by_dimse(stack, value))
            seen["stow"].update(send_all_by_stow(stack, web, value))
            seen["http"].update(ask_all(stack, web, value))
            ask_raw(stack, value)
        dataset = instance(name=b"../../last")  # and its way into the index and out again
        assert web.post(stack.web + "/studies", data=b"--B\r\n\r\n" + part10(dataset) + b"\r\n--B--\r\n", timeout=60, headers={
            "Accept": JSON, "Content-Type": 'multipart/related; type="application/dicom"; boundary=B'}).status_code == 200
        study = uid_of(dataset, 0x0020000D)
        assert web.get(f"{stack.web}/studies/{study}/metadata", timeout=60).status_code == 200
        assert web.get(f"{stack.web}/studies/{study}", timeout=60, headers={"Accept": "multipart/related; type=\"application/dicom\"; transfer-syntax=*"}).ok
    print(f"\n{seen} {sum(followed.paths.values())} calls with a path, {len(followed.paths)} different")
    assert seen["dimse"][0] and seen["dimse"][0x0117] and seen["dimse"][0xC000] and seen["stow"][202] and seen["http"][200] and seen["http"][400], seen
    assert any(call == "openat" and path.startswith(str(stack.data / "packs/")) for call, path in followed.paths)
    assert not {(call, path) for call, path in followed.paths if not is_ours(path, str(stack.data))}


@pytest.mark.skipif(os.geteuid() != 0, reason="it runs as the services' user")
@pytest.mark.asks("upload")
def test_import_opens_what_it_was_given(stack, tmp_path):
    """Names in a ZIP, and what stands in the files."""
    folder = stack.folder / "import"
    folder.mkdir(mode=0o755)
    with zipfile.ZipFile(folder / "x.zip", "w") as archive:
        for number, value in enumerate(VALUES):
            archive.writestr(zipfile.ZipInfo(text(value).split("\0")[0] + f".{number}"), file_of(with_texts(value, False), value))
            archive.writestr(f"{number}/../../{text(value)}", file_of(with_uids(value, False), value))
    (folder / "link").symlink_to("/etc/x")
    said, paths = paths_of_program(
        ["setpriv", "--reuid=zpacs", "--regid=zpacs", "--init-groups", ROOT / "build/release/bin/zpacs-cli", "import", folder], tmp_path / "trace",
        str(folder), cwd=folder, env={"PATH": "/usr/bin:/bin", "LANG": "C.UTF-8", "ZPACS_DATA": str(stack.data)})
    assert int(re.search(r"(\d+) stored \(", said.stderr)[1]) >= len(VALUES), said.stderr  # all with texts
    assert ("openat", str(folder / "x.zip")) in paths
    own = {str(folder), str(folder / "x.zip"), str(folder / "link")}
    assert not {(call, path) for call, path in paths
                if path not in own and not START.fullmatch(path) and not is_ours(path, str(stack.data))}
