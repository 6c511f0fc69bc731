"""The DICOM port alone, without index: what it accepts, refuses, keeps, and survives."""
import errno
import json
import os
import random
import re
import shutil
import signal
import socket
import struct
import subprocess
import tempfile
import threading
import time
import urllib.request
from pathlib import Path

import pytest
from dimse_client import (EXPLICIT, IMPLICIT, NO_DATASET, SECONDARY_CAPTURE, STUDY_ROOT_FIND,
                          VERIFICATION, Association, Ended, Refused, dataset, element, number, pdu,
                          pdv, wait_for)
from stack import ROOT, free_ports

STORAGE = [(SECONDARY_CAPTURE, [IMPLICIT])]
MODE = os.environ.get("ZPACS_TEST_MODE") or next(
    (m for m in ("release", "debug") if (ROOT / f"build/{m}/bin/zpacs-dimse").exists()), "release")
BINARY = ROOT / f"build/{MODE}/bin/zpacs-dimse"


class Dimse:
    """A process of its own on free ports; keys of dimse.yaml as keyword arguments."""

    def __init__(self, data=None, **config):
        base, self.port = free_ports()
        self.admin = base
        self.folder = Path(tempfile.mkdtemp(prefix="zpacs-dimse-", dir="/tmp"))
        self.data = data or self.folder / "data"
        self.data.mkdir(exist_ok=True)
        lines = [f"{key}: {json.dumps(value)}" for key, value in config.items()]
        (self.folder / "dimse.yaml").write_text("\n".join(lines) + "\n")
        self.environment = {**{k: v for k, v in os.environ.items() if not k.startswith("ZPACS_")},
                            "ZPACS_DATA": str(self.data), "ZPACS_DICOM_PORT": str(self.port),
                            "ZPACS_ADMIN": f"127.0.0.1:{self.admin}"}
        self.log_path = self.folder / "log"

    def command(self, *arguments):
        return [str(BINARY), "--config", str(self.folder / "dimse.yaml"), *arguments]

    def start(self):
        # restore_signals: SIGXFSZ stays ignored, so that a file size limit is an error of write()
        with open(self.log_path, "wb") as log:
            self.process = subprocess.Popen(self.command(), env=self.environment, stdout=log, stderr=log,
                                            restore_signals=False)
        assert wait_for(lambda: self.events("service.ready") or self.process.poll() is not None)
        assert self.process.poll() is None, self.log_path.read_text()
        return self

    def stop(self, limit_s=20):
        if self.process.poll() is None:
            self.process.terminate()
        try:
            return self.process.wait(limit_s)
        finally:
            self.process.kill()

    def events(self, name, **fields):
        found = [json.loads(line) for line in self.log_path.read_text().splitlines()
                 if line.startswith("{") and line.endswith("}")]
        return [e for e in found if e["event"] == name and all(e.get(k) == v for k, v in fields.items())]

    def metric(self, name):
        with urllib.request.urlopen(f"http://127.0.0.1:{self.admin}/metrics", timeout=5) as answer:
            for line in answer.read().decode().splitlines():
                if line.startswith(name + " "):
                    return float(line.split()[-1])
        return None

    def connect(self, contexts=None, **options):
        return Association(self.port, contexts or [(VERIFICATION, [IMPLICIT])], **options)

    def is_alive(self):
        with self.connect() as association:
            return association.echo() == 0 and association.release()

    def packs(self):
        return sorted(self.data.glob("packs/**/*.pack"))

    def holds(self, data):
        return sum(pack.read_bytes().count(data) for pack in self.packs())

    def processes(self, name):
        """Pids of our processes of that name."""
        found = []
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                environment = (folder / "environ").read_bytes()
                if (folder / "comm").read_text().strip() == name and str(self.data).encode() in environment:
                    found.append(int(folder.name))
            except OSError:
                continue
        return found

    def destroy(self):
        code = self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)
        return code


@pytest.fixture
def make_dimse():
    made = []

    def make(**config):
        made.append(Dimse(**config).start())
        return made[-1]

    yield make
    for one in made:
        one.destroy()


@pytest.fixture(scope="module")
def dimse():
    one = Dimse().start()
    yield one
    assert one.destroy() == 0


def uid():
    return "1.2.3.%d" % random.randrange(10 ** 20)


# ---- negotiation --------------------------------------------------------------------------------

@pytest.mark.parametrize("abstract, syntaxes, result", [
    (VERIFICATION, [IMPLICIT], 0),
    (VERIFICATION, ["1.2.3.4.5"], 4),                        # PS3.8 table 9-18
    (SECONDARY_CAPTURE, ["1.2.3.4.5", EXPLICIT], 0),
    ("1.2.840.10008.5.1.4.1.1.999.7", [EXPLICIT], 0),        # a storage class of a later edition
    ("1.3.46.670589.11.0.0.12.1", [IMPLICIT], 0),            # private
    ("2.25.155828353415164261086737374395291355553", [IMPLICIT], 0),
    (SECONDARY_CAPTURE, ["1.2.840.113619.5.2"], 0),          # private transfer syntax
    ("1.2.3.4.5.6.7", [IMPLICIT], 3),                        # 1.2.3 belongs to nobody
    ("1.2.840.10008.1.20.1", [IMPLICIT], 3),                 # a service we do not offer
    (STUDY_ROOT_FIND, [IMPLICIT], 3),
])
def test_contexts(dimse, abstract, syntaxes, result):
    with dimse.connect([(abstract, syntaxes), (VERIFICATION, [IMPLICIT])]) as association:
        assert association.results[1] == result
        assert association.echo(context=3) == 0
        assert association.release()


def test_first_known_transfer_syntax_is_taken(dimse):
    with dimse.connect([(SECONDARY_CAPTURE, ["1.2.3.4.5", "1.2.840.10008.1.2.4.90", IMPLICIT])]) as a:
        assert a.accepted[1] == "1.2.840.10008.1.2.4.90"


def test_no_context_accepted_is_still_an_association(dimse):
    with dimse.connect([(STUDY_ROOT_FIND, [IMPLICIT])]) as association:
        assert association.results == {1: 3} and association.release()


def test_our_identity_and_pdu_size(dimse):
    with dimse.connect() as association:
        assert association.peer_max == 131072
        assert b"2.25." in association.user_information and b"ZPACS" in association.user_information


def test_another_application_context_is_rejected(dimse):
    with pytest.raises(Refused) as refused:
        dimse.connect(application="1.2.3.4")
    assert refused.value.args[0] == (1, 1, 2)


# ---- C-ECHO and what is no operation ------------------------------------------------------------

def test_echo_many_times(dimse):
    with dimse.connect() as association:
        assert [association.echo() for _ in range(20)] == [0] * 20
        assert association.release()


def test_unknown_operation_is_answered(dimse):
    with dimse.connect(STORAGE) as association:
        association.begin_store(SECONDARY_CAPTURE, uid(), field=0x0140)  # N-CREATE
        association.send_dataset(1, b"\0" * 100)
        assert association.read_answer().status == 0x0211                # PS3.7 C.5.25
        instance = uid()
        data = dataset(SECONDARY_CAPTURE, instance)
        assert association.store(SECONDARY_CAPTURE, instance, data).status == 0


def test_operation_on_a_context_of_another_service(dimse):
    with dimse.connect() as association:
        association.begin_store(SECONDARY_CAPTURE, uid())
        association.send_dataset(1, b"\0" * 100)
        assert association.read_answer().status == 0x0122
        assert association.echo() == 0


@pytest.mark.parametrize("max_pdu", [128, 256, 4096])
def test_answers_fit_the_peers_pdu(dimse, max_pdu):
    """PS3.8 D.1. An answer with two long UIDs and a comment is longer than the smallest PDU."""
    instance = "1.2." + "3" * 60
    with dimse.connect(STORAGE, max_pdu=max_pdu) as association:
        answer = association.store(SECONDARY_CAPTURE, instance, dataset(SECONDARY_CAPTURE, "1.2.4"))
        assert answer.status == 0xA900
        assert max(association.pdu_sizes) <= max_pdu
        if max_pdu == 128:
            assert len(association.pdu_sizes) > 1


# ---- C-STORE ------------------------------------------------------------------------------------

@pytest.mark.parametrize("size, fragment", [(0, 100), (10, 1), (100_000, 777), (3_000_000, 131066)])
def test_stored_as_sent(dimse, size, fragment):
    instance = uid()
    data = dataset(SECONDARY_CAPTURE, instance, pixels=os.urandom(size))
    if fragment == 1:
        data = data[:200 - 200 % 2] + data[200 - 200 % 2:]
    with dimse.connect(STORAGE) as association:
        answer = association.store(SECONDARY_CAPTURE, instance, data, fragment=fragment)
        assert (answer.status, answer.comment) == (0, "")
        assert dimse.holds(data) == 1  # with the answer, not some time after it
        assert association.release()


@pytest.mark.parametrize("name, instance, data, status, offending", [
    ("other instance", "1.2.3.1", dataset(SECONDARY_CAPTURE, "1.2.3.2"), 0xA900, 0x00080018),
    ("other class", "1.2.3.1", dataset("1.2.840.10008.5.1.4.1.1.2", "1.2.3.1"), 0xA900, 0x00080016),
    ("no study", "1.2.3.1", dataset(SECONDARY_CAPTURE, "1.2.3.1", study=""), 0xC000, None),
    ("noise", "1.2.3.1", b"\x55" * 5000, 0xC000, None),
    ("a length beyond the end", "1.2.3.1",
     dataset(SECONDARY_CAPTURE, "1.2.3.1", extra=struct.pack("<HHI", 0x0020, 0x4000, 1 << 30)), 0xC000, None),
    ("a path for a UID", "../../etc/x", dataset(SECONDARY_CAPTURE, "../../etc/x"), 0x0117, None),
    ("nested 65 deep", "1.2.3.1", dataset(SECONDARY_CAPTURE, "1.2.3.1", extra=(
        struct.pack("<HHI", 0x0040, 0xA730, 0xFFFFFFFF) + struct.pack("<HHI", 0xFFFE, 0xE000, 0xFFFFFFFF)) * 65),
     0xC000, None),
    ("nested 30000 deep", "1.2.3.1", dataset(SECONDARY_CAPTURE, "1.2.3.1", extra=(
        struct.pack("<HHI", 0x0040, 0xA730, 0xFFFFFFFF) + struct.pack("<HHI", 0xFFFE, 0xE000, 0xFFFFFFFF)) * 30000),
     0xC000, None),
])
def test_refused_with_a_status_and_not_stored(dimse, name, instance, data, status, offending):
    before = [pack.read_bytes() for pack in dimse.packs()]
    with dimse.connect(STORAGE) as association:
        answer = association.store(SECONDARY_CAPTURE, instance, data)
        assert answer.status == status and answer.comment
        if offending:
            assert answer.offending == struct.pack("<HH", offending >> 16, offending & 0xFFFF)
        good = uid()
        stored = dataset(SECONDARY_CAPTURE, good)
        assert association.store(SECONDARY_CAPTURE, good, stored).status == 0  # it goes on
        assert association.release()
    assert dimse.holds(data) == sum(pack.count(data) for pack in before)
    assert not dimse.events("association.died")


def test_store_without_a_dataset(dimse):
    with dimse.connect(STORAGE) as association:
        association.begin_store(SECONDARY_CAPTURE, "1.2.3.1", dataset_type=NO_DATASET)
        assert association.read_answer().status == 0xC000


def test_over_the_size_limit(make_dimse):
    dimse = make_dimse(max_dataset_bytes=100_000)
    with dimse.connect(STORAGE) as association:
        instance = uid()
        big = dataset(SECONDARY_CAPTURE, instance, pixels=os.urandom(200_000))
        answer = association.store(SECONDARY_CAPTURE, instance, big)
        assert answer.status == 0xA700 and answer.comment == "data set is over the size limit"
        small = dataset(SECONDARY_CAPTURE, instance)
        assert association.store(SECONDARY_CAPTURE, instance, small).status == 0
    assert dimse.holds(small) == 1 and not dimse.holds(big[:50_000])


def test_abort_in_mid_store_leaves_nothing(make_dimse):
    dimse = make_dimse()
    data = dataset(SECONDARY_CAPTURE, uid(), pixels=os.urandom(400_000))
    association = dimse.connect(STORAGE)
    association.begin_store(SECONDARY_CAPTURE, "1.2.3.1")
    association.send_dataset(1, data[:-100], last=False)
    association.abort()
    assert wait_for(lambda: dimse.events("association.ended"))
    assert wait_for(lambda: all(p.stat().st_size == 4096 for p in dimse.packs()))
    assert dimse.is_alive()


def test_child_killed_after_its_answer_keeps_the_instance(make_dimse):
    dimse = make_dimse()
    instance = uid()
    data = dataset(SECONDARY_CAPTURE, instance, pixels=os.urandom(100_000))
    torn = dataset(SECONDARY_CAPTURE, uid(), pixels=os.urandom(3_000_000))
    association = dimse.connect(STORAGE)
    assert association.store(SECONDARY_CAPTURE, instance, data).status == 0
    association.begin_store(SECONDARY_CAPTURE, "1.2.3.1")
    association.send_dataset(1, torn, last=False)
    time.sleep(0.2)
    for pid in dimse.processes("dimse-assoc"):
        os.kill(pid, signal.SIGKILL)
    assert wait_for(lambda: dimse.events("association.died", signal="Killed"))
    assert wait_for(lambda: dimse.events("association.ended"))
    assert dimse.holds(data) == 1 and not dimse.holds(torn[:100_000])
    # The same pack goes on for the same address.
    other = uid()
    more = dataset(SECONDARY_CAPTURE, other)
    with dimse.connect(STORAGE) as again:
        assert again.store(SECONDARY_CAPTURE, other, more).status == 0
    assert len(dimse.packs()) == 1 and dimse.holds(more) == 1


def test_all_killed_and_started_again(make_dimse):
    dimse = make_dimse()
    kept = []
    association = dimse.connect(STORAGE)
    for _ in range(5):
        instance = uid()
        kept.append(dataset(SECONDARY_CAPTURE, instance, pixels=os.urandom(50_000)))
        assert association.store(SECONDARY_CAPTURE, instance, kept[-1]).status == 0
    dimse.process.kill()
    dimse.process.wait()
    assert wait_for(lambda: not dimse.processes("dimse-assoc") and not dimse.processes("dimse-zygote"))
    dimse.start()
    assert dimse.events("pack.taken_over")
    assert all(dimse.holds(data) == 1 for data in kept)


def test_disk_full_is_out_of_resources(make_dimse):
    """RLIMIT_FSIZE stands for the full disk: writes of the pack fail."""
    dimse = make_dimse()
    with dimse.connect(STORAGE) as association:
        instance = uid()
        data = dataset(SECONDARY_CAPTURE, instance, pixels=os.urandom(10_000))
        assert association.store(SECONDARY_CAPTURE, instance, data).status == 0
        child = dimse.processes("dimse-assoc")[0]
        subprocess.run(["prlimit", f"--pid={child}", "--fsize=65536"], check=True)
        other = uid()
        more = dataset(SECONDARY_CAPTURE, other, pixels=os.urandom(3_000_000))
        answer = association.store(SECONDARY_CAPTURE, other, more)
        assert answer.status == 0xA700 and answer.comment
        assert association.is_closed(within_s=5)  # a failed write is not tried again
    assert wait_for(lambda: dimse.events("association.ended"))
    assert dimse.is_alive() and dimse.holds(data) == 1 and not dimse.holds(more[:60_000])
    failed = dimse.events("pack.failed")
    assert len(failed) == 1 and dimse.metric("zpacs_packs_failed_total") == 1
    with dimse.connect(STORAGE) as association:  # of the same address: it gets another pack
        again = uid()
        data = dataset(SECONDARY_CAPTURE, again, pixels=os.urandom(10_000))
        assert association.store(SECONDARY_CAPTURE, again, data).status == 0
    assert data not in (dimse.data / f"packs/open/{failed[0]['pack']}.pack").read_bytes() and dimse.holds(data) == 1


def test_large_object_needs_little_memory(make_dimse):
    dimse = make_dimse()
    instance, size = uid(), 300 * 1024 * 1024
    head = dataset(SECONDARY_CAPTURE, instance) + struct.pack("<HHI", 0x7FE0, 0x0010, size)
    block = pdu(4, pdv(1, 0, bytes(131060)))
    with dimse.connect(STORAGE, timeout=120) as association:
        association.begin_store(SECONDARY_CAPTURE, instance)
        association.send_dataset(1, head, last=False)
        left = size
        while left > 131060:
            association.socket.sendall(block)
            left -= 131060
        child = dimse.processes("dimse-assoc")[0]
        status = Path(f"/proc/{child}/status").read_text()
        anonymous = int(next(l for l in status.splitlines() if l.startswith("RssAnon")).split()[1])
        association.send_dataset(1, bytes(left), fragment=left)
        assert association.read_answer().status == 0
    assert anonymous < 16 * 1024  # KiB


# ---- limits -------------------------------------------------------------------------------------

def test_limit_per_address_and_in_all(make_dimse):
    dimse = make_dimse(max_associations=3, max_associations_per_address=2, proxies=["127.0.0.1/32"],
                       aes=["*@192.0.2.0/24"])

    def connect(address):
        return dimse.connect(before=f"PROXY TCP4 {address} 127.0.0.1 1000 104\r\n".encode())

    first = [connect("192.0.2.1") for _ in range(2)]
    begin = time.monotonic()
    with pytest.raises(Refused) as refused:
        connect("192.0.2.1")
    assert time.monotonic() - begin < 0.1
    assert refused.value.args[0] == (2, 3, 2)  # transient, local limit exceeded
    other = connect("192.0.2.2")
    with pytest.raises(Refused):
        connect("192.0.2.3")
    assert dimse.metric('zpacs_associations_refused_total{reason="limit_address"}') == 1
    assert dimse.metric('zpacs_associations_refused_total{reason="limit_total"}') == 1
    for association in (*first, other):
        assert association.echo() == 0 and association.release()
    assert wait_for(lambda: dimse.metric("zpacs_associations_active") == 0)
    assert connect("192.0.2.1").release()
    assert dimse.events("association.refused", reason="limit_address")[0]["peer"] == "192.0.2.1"


def test_silent_connection_is_ended_and_keeps_nobody_waiting(make_dimse):
    dimse = make_dimse(request_timeout_s=3)
    with socket.create_connection(("127.0.0.1", dimse.port)) as silent:
        assert dimse.is_alive() and not dimse.events("association.refused", reason="timeout")
        silent.settimeout(20)
        assert silent.recv(100) == b""
    assert wait_for(lambda: dimse.events("association.refused", reason="timeout"))


def test_trickled_request_is_ended(make_dimse):
    dimse = make_dimse(request_timeout_s=2)
    with socket.create_connection(("127.0.0.1", dimse.port)) as slow:
        begin = time.monotonic()
        try:
            slow.sendall(b"\x01\x00\x00\x00\x01\x00")
            while time.monotonic() - begin < 8:
                slow.sendall(b"\0")
                time.sleep(0.2)
        except OSError:
            pass
        assert time.monotonic() - begin < 5


def test_idle_association_is_ended(make_dimse):
    dimse = make_dimse(idle_timeout_s=1, stall_timeout_s=2)
    with dimse.connect() as idle:
        assert idle.is_closed(within_s=5)
    stalled = dimse.connect(STORAGE)
    stalled.begin_store(SECONDARY_CAPTURE, "1.2.3.1")
    stalled.send_dataset(1, b"\0" * 100, last=False)
    assert stalled.is_closed(within_s=8)
    assert wait_for(lambda: dimse.metric("zpacs_associations_active") == 0)


def test_trickled_dataset_is_ended(make_dimse):
    """A byte comes before every silence is one; what counts is how many come."""
    dimse = make_dimse(stall_timeout_s=2)
    with dimse.connect(STORAGE) as slow, dimse.connect() as honest:
        slow.begin_store(SECONDARY_CAPTURE, "1.2.3.1")
        begin = time.monotonic()
        try:
            slow.socket.sendall(pdu(4, pdv(1, 0, b"\0" * 5000))[:100])
            while time.monotonic() - begin < 30:
                slow.socket.sendall(b"\0")
                time.sleep(0.2)
        except OSError:
            pass
        assert honest.echo() == 0
    assert wait_for(lambda: any("fewer than 1000 bytes" in e["detail"] for e in dimse.events("association.ended")))


def test_time_limits_of_strangers():
    """Who is slow is sent away after so long, also without a configuration file."""
    limits = {"request_timeout_s": "10", "idle_timeout_s": "60", "stall_timeout_s": "30", "min_bytes_per_s": "1000"}
    said = re.findall(r"^# (\w+): (\S+)", (ROOT / "services/dimse/dimse.yaml").read_text(), re.M)
    are = re.findall(r'CONFIG_NUMBER\(dimse_config_t, (\w+), "(\d+)"', (ROOT / "services/dimse/config.c").read_text())
    assert limits.items() <= dict(said).items() and limits.items() <= dict(are).items()


# ---- who may ------------------------------------------------------------------------------------

def test_ae_rules(make_dimse):
    dimse = make_dimse(aes=["CT1@127.0.0.0/8", "*@192.0.2.0/24"], proxies=["127.0.0.2/32"])
    assert dimse.connect(calling="CT1").release()
    with pytest.raises(Refused) as refused:
        dimse.connect(calling="CT2")
    assert refused.value.args[0] == (1, 1, 3)
    assert wait_for(lambda: dimse.events("association.refused", reason="calling_ae", calling="CT2"))


def test_called_ae_title(make_dimse):
    dimse = make_dimse(check_called_aet=True, aet="ARCHIVE")
    assert dimse.connect(called="ARCHIVE").release()
    with pytest.raises(Refused) as refused:
        dimse.connect(called="OTHER")
    assert refused.value.args[0] == (1, 1, 7)


@pytest.mark.parametrize("config, word", [
    ({"bind": "0.0.0.0"}, "aes"),
    ({"aes": ["nonsense"]}, "nonsense"),
    ({"aes": ["CT1@127.0.0.1/33"]}, "prefix"),
    ({"proxies": ["example.org"]}, "example.org"),
    ({"max_pdu_bytes": 100}, "max_pdu_bytes"),
])
def test_configuration_is_refused(config, word):
    one = Dimse(**config)
    for arguments in ((), ("--check",)):
        result = subprocess.run(one.command(*arguments), env=one.environment, capture_output=True, text=True,
                                timeout=20)
        assert result.returncode == 78 and word in result.stdout + result.stderr
    shutil.rmtree(one.folder)


# ---- PROXY protocol -----------------------------------------------------------------------------

V2 = b"\r\n\r\n\0\r\nQUIT\n"


@pytest.mark.parametrize("header, peer", [
    (b"PROXY TCP4 192.0.2.7 127.0.0.1 1000 104\r\n", "192.0.2.7"),
    (b"PROXY TCP6 2001:db8::7 ::1 1000 104\r\n", "2001:db8::7"),
    (b"PROXY UNKNOWN\r\n", "127.0.0.1"),
    (V2 + bytes([0x21, 0x11, 0, 12, 192, 0, 2, 8, 127, 0, 0, 1, 0, 1, 0, 104]), "192.0.2.8"),
    (V2 + bytes([0x20, 0x00, 0, 0]), "127.0.0.1"),  # LOCAL
])
def test_proxy_header(make_dimse, header, peer):
    dimse = make_dimse(proxies=["127.0.0.1/32"], aes=["*@0.0.0.0/0", "*@::/0"])
    assert dimse.connect(before=header).release()
    # and when it comes byte by byte
    with socket.create_connection(("127.0.0.1", dimse.port)) as slow:
        slow.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in header:
            slow.sendall(bytes([byte]))
            time.sleep(0.002)
        slow.sendall(b"GET / HTTP/1.0\r\n\r\n")
        slow.settimeout(5)
        try:
            while slow.recv(100):
                pass
        except ConnectionError:
            pass
    assert wait_for(lambda: dimse.events("association.accepted", peer=peer))
    assert wait_for(lambda: dimse.events("association.refused", reason="request", peer=peer))


def test_proxy_must_send_a_header_and_others_must_not(make_dimse):
    dimse = make_dimse(proxies=["127.0.0.1/32"])
    with pytest.raises(Ended):
        dimse.connect()
    assert dimse.events("association.refused", reason="proxy_header")
    other = make_dimse()
    with pytest.raises(Ended):
        other.connect(before=b"PROXY TCP4 192.0.2.7 127.0.0.1 1000 104\r\n")
    assert other.is_alive()


# ---- strangers ----------------------------------------------------------------------------------

def identity_items(count):
    """Several user identities in one request: items that are passed over, however many."""
    identity = struct.pack(">BBH", 0x58, 0, 10) + bytes([1, 0]) + struct.pack(">H", 4) + b"user" + b"\0\0"
    body = struct.pack(">HH", 1, 0) + b"ZPACS".ljust(16) + b"TESTER".ljust(16) + b"\0" * 32
    body += struct.pack(">BBH", 0x10, 0, 21) + b"1.2.840.10008.3.1.1.1"
    body += struct.pack(">BBH", 0x50, 0, len(identity)) + identity
    return pdu(1, body + (struct.pack(">BBH", 0x50, 0, len(identity)) + identity) * (count - 1))


STRANGERS = [b"GET / HTTP/1.0\r\n\r\n", b"\x42\0\0\0\0\4\0\0\0\0", b"\x01\0\xff\xff\xff\xff" + b"A" * 500,
             pdu(4, pdv(1, 3, b"\0" * 4)), pdu(1, b"\0\1\0\0" + b"X" * 64 + b"\x10\0\xff\xff1.2."), b"\0" * 4000,
             identity_items(3)]


def test_strangers_cost_their_own_process_only(dimse):
    for payload in STRANGERS * 5:
        with socket.create_connection(("127.0.0.1", dimse.port)) as stranger:
            stranger.settimeout(10)
            try:
                stranger.sendall(payload)
                stranger.shutdown(socket.SHUT_WR)
                while stranger.recv(4096):
                    pass
            except OSError as error:  # reset by the other side, at some point of it, or not even connected any more
                assert error.errno in (errno.ECONNRESET, errno.EPIPE, errno.ENOTCONN), error
    assert dimse.is_alive()
    assert wait_for(lambda: dimse.metric("zpacs_associations_active") == 0)
    assert dimse.metric("zpacs_associations_died_total") == 0


@pytest.mark.parametrize("payload", [
    pdu(4, pdv(1, 2, b"\0" * 10)),                        # a dataset before any command
    pdu(4, pdv(9, 3, b"\0" * 10)),                        # a context that was never proposed
    pdu(4, struct.pack(">IBB", 5000, 1, 3) + b"\0" * 4),  # a fragment longer than its PDU
    pdu(4, pdv(1, 3, b"\x08\0\x18\0\2\0\0\0" + b"1\0")),  # a command set that is none
    pdu(4, pdv(1, 1, b"\0" * 1000)) * 100,                # a command set without end
    pdu(1, b"\0" * 100),                                  # a second association request
    b"\x04\0\x7f\xff\xff\xff",                            # 2 GiB of P-DATA
])
def test_broken_protocol_ends_the_association(dimse, payload):
    with dimse.connect() as association:
        association.socket.sendall(payload)
        assert association.is_closed(within_s=5)
    assert dimse.is_alive()
    assert dimse.metric("zpacs_associations_died_total") == 0


def files_of(pid):
    """What its descriptors beyond the standard ones are: pack or socket."""
    names = [os.readlink(f) for f in Path(f"/proc/{pid}/fd").iterdir() if int(f.name) > 2]
    return sorted("pack" if n.endswith(".pack") else n.split(":")[0] for n in names)


def test_child_is_in_its_sandbox(make_dimse):
    dimse = make_dimse()
    with dimse.connect() as association:
        assert association.echo() == 0
        child = dimse.processes("dimse-assoc")[0]
        status = Path(f"/proc/{child}/status").read_text().split("\n")
        fields = dict(line.split(":\t", 1) for line in status if ":\t" in line)
        assert fields["Seccomp"] == "2" and fields["NoNewPrivs"] == "1" and fields["Threads"] == "1"
        limits = Path(f"/proc/{child}/limits").read_text()
        assert next(l for l in limits.splitlines() if "core file" in l).split()[4] == "0"
        assert files_of(child) == ["socket", "socket"]


def test_a_pack_with_records_of_others_is_lent_before_the_peer_is_heard(make_dimse):
    dimse = make_dimse()
    sent = []

    def store(association):
        instance = uid()
        sent.append(dataset(SECONDARY_CAPTURE, instance, pixels=os.urandom(2_000_000)))
        assert association.store(SECONDARY_CAPTURE, instance, sent[-1]).status == 0

    with dimse.connect(STORAGE) as association:
        store(association)
    assert wait_for(lambda: dimse.events("association.ended"))
    assert len(dimse.packs()) == 1
    with socket.create_connection(("127.0.0.1", dimse.port)):  # says nothing
        assert wait_for(lambda: [files_of(p) for p in dimse.processes("dimse-assoc")] ==
                        [["pack", "socket", "socket"]])
        with dimse.connect(STORAGE) as other:  # has one of its own
            store(other)
            assert len(dimse.packs()) == 2
    assert wait_for(lambda: not dimse.processes("dimse-assoc"))
    with dimse.connect(STORAGE) as one, dimse.connect(STORAGE) as two:
        store(one)
        store(two)
        store(one)
    assert wait_for(lambda: not dimse.processes("dimse-assoc"))
    assert len(dimse.packs()) == 2 and all(dimse.holds(data) == 1 for data in sent)
    assert dimse.metric("zpacs_pack_alarms_total") == 0
    assert dimse.metric("zpacs_associations_died_total") == 0


# ---- drain --------------------------------------------------------------------------------------

def test_drain_lets_a_sender_finish(make_dimse):
    dimse = make_dimse()
    association = dimse.connect(STORAGE)
    idle = dimse.connect()
    kept = []

    def send(count):
        for _ in range(count):
            instance = uid()
            kept.append(dataset(SECONDARY_CAPTURE, instance, pixels=os.urandom(20_000)))
            assert association.store(SECONDARY_CAPTURE, instance, kept[-1]).status == 0
            time.sleep(0.05)

    send(3)
    dimse.process.send_signal(signal.SIGTERM)
    assert wait_for(lambda: dimse.events("service.draining"))
    with pytest.raises(Refused) as refused:
        dimse.connect()
    assert refused.value.args[0] == (2, 3, 2)
    send(50)
    assert idle.is_closed(within_s=1)  # it has paused for longer than the sender
    assert association.release()
    assert dimse.process.wait(10) == 0
    assert all(dimse.holds(data) == 1 for data in kept)
    assert not list(dimse.data.glob("packs/open/*.pack"))  # sealed
    assert not dimse.processes("dimse-zygote")


def test_drain_limit_refuses_what_still_comes(make_dimse):
    dimse = make_dimse(drain_ms=500)
    association = dimse.connect(STORAGE)
    statuses = []

    def send():
        try:
            while True:
                instance = uid()
                statuses.append(association.store(SECONDARY_CAPTURE, instance,
                                                  dataset(SECONDARY_CAPTURE, instance)).status)
        except (Ended, OSError):
            pass

    sender = threading.Thread(target=send)
    sender.start()
    time.sleep(0.3)
    dimse.process.send_signal(signal.SIGTERM)
    assert dimse.process.wait(10) == 0
    sender.join(10)
    assert statuses[0] == 0 and set(statuses) <= {0, 0xA700}


# ---- senders we did not write -------------------------------------------------------------------

def test_dcmtk_sends_a_real_file(dimse, shared_data):
    path = next(p for p in sorted((shared_data / "good").iterdir()) if p.name.endswith("CT2_RLE"))
    for command in (["echoscu"], ["storescu", "-R", "-xr"]):
        files = [str(path)] if command[0] == "storescu" else []
        result = subprocess.run([*command, "127.0.0.1", str(dimse.port), *files], capture_output=True,
                                text=True, timeout=60)
        assert result.returncode == 0, result.stdout + result.stderr
    middle = path.stat().st_size // 2  # storescu writes the elements anew, but not the pixels
    assert dimse.holds(path.read_bytes()[middle:middle + 16384]) == 1
