"""A stack that is told to end: what is under way is finished, nothing new begins, and nobody is made to wait for nothing."""
import http.client
import os
import re
import signal
import sys
import threading
import time
from pathlib import Path

import pytest
from dimse_client import EXPLICIT, SECONDARY_CAPTURE, Association, Refused
from stack import wait_until

sys.path.insert(0, str(Path(__file__).parent / "hostile"))
from instances import instance, part10, pixels, uid_of  # noqa: E402

PIECES, PIECE, PAUSE_S = 16, 4096, 1  # slow, but faster than min_bytes_per_s


class SlowSender(threading.Thread):
    """Sends one instance within 16 seconds."""

    def __init__(self, stack):
        super().__init__(daemon=True)
        self.stack, self.is_under_way, self.outcome = stack, threading.Event(), "none"
        self.dataset = instance(tail=pixels(os.urandom(PIECES * PIECE)))
        self.start()

    def pieces(self, data):
        for at in range(0, len(data), PIECE):
            yield data[at:at + PIECE]
            time.sleep(PAUSE_S)
            if at >= 2 * PIECE:
                self.is_under_way.set()

    def run(self):
        try:
            self.outcome = self.send()
        except Exception as error:  # noqa: BLE001
            self.outcome = repr(error)
        self.is_under_way.set()


class DimseSender(SlowSender):
    expected = (0, True)

    def send(self):
        with Association(self.stack.dicom_port, [(SECONDARY_CAPTURE, [EXPLICIT])], timeout=60) as peer:
            peer.begin_store(SECONDARY_CAPTURE, uid_of(self.dataset, 0x00080018))
            for piece in self.pieces(self.dataset):
                peer.send_dataset(1, piece, last=False)
            peer.send_dataset(1, b"")
            return peer.read_answer().status, peer.release()


class StowSender(SlowSender):
    expected = (200, True)

    def send(self):
        body = b"--B\r\nContent-Type: application/dicom\r\n\r\n" + part10(self.dataset) + b"\r\n--B--\r\n"
        connection = http.client.HTTPConnection("127.0.0.1", self.stack.port, timeout=60)
        connection.request("POST", "/dicom-web/studies", self.pieces(body), {
            "Authorization": f"Bearer {self.stack.token}", "Accept": "application/dicom+json", "Content-Length": str(len(body)),
            "Content-Type": 'multipart/related; type="application/dicom"; boundary=B'})
        answer = connection.getresponse()
        return answer.status, b"00081199" in answer.read()


def nothing_new_begins(stack):
    with pytest.raises((Refused, ConnectionError)):
        Association(stack.dicom_port, [(SECONDARY_CAPTURE, [EXPLICIT])]).close()
    with stack.session() as session:
        answer = session.get(stack.web + "/studies", timeout=10)
        assert answer.status_code == 503 and "Retry-After" in answer.headers


def end_by_signal(stack):
    """As an engine of containers does: each process hears it by itself. supervisord starts it again."""
    pids = {service: stack.pid(service) for service in ("dimse", "dicomweb")}
    for pid in pids.values():
        os.kill(pid, signal.SIGTERM)
    for service in pids:
        wait_until(lambda: "service.draining" in stack.log(service))
    nothing_new_begins(stack)
    for service, pid in pids.items():
        wait_until(lambda: stack.pid(service) not in (0, pid), 40)
    stack.wait_healthy()
    return pids


def end_by_down(stack):
    stack.down()
    stack.up()
    return ("nginx", "dimse", "dicomweb", "index")


@pytest.mark.parametrize("end", [end_by_signal, end_by_down])
def test_what_is_under_way_is_finished(fresh_stack, end):
    senders = [DimseSender(fresh_stack), StowSender(fresh_stack)]
    for sender in senders:
        assert sender.is_under_way.wait(30)
    ended = end(fresh_stack)
    for sender in senders:
        sender.join(60)
        assert sender.outcome == sender.expected
    log = (fresh_stack.data / "logs/supervisord.log").read_text()
    for service in ended:
        assert re.findall(rf"(?:exited|stopped): {service} \(exit status (\d+)", log) == ["0"]
        assert service == "nginx" or "drain_expired" not in fresh_stack.log(service)
    with fresh_stack.session() as session:
        for sender in senders:
            study = uid_of(sender.dataset, 0x0020000D)
            wait_until(lambda: len(session.get(f"{fresh_stack.web}/studies?StudyInstanceUID={study}", timeout=10).json()) == 1)
