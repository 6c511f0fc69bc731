"""Deflated instances: inflated once for many who read at the same time.  PS3.5 A.5"""
import io
import os
from concurrent.futures import ThreadPoolExecutor

from pydicom.uid import DeflatedExplicitVRLittleEndian
from test_stow import address, make_instance, send

FRAME = 64 * 64 * 2


def test_many_read_one_at_the_same_time(stack, web):
    pixels = os.urandom(20 * FRAME)
    _, ds = make_instance(pixels=pixels, NumberOfFrames=20)
    ds.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    out = io.BytesIO()
    ds.save_as(out, write_like_original=False)
    assert send(stack, web, [out.getvalue()]).status_code == 200
    instance = stack.web + address(ds)

    def read(number):
        with stack.session() as session:
            frame = session.get(f"{instance}/frames/{number + 1}", timeout=60, headers={
                "Accept": "application/octet-stream"})
            whole = session.get(f"{instance}/bulkdata/7FE00010", timeout=60, headers={
                "Accept": "application/octet-stream"})
            header = session.get(f"{instance}/metadata", timeout=60)
        return (frame.content == pixels[number * FRAME:][:FRAME] and whole.content == pixels and
                header.json()[0]["00280008"]["Value"] == [20])

    with ThreadPoolExecutor(20) as pool:
        assert all(pool.map(read, range(20)))
