"""Somebody else: asks for a C-ECHO and a query, each on a connection of its own, while strangers are at work.

A process, so that the work of the strangers does not slow it down.
usage: onlooker.py DICOM-PORT HTTP-PORT TOKEN
    <  go KIND...   begin to ask (echo, query, upload)
    <  stop         > {"echo": [count, slowest_s], "query": [...], "failures": [...], "machine_s": ...}
machine_s: how much later than asked for the machine woke this process, at the worst; ours is not faster.
"""
import http.client
import json
import select
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
from dimse_client import IMPLICIT, VERIFICATION, Association  # noqa: E402
from instances import dice, instance, part10  # noqa: E402

dice.seed()  # or its instances would be named as those of the tests, and be conflicts

ADDRESS = "127.0.0.2"  # the limits per address are for the strangers alone
PATIENCE_S = 30
PAUSE_S = 0.05
ORDERS = open(0, "rb", buffering=0)  # what lies in a buffer is not seen by select


def echo(dicom_port):
    with Association(dicom_port, [(VERIFICATION, [IMPLICIT])], timeout=PATIENCE_S, source=ADDRESS) as peer:
        if peer.echo() != 0 or not peer.release():
            raise ValueError("C-ECHO failed")


def http_request(port, token, *request, **headers):
    connection = http.client.HTTPConnection("127.0.0.1", port, PATIENCE_S, (ADDRESS, 0))
    try:
        connection.request(*request, headers={"Authorization": f"Bearer {token}", **headers})
        answer = connection.getresponse()
        answer.read()
        if answer.status not in (200, 204):
            raise ValueError(f"{request[0]}: {answer.status}")
    finally:
        connection.close()


def query(port, token):
    http_request(port, token, "GET", "/dicom-web/studies?limit=5")


def upload(port, token):
    body = b"--B\r\nContent-Type: application/dicom\r\n\r\n" + part10(instance()) + b"\r\n--B--\r\n"
    http_request(port, token, "POST", "/dicom-web/studies", body,
                 **{"Content-Type": 'multipart/related; type="application/dicom"; boundary=B'})


def hears_something():
    return bool(select.select([ORDERS], [], [], 0)[0])


def ask(kind, call, seen):
    start = time.monotonic()
    try:
        call()
    except Exception as error:  # noqa: BLE001
        seen["failures"].append(f"{kind} after {time.monotonic() - start:.2f} s: {error!r}")
    row = seen.setdefault(kind, [0, 0])
    row[0] += 1
    row[1] = max(row[1], time.monotonic() - start)


def rounds(kinds, calls):
    seen = {"failures": [], "machine_s": 0}
    while True:
        for kind in kinds:
            ask(kind, calls[kind], seen)
        if hears_something():
            return seen
        start = time.monotonic()
        time.sleep(PAUSE_S)
        seen["machine_s"] = max(seen["machine_s"], time.monotonic() - start - PAUSE_S)


def main(dicom_port, http_port, token):
    calls = {"echo": lambda: echo(int(dicom_port)), "query": lambda: query(int(http_port), token),
             "upload": lambda: upload(int(http_port), token)}
    while line := ORDERS.readline().decode():
        seen = rounds(line.split()[1:], calls)
        ORDERS.readline()
        print(json.dumps(seen), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
