"""Sequences within sequences: 64 levels are read, more are refused, however many there are and in whatever form."""
import struct

import pytest
from dimse_client import EXPLICIT, IMPLICIT
from instances import instance, part10, uid_of
from scale import count
from stack import wait_until
from strangers import CANNOT_UNDERSTAND, reasons, store, upload

UNDEFINED = 0xFFFFFFFF
ITEM, ITEM_END, SEQUENCE_END = (struct.pack("<HH", 0xFFFE, n) for n in (0xE000, 0xE00D, 0xE0DD))
CLOSE = ITEM_END + b"\0\0\0\0" + SEQUENCE_END + b"\0\0\0\0"
CONTENT = struct.pack("<HH", 0x0040, 0xA730)  # a sequence of the dictionary
PRIVATE = struct.pack("<HH", 0x0041, 0x1001)
EXPLICIT_SQ, PRIVATE_UN, CONTENT_UN = CONTENT + b"SQ\0\0", PRIVATE + b"UN\0\0", CONTENT + b"UN\0\0"


def undefined(head):
    return head + struct.pack("<I", UNDEFINED) + ITEM + struct.pack("<I", UNDEFINED)


def defined(depth, head):
    """Levels of defined length, the outermost first."""
    size = len(head) + 12
    return b"".join([head + struct.pack("<I", size * (depth - k) - len(head) - 4) + ITEM +
                     struct.pack("<I", size * (depth - k - 1)) for k in range(depth)])


def un_defined(depth):
    inner = defined(depth - 1, CONTENT)
    item = ITEM + struct.pack("<I", len(inner)) + inner
    return CONTENT_UN + struct.pack("<I", len(item)) + item


NESTED = {
    "explicit undefined": (EXPLICIT, lambda n: undefined(EXPLICIT_SQ) * n + CLOSE * n),
    "explicit defined": (EXPLICIT, lambda n: defined(n, EXPLICIT_SQ)),
    "implicit undefined": (IMPLICIT, lambda n: undefined(CONTENT) * n + CLOSE * n),
    "implicit defined": (IMPLICIT, lambda n: defined(n, CONTENT)),
    "UN undefined": (EXPLICIT, lambda n: undefined(PRIVATE_UN) + undefined(CONTENT) * (n - 1) + CLOSE * n),
    "UN defined": (EXPLICIT, un_defined),
    "never closed": (EXPLICIT, lambda n: undefined(EXPLICIT_SQ) * n),
}
CLOSED = [form for form in NESTED if form != "never closed"]
DEEPEST = NESTED if count("deepest in every form") else ("explicit undefined", "implicit defined", "UN undefined")
XML = 'multipart/related; type="application/dicom+xml"'
DEPTHS = [(form, depth) for form in NESTED for depth in (65, 1000, 30_000)] + [(form, 1_000_000) for form in DEEPEST]


def nested(form, depth):
    syntax, make = NESTED[form]
    return instance(make(depth), implicit=syntax == IMPLICIT), syntax


@pytest.mark.parametrize("form, depth", DEPTHS)
def test_deep_sequences_are_refused(stack, web, form, depth):
    dataset, syntax = nested(form, depth)
    assert store(stack, dataset, syntax) == CANNOT_UNDERSTAND
    answer = upload(stack, web, [part10(dataset, syntax)])
    assert answer.status_code == 409 and reasons(answer) == [CANNOT_UNDERSTAND]


@pytest.mark.parametrize("form", CLOSED)
def test_sequences_as_deep_as_allowed_are_stored_and_shown(stack, web, form):
    for send in (lambda d, s: store(stack, d, s) == 0,
                 lambda d, s: upload(stack, web, [part10(d, s)]).status_code in (200, 202)):
        dataset, syntax = nested(form, 64)
        assert send(dataset, syntax)
        study = uid_of(dataset, 0x0020000D, syntax == IMPLICIT)
        wait_until(lambda: web.get(f"{stack.web}/studies?StudyInstanceUID={study}", timeout=10).json())
        answer = web.get(f"{stack.web}/studies/{study}/metadata", timeout=10)
        assert answer.status_code == 200
        assert answer.text.count('"SQ"') == 64
        answer = web.get(f"{stack.web}/studies/{study}/metadata", timeout=10, headers={"Accept": XML})
        assert answer.status_code == 200 and answer.text.count('vr="SQ"') == 64


def test_import_skips_deep_sequences(stack, tmp_path):
    tmp_path.chmod(0o755)
    for number, (form, depth) in enumerate([*DEPTHS, ("explicit undefined", 64), ("UN defined", 64)]):
        dataset, syntax = nested(form, depth)
        (tmp_path / f"{number}.dcm").write_bytes(part10(dataset, syntax))
    result = stack.zpacs("import", tmp_path, check=False)
    said = result.stdout + result.stderr
    assert result.returncode in (0, 1) and "2 stored" in said and f"{len(DEPTHS)} skipped" in said, said


def test_sequence_with_a_million_empty_items(stack, web):
    """Wide instead of deep: read or refused, never kept as a million of anything."""
    item = ITEM + b"\0\0\0\0"
    for tail in (EXPLICIT_SQ + struct.pack("<I", 8_000_000) + item * 1_000_000,
                 EXPLICIT_SQ + struct.pack("<I", UNDEFINED) + item * 1_000_000 + SEQUENCE_END + b"\0\0\0\0"):
        dataset = instance(tail)
        assert store(stack, dataset, EXPLICIT) in (0, CANNOT_UNDERSTAND)
        assert upload(stack, web, [part10(instance(tail))]).status_code in (200, 202, 409)
        assert web.get(f"{stack.web}/studies/{uid_of(dataset, 0x0020000D)}/metadata", timeout=60).status_code in (200, 404, 406)
