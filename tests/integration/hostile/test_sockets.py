"""Junk on every socket that the programs listen on: DICOM, HTTP, admin ports, and all in the folder of sockets."""
import os
import socket
import threading

import pytest
from dimse_client import pdu
from instances import instance, part10
from scale import count
from stack import ADMIN_OFFSET, wait_until
from strangers import sockets_of, upload

GREETING = b"\xff\0\0\0\0\0\0\0\1\x7f"  # ZMTP 3, up to its version
JUNK = [b"", b"\0", b"\0" * 70_000, os.urandom(100), os.urandom(count("junk bytes")), b"\xff" * 10_000, b"GET / HTTP/1.1\r\n\r\n",
        b"GET " + b"/" * 100_000, b"\r\n" * 5000, b"PROXY TCP4 1.2.3.4 1.2.3.4 1 1\r\n", b"\x01\0\xff\xff\xff\xff" + b"x" * 1000,
        b"\x01\0\0\0\0\x04abcd", pdu(4, b"\xff" * 100), pdu(7, b""), pdu(5, b""), pdu(2, b"\0" * 200), pdu(0x99, b"\0" * 64),
        GREETING, GREETING + b"\3\0CURVE" + b"\0" * 47, GREETING + b"\3\0CURVE" + b"\0" * 47 + b"\4\xc8\5HELLO" + b"\0" * 194,
        GREETING + b"\3\0CURVE" + b"\0" * 47 + b"\6\xff\xff\xff\xff\xff\xff\xff\xff",
        GREETING + b"\3\0NULL" + b"\0" * 48 + b"\4\x19\5READY\xff\xff\xff\xff", GREETING + b"\3\0PLAIN" + b"\0" * 47 + b"\4\x0b\5HELLO\1a\1b",
        GREETING + b"\1\0\0\1\0", b"\1\0", b"\1\0\2\0ab" * 1000, b"\x80\0\0\0\0\0\0\0\0", b"GET / HTTP/1.1\r\nA: " + b"x" * 50_000,
        b"POST / HTTP/1.1\r\nContent-Length: 99999999999\r\n\r\n" + b"x" * 10_000, b"GET /metrics HTTP/1.1\r\nHost: x\r\nRange: bytes=0-\r\n\r\n" * 500,
        b"POST /RPC2 HTTP/1.1\r\nContent-Length: 9999999999\r\n\r\n<?xml", b"\x16\3\1\2\0\1\0\1\xfc\3\3" + os.urandom(500)]


def doors(stack):
    ports = (stack.dicom_port, stack.port, stack.port + 1, stack.port + 2, *(stack.port + n for n in ADMIN_OFFSET.values()))
    return [(socket.AF_INET, ("127.0.0.1", port)) for port in ports] + [(socket.AF_UNIX, path) for path in sockets_of(stack)]


def throw(family, address, data):
    with socket.socket(family) as peer:
        peer.settimeout(0.3)
        try:
            peer.connect(address)
            peer.sendall(data)
            peer.shutdown(socket.SHUT_WR)
            peer.recv(4096)
        except OSError:
            pass


def test_junk_on_every_socket(stack, web):
    threads = [threading.Thread(target=lambda door=door: [throw(*door, data) for data in JUNK]) for door in doors(stack)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(threads) >= 10  # those of the index, of supervisord, and seven ports
    assert upload(stack, web, [part10(instance())]).status_code == 200


@pytest.mark.parametrize("begin", [GREETING + b"\3", GREETING + b"\3\0CURVE" + b"\0" * 47, b""], ids=["version", "mechanism", "silent"])
def test_half_open_greetings(stack, web, begin):
    """Peers that begin ZeroMQ's greeting and stay keep nobody out."""
    held = []
    try:
        for path in (p for p in sockets_of(stack) if "index" in p):
            for _ in range(count("greetings")):
                peer = socket.socket(socket.AF_UNIX)
                held.append(peer)
                wait_until(lambda: peer.connect_ex(path) == 0, 10)  # its backlog may be full
                peer.sendall(begin)
        assert held and upload(stack, web, [part10(instance())]).status_code == 200
    finally:
        for peer in held:
            peer.close()


def test_silent_connections_to_the_admin_ports(stack):
    """They are of this machine; who holds some of them does not stop the service."""
    held = [socket.create_connection(("127.0.0.1", stack.port + offset), 5) for offset in ADMIN_OFFSET.values() for _ in range(50)]
    try:
        for peer in held[::2]:
            peer.sendall(b"GET /metrics HTTP/1.1\r\nX: ")
    finally:
        for peer in held:
            peer.close()
    stack.wait_healthy()
