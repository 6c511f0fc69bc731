"""Who was refused and why, as the operator sees it: dimse's /refused, `zpacs refused`, `zpacs status`."""
import http.client
import json
import os
import re
import signal
import socket
import subprocess

import pytest
from dimse_client import IMPLICIT, VERIFICATION, Association, Ended, Refused, pdu, wait_for
from stack import ADMIN_OFFSET, ROOT, wait_until
from test_dimse import make_dimse  # noqa: F401

PROXY = b"PROXY TCP4 192.0.2.7 127.0.0.1 1000 104\r\n"
ECHO = [(VERIFICATION, [IMPLICIT])]


def refused_of(port):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request("GET", "/refused")
        answer = connection.getresponse()
        assert answer.status == 200 and answer.headers["Content-Type"] == "application/json"
        return json.loads(answer.read())
    finally:
        connection.close()


def rows_of(dimse, count):
    """The rows, once there are as many; the word of a child may come after the peer has its answer."""
    wait_until(lambda: len(refused_of(dimse.admin)["refused"]) >= count, 10,
               lambda: f"{refused_of(dimse.admin)}")
    return refused_of(dimse.admin)["refused"]


def send_and_read(port, data):
    with socket.create_connection(("127.0.0.1", port), 10) as peer:
        peer.sendall(data)
        try:
            while peer.recv(4096):
                pass
        except ConnectionError:
            pass


def refuse(dimse, **options):
    with pytest.raises((Refused, Ended)):
        dimse.connect(**options)


# ---- reasons ------------------------------------------------------------------------------------------

@pytest.mark.parametrize("config, attempt, expected", [
    ({"aes": ["CT1@127.0.0.0/8"]}, lambda d: refuse(d, calling="CT2"),
     ("127.0.0.1", "CT2", "ZPACS", "calling_ae", "aes")),
    ({"aes": ["CT1@192.0.2.0/24"]}, lambda d: refuse(d, calling="CT1"),
     ("127.0.0.1", "CT1", "ZPACS", "calling_ae", "aes")),
    ({"check_called_aet": True}, lambda d: refuse(d, called="ELSE"),
     ("127.0.0.1", "TESTER", "ELSE", "called_ae", "check_called_aet")),
    ({}, lambda d: refuse(d, application="1.2.3.4"), ("127.0.0.1", "TESTER", "ZPACS", "application", "DICOM")),
    ({}, lambda d: send_and_read(d.port, b"GET / HTTP/1.0\r\n\r\n"), ("127.0.0.1", "", "", "request", "")),
    ({}, lambda d: send_and_read(d.port, pdu(9, b"\0" * 4)), ("127.0.0.1", "", "", "request", "")),
    ({}, lambda d: send_and_read(d.port, PROXY), ("127.0.0.1", "", "", "request", "")),
    ({"request_timeout_s": 1}, lambda d: send_and_read(d.port, b"\1\0"),
     ("127.0.0.1", "", "", "timeout", "request_timeout_s")),
    ({"proxies": ["127.0.0.1/32"]}, lambda d: refuse(d), ("127.0.0.1", "", "", "proxy_header", "no PROXY header")),
    ({"proxies": ["127.0.0.1/32"], "aes": ["CT1@198.51.100.0/24"]}, lambda d: refuse(d, before=PROXY, calling="CT1"),
     ("192.0.2.7", "CT1", "ZPACS", "calling_ae", "aes")),
], ids=["title", "address", "called", "application", "http", "pdu", "PROXY of a stranger", "timeout",
        "no PROXY header", "address behind a proxy"])
def test_reason_is_listed(make_dimse, config, attempt, expected):
    dimse = make_dimse(**config)
    assert refused_of(dimse.admin) == {"last_hour": 0, "dropped": 0, "refused": []}
    attempt(dimse)
    [row] = rows_of(dimse, 1)
    peer, calling, called, reason, detail = expected
    assert (row["peer"], row["calling"], row["called"], row["reason"]) == (peer, calling, called, reason)
    assert row["detail"] and detail in row["detail"]
    assert row["count"] == 1 and row["first"] == row["last"]
    assert refused_of(dimse.admin)["last_hour"] == 1
    assert dimse.metric(f'zpacs_associations_refused_total{{reason="{reason}"}}') == 1
    [event] = dimse.events("association.refused")
    assert all(event[key] == row[key] for key in ("peer", "calling", "called", "reason", "detail"))


def test_too_many_at_once_are_listed(make_dimse):
    dimse = make_dimse(max_associations=2, max_associations_per_address=1)
    with dimse.connect():
        refuse(dimse)
        with dimse.connect(source="127.0.0.2"):
            refuse(dimse, source="127.0.0.3")
            rows = rows_of(dimse, 2)
    assert [(row["peer"], row["reason"]) for row in rows] == [("127.0.0.3", "limit_total"),
                                                              ("127.0.0.1", "limit_address")]


def test_shutting_down_is_listed(make_dimse):
    dimse = make_dimse()
    with dimse.connect() as association:
        dimse.process.terminate()
        assert wait_for(lambda: dimse.events("service.draining"))
        with pytest.raises(Refused):
            while True:
                dimse.connect(source="127.0.0.2").abort()
        assert rows_of(dimse, 1)[0]["reason"] == "draining"
        assert association.echo() == 0


def test_process_that_dies_before_it_says_anything_is_listed(make_dimse):
    dimse = make_dimse()
    with socket.create_connection(("127.0.0.1", dimse.port), 10) as silent:
        assert wait_for(lambda: dimse.processes("dimse-assoc"))
        [child] = dimse.processes("dimse-assoc")
        os.kill(child, signal.SIGKILL)
        assert silent.recv(100) == b""
        [row] = rows_of(dimse, 1)
    assert row["reason"] == "internal" and "without a word" in row["detail"]
    assert wait_for(lambda: dimse.events("association.died"))
    assert refused_of(dimse.admin)["last_hour"] == 1


def test_a_row_counts_and_the_newest_stands_first(make_dimse):
    dimse = make_dimse(aes=["CT1@127.0.0.1"])
    for calling in ("A", "B", "A", "A"):
        refuse(dimse, calling=calling)
        wait_until(lambda: any(r["calling"] == calling for r in refused_of(dimse.admin)["refused"]))
    wait_until(lambda: refused_of(dimse.admin)["last_hour"] == 4)
    rows = rows_of(dimse, 2)
    assert [(row["calling"], row["count"]) for row in rows] == [("A", 3), ("B", 1)]
    assert rows[0]["first"] < rows[1]["first"] < rows[0]["last"]


def test_accepted_associations_are_not_listed(make_dimse):
    dimse = make_dimse()
    for _ in range(3):
        assert dimse.is_alive()
    with dimse.connect() as association:
        association.abort()
    assert wait_for(lambda: len(dimse.events("association.ended")) == 4)
    assert refused_of(dimse.admin)["refused"] == []


def test_strangers_do_not_make_the_list_grow(make_dimse):
    dimse = make_dimse(aes=["CT1@127.0.0.1"], max_associations_per_address=200)
    for number in range(300):
        refuse(dimse, calling=f"AE{number}")
    wait_until(lambda: refused_of(dimse.admin)["last_hour"] == 300)
    answer = refused_of(dimse.admin)
    assert len(answer["refused"]) == 256 and answer["dropped"] == 44
    assert "AE299" in {row["calling"] for row in answer["refused"]}


def test_page_is_for_who_asks_by_address(make_dimse):
    dimse = make_dimse()
    connection = http.client.HTTPConnection("127.0.0.1", dimse.admin, timeout=10)
    connection.request("GET", "/refused", headers={"Host": "rebound.example"})
    assert connection.getresponse().status == 421
    connection.close()


# ---- the operator's command -----------------------------------------------------------------------------

HOSTILE = '\x1b[2J\x9b"},{'  # clears a screen, in two ways; breaks out of a string


def test_zpacs_refused_and_status(fresh_stack):
    assert "Nobody was refused" in fresh_stack.zpacs("refused").stdout
    assert "in the last hour" not in fresh_stack.zpacs("status").stdout
    admin = fresh_stack.port + ADMIN_OFFSET["dimse"]
    with pytest.raises(Refused):
        Association(fresh_stack.dicom_port, ECHO, calling="CT1", application="1.2.3.4")
    wait_until(lambda: refused_of(admin)["last_hour"] == 1)
    assert "\n  1 association refused in the last hour: zpacs refused\n" in fresh_stack.zpacs("status").stdout
    with pytest.raises((Refused, Ended)):
        Association(fresh_stack.dicom_port, ECHO, calling=HOSTILE, application="1.2.3.4")
    wait_until(lambda: refused_of(admin)["last_hour"] == 2)
    assert "\n  2 associations refused in the last hour: zpacs refused\n" in fresh_stack.zpacs("status").stdout
    result = fresh_stack.zpacs("refused")
    assert all(c == "\n" or c.isprintable() for c in result.stdout) and not result.stderr
    head, newest, oldest = result.stdout.splitlines()
    assert head.split()[:5] == ["PEER", "CALLING", "CALLED", "REASON", "COUNT"]
    assert "\\x1b[2J" in newest
    assert re.match(r"127\.0\.0\.1 +CT1 +ZPACS +application +1 +\d{4}-\d\d-\d\d \d\d:\d\d:\d\d ", oldest)


def test_zpacs_refused_when_nothing_runs(fresh_stack):
    fresh_stack.down()
    result = fresh_stack.zpacs("refused", check=False)
    assert result.returncode == 3 and "not running" in result.stdout


def test_table_shows_no_control_bytes():
    row = {"peer": "192.0.2.1", "calling": "\u202eA\u009b\x1b\\x", "called": "", "reason": "request", "count": 7,
           "first": "2026-11-24T18:19:55.123456Z", "last": "2026-11-24T18:20:55.123456Z", "detail": "a\nb"}
    result = subprocess.run([ROOT / "scripts/show-refused"], text=True, capture_output=True, timeout=20,
                            input=json.dumps({"last_hour": 7, "dropped": 3, "refused": [row]}))
    assert result.returncode == 0, result.stderr
    _, line, dropped = result.stdout.splitlines()
    assert line.split() == ["192.0.2.1", "\\u202eA\\x9b\\x1b\\\\x", "-", "request", "7", "2026-11-24", "18:19:55",
                            "2026-11-24", "18:20:55", "a\\nb"]
    assert "3" in dropped
