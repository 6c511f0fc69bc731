"""Associations in great number: malformed, dropped, and as many at once as there may be."""
import socket
import struct
import threading
import time

import pytest
from dimse_client import EXPLICIT, SECONDARY_CAPTURE, VERIFICATION, Association, Ended, Refused, pdu, pdv
from instances import dice, instance, new_uid, pixels, uid_of
from scale import count
from stack import wait_until
from strangers import associate_request, in_threads

LIMIT = 200  # max_associations
ADDRESSES = ["127.0.1.%d" % n for n in range(1, 5)]  # 50 each: below max_associations_per_address


# ---- many, one after the other ---------------------------------------------------------------------------

GOOD = associate_request()
IDENTITY = struct.pack(">BBHBBH", 0x58, 0, 8, 1, 0, 2) + b"ab" + b"\0\0"
MALFORMED = [associate_request(IDENTITY, IDENTITY, IDENTITY), associate_request(b"\x54\0\xff\xff" + b"x" * 20), GOOD[:80],
             pdu(1, b"\0" * 68 + b"\x10\0\xff\xff"), pdu(1, b""), pdu(1, GOOD[6:74]), b"\1\0\0\0\0\0" * 30]


def test_malformed_associations(stack):
    def malformed(number):
        data = bytearray(MALFORMED[number % len(MALFORMED)])
        if number % 2 and len(data) > 80:
            data[dice.randrange(6, len(data))] ^= 1 << dice.randrange(8)
        with socket.create_connection(("127.0.0.1", stack.dicom_port), 20) as peer:
            peer.sendall(bytes(data))
            peer.shutdown(socket.SHUT_WR)
            while peer.recv(4096):
                pass
    in_threads(count("malformed associations"), malformed)


def test_dropped_associations(stack):
    half = pdu(4, pdv(1, 1, b"\0" * 50))

    def dropped(number):
        with socket.create_connection(("127.0.0.1", stack.dicom_port), 20) as peer:
            peer.sendall(GOOD)
            peer.recv(4096)
            if number % 2:
                peer.sendall(half)
            if number % 3 == 0:  # RST
                peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    in_threads(count("dropped associations"), dropped)


# ---- many at once ------------------------------------------------------------------------------------------

def connect(stack, number):
    return Association(stack.dicom_port, [(SECONDARY_CAPTURE, [EXPLICIT]), (VERIFICATION, ["1.2.840.10008.1.2"])], timeout=120,
                       source=ADDRESSES[number % len(ADDRESSES)])


class Sender:
    """One of many: its instances are a series of its own. Seconds of every answer, and what went wrong."""

    def __init__(self, stack, number):
        self.peer, self.number = connect(stack, number), number
        self.seconds, self.failures = [], []
        self.study, self.series = new_uid().encode(), new_uid().encode()

    def run(self, tail):
        try:
            for _ in range(count("instances per association")):
                dataset = instance(tail, study=self.study, series=self.series, patient=b"MANY")
                start = time.monotonic()
                answer = self.peer.store(SECONDARY_CAPTURE, uid_of(dataset, 0x00080018), dataset, fragment=65536)
                self.seconds.append(time.monotonic() - start)
                if answer.status:
                    self.failures.append(hex(answer.status))
        except (Ended, OSError) as error:
            self.failures.append(repr(error))


@pytest.fixture
def crowd(stack):
    senders = []
    try:
        for number in range(LIMIT):
            senders.append(Sender(stack, number))
        yield senders
    finally:
        for sender in senders:
            sender.peer.close()


def in_ms(seconds):
    return f"{1000 * seconds[len(seconds) // 2]:.0f} ms (median), {1000 * seconds[len(seconds) * 99 // 100]:.0f} ms (p99)"


@pytest.mark.asks("query")  # there is no place for another association
def test_as_many_as_may_be_and_one_more(stack, web, crowd):
    """200 send at once and none fails; who comes then is told to come later, and those who are there stay."""
    threads = [threading.Thread(target=sender.run, args=(pixels(count("bytes per instance")),)) for sender in crowd]
    start = time.monotonic()
    for thread in threads:
        thread.start()
    refusals = [refusal(stack) for _ in range(20)]
    for thread in threads:
        thread.join()
    taken = time.monotonic() - start
    failures = [failure for sender in crowd for failure in sender.failures]
    seconds = sorted(second for sender in crowd for second in sender.seconds)
    later = sorted(second for sender in crowd for second in sender.seconds[1:])  # the first waits for a pack to be made
    print(f"\n{len(seconds)} instances of {count('bytes per instance')} bytes over {LIMIT} associations in {taken:.1f} s: answers "
          f"{in_ms(seconds)}, without the first of each {in_ms(later)}; one too many hears so after "
          f"{1000 * max(refusals):.0f} ms at the latest")
    assert not failures and len(seconds) == LIMIT * count("instances per association"), failures[:10]
    assert all(sender.peer.echo(context=3) == 0 for sender in crowd)
    assert all(sender.peer.release() for sender in crowd)
    many = stack.web + "/studies?PatientID=MANY&limit=1000"
    wait_until(lambda: len(web.get(many, timeout=30).json()) == LIMIT, 30, lambda: "studies are missing")


def refusal(stack):
    """Seconds until one more is refused: transient, by the presentation layer, local limit exceeded.  PS3.8 table 9-21"""
    start = time.monotonic()
    with pytest.raises(Refused) as refused:
        Association(stack.dicom_port, [(VERIFICATION, ["1.2.840.10008.1.2"])], source="127.0.1.9")
    assert refused.value.args[0] == (2, 3, 2)
    return time.monotonic() - start
