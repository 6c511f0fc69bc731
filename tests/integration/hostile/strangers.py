"""What strangers do: send raw bytes, hold connections open, come in crowds."""
import os
import socket
import struct
import threading
import time

from dimse_client import (IMPLICIT, SECONDARY_CAPTURE, VERIFICATION, Association, item, pdu)
from instances import uid_of

CANNOT_UNDERSTAND = 0xC000
JSON = "application/dicom+json"


# ---- requests that are whole ------------------------------------------------------------------------

def post(stack, web, body, boundary="B", headers=None, timeout=60):
    return web.post(stack.web + "/studies", data=body, timeout=timeout, headers={
        "Accept": JSON, "Content-Type": f'multipart/related; type="application/dicom"; boundary={boundary}', **(headers or {})})


def upload(stack, web, files, **more):
    body = b"".join(b"\r\n--B\r\nContent-Type: application/dicom\r\n\r\n" + f for f in files) + b"\r\n--B--\r\n"
    return post(stack, web, body, **more)


def reasons(answer):
    """Why instances were refused: with and without a name of theirs.  PS3.18 table I.2-1"""
    report = answer.json()
    return [item["00081197"]["Value"][0] for tag in ("00081198", "0008119A") for item in report.get(tag, {}).get("Value", [])]


def store(stack, dataset, syntax, uid=None, **more):
    """The status of a C-STORE."""
    with Association(stack.dicom_port, [(SECONDARY_CAPTURE, [syntax])], **more) as peer:
        answer = peer.store(SECONDARY_CAPTURE, uid or uid_of(dataset, 0x00080018, syntax == IMPLICIT), dataset, fragment=100_000)
        assert peer.release()
        return answer.status


# ---- raw bytes -----------------------------------------------------------------------------------------

def raw(port, data, seconds=5, half_close=False):
    """What comes back for these bytes, up to the end of the connection or the time."""
    with socket.create_connection(("127.0.0.1", port), seconds) as peer:
        got = b""
        try:
            peer.sendall(data)
            if half_close:
                peer.shutdown(socket.SHUT_WR)
            while more := peer.recv(65536):
                got += more
        except OSError:  # time, or the other side has gone at some point of it
            pass
        return got


def http_status(answer):
    return int(answer.split()[1]) if answer.startswith(b"HTTP/1.1 ") else None


def stow_head(stack, *lines, path="/dicom-web/studies"):
    secret = (stack.data / "run/gate").read_text().strip()
    return "\r\n".join([f"POST {path} HTTP/1.1", f"Host: 127.0.0.1:{stack.port}",
                        f"Authorization: Bearer {stack.token}", f"X-Zpacs-Gate: {secret}",
                        'Content-Type: multipart/related; type="application/dicom"; boundary=B', *lines, "", ""]).encode()


def associate_request(*user_items):
    body = struct.pack(">HH", 1, 0) + b"ZPACS".ljust(16) + b"HOSTILE".ljust(16) + b"\0" * 32
    body += item(0x10, b"1.2.840.10008.3.1.1.1")
    body += item(0x20, bytes([1, 0, 0, 0]) + item(0x30, VERIFICATION.encode()) + item(0x40, IMPLICIT.encode()))
    for extra in user_items or (b"",):
        body += item(0x50, item(0x51, struct.pack(">I", 16384)) + item(0x52, b"1.2.3") + extra)
    return pdu(1, body)


# ---- crowds --------------------------------------------------------------------------------------------

class Crowd:
    """Connections that stay, each begun with the same bytes. Who is sent away comes again."""

    def __init__(self, port, size, begin=b"", sources=("127.0.0.1",), receive_buffer=None):
        self.port, self.begin, self.sources, self.receive_buffer = port, begin, sources, receive_buffer
        self.peers = [self.connect(n) for n in range(size)]
        self.came_again = 0

    def connect(self, number):
        peer = socket.socket()
        if self.receive_buffer:
            peer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, self.receive_buffer)
        peer.settimeout(10)
        try:
            peer.bind((self.sources[number % len(self.sources)], 0))
            peer.connect(("127.0.0.1", self.port))
            peer.sendall(self.begin)
        except OSError:
            pass  # noticed by stay()
        peer.setblocking(False)
        return peer

    def is_sent_away(self, peer, reads):
        try:
            return reads and peer.recv(65536) == b""
        except BlockingIOError:
            return False
        except OSError:
            return True

    def stay(self, seconds, trickle=b"", reads=True):
        """Once a second each sends trickle; reads: notices that it has been sent away."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            start = time.monotonic()
            for number, peer in enumerate(self.peers):
                try:
                    peer.send(trickle)
                    gone = self.is_sent_away(peer, reads)
                except BlockingIOError:
                    gone = False
                except OSError:
                    gone = True
                if gone:
                    peer.close()
                    self.came_again += 1
                    self.peers[number] = self.connect(number)
            time.sleep(max(0, min(start + 1, end) - time.monotonic()))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for peer in self.peers:
            peer.close()


def in_threads(count, work, threads=6):
    """Runs work(0) ... work(count - 1); network errors are part of it, others fail."""
    failures = []

    def run(share):
        for number in share:
            try:
                work(number)
            except OSError:
                pass
            except Exception as error:  # noqa: BLE001
                failures.append(error)
                return
    running = [threading.Thread(target=run, args=(range(k, count, threads),)) for k in range(threads)]
    for thread in running:
        thread.start()
    for thread in running:
        thread.join()
    assert not failures, failures


def sockets_of(stack):
    """Every Unix socket in the stack's folder for them."""
    run = stack.data / "run"
    return sorted(str(run / name) for name in os.listdir(run) if (run / name).is_socket())
