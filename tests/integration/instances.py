"""Small instances made by hand, as a sender with ill intent would make them."""
import random
import struct

from dimse_client import EXPLICIT, SECONDARY_CAPTURE, element

LONG_FORM = (b"OB", b"OW", b"SQ", b"UN", b"UT")  # of 32 bit lengths.  PS3.5 7.1.2
dice = random.Random(20261124)


def explicit(tag, vr, value, pad=b"\0"):
    value += pad * (len(value) % 2)
    if vr in LONG_FORM:
        return struct.pack("<HH2sHI", tag >> 16, tag & 0xFFFF, vr, 0, len(value)) + value
    return struct.pack("<HH2sH", tag >> 16, tag & 0xFFFF, vr, len(value)) + value


def new_uid():
    return "2.25.%d" % dice.getrandbits(100)


def instance(tail=b"", uid=None, study=None, series=None, name=b"Hostile^Test", patient=b"H1", implicit=False):
    """A small dataset; tail: elements behind (0020,000E)."""
    uid = uid if uid is not None else new_uid().encode()
    rows = [(0x00080016, b"UI", SECONDARY_CAPTURE.encode()), (0x00080018, b"UI", uid), (0x00080060, b"CS", b"OT"),
            (0x00100010, b"PN", name), (0x00100020, b"LO", patient),
            (0x0020000D, b"UI", study if study is not None else new_uid().encode()),
            (0x0020000E, b"UI", series if series is not None else new_uid().encode())]
    if implicit:
        return b"".join(element(tag, value) for tag, _, value in rows) + tail
    return b"".join(explicit(tag, vr, value, b"\0" if vr == b"UI" else b" ") for tag, vr, value in rows) + tail


def pixels(size):
    return explicit(0x7FE00010, b"OW", size if isinstance(size, bytes) else bytes(size))


def uid_of(dataset, tag, implicit=False):
    at = dataset.index(struct.pack("<HH", tag >> 16, tag & 0xFFFF)) + 8
    length = struct.unpack_from("<I" if implicit else "<H", dataset, at - (4 if implicit else 2))[0]
    return dataset[at:at + length].rstrip(b"\0").decode()


def part10(dataset, syntax=EXPLICIT):
    meta = explicit(0x00020010, b"UI", syntax.encode())
    return b"\0" * 128 + b"DICM" + explicit(0x00020000, b"UL", struct.pack("<I", len(meta))) + meta + dataset
