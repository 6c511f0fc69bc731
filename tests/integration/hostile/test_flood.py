"""A flood of requests with wrong tokens: each hears 401 at once, and who has the right one is served meanwhile."""
import os
import re
import socket
import threading
import time

from scale import count
from strangers import in_threads

AT_ONCE = 50  # requests that are sent one behind the other before the answers are read
PER_CONNECTION = 10 * AT_ONCE


def wrong(stack, token):
    return f"GET /dicom-web/studies HTTP/1.1\r\nHost: 127.0.0.1:{stack.port}\r\nAuthorization: Bearer {token}\r\n\r\n".encode()


def read_answers(peer, wanted):
    got = b""
    while len(re.findall(rb"^HTTP/1\.1 ", got, re.M)) < wanted or not got.endswith(b"}\n"):
        more = peer.recv(65536)
        assert more, got[-300:]
        got += more
    return re.findall(rb"^HTTP/1\.1 (\d+) ", got, re.M)


def test_wrong_tokens_are_refused_and_others_are_served(stack, web):
    refused, served, is_over = [], [], threading.Event()

    def flood(_):
        with socket.create_connection(("127.0.0.1", stack.port), 20) as peer:
            for _ in range(PER_CONNECTION // AT_ONCE):
                start = time.monotonic()
                peer.sendall(b"".join(wrong(stack, os.urandom(32).hex()) for _ in range(AT_ONCE)))
                assert read_answers(peer, AT_ONCE) == [b"401"] * AT_ONCE
                refused.append(time.monotonic() - start)

    def ask():
        while not is_over.is_set():
            start = time.monotonic()
            served.append((web.get(stack.web + "/studies?limit=1", timeout=20).status_code, time.monotonic() - start))
    honest = threading.Thread(target=ask)
    honest.start()
    start = time.monotonic()
    try:
        in_threads(count("wrong tokens") // PER_CONNECTION, flood)
    finally:
        taken = time.monotonic() - start
        is_over.set()
        honest.join()
    assert len(refused) * AT_ONCE == count("wrong tokens")
    assert {status for status, _ in served} == {200}  # from the same address, too: nobody is locked out
    seconds = sorted(second for _, second in served)
    print(f"\n{count('wrong tokens') / taken:.0f} wrong tokens a second; {AT_ONCE} answers {1000 * sorted(refused)[len(refused) // 2]:.1f} ms "
          f"(median); {len(seconds)} queries with the right one: slowest {1000 * seconds[-1]:.0f} ms")
