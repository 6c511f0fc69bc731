"""Two replicas of the index on one PostgreSQL: one is killed and comes back while images arrive, and nobody notices."""
import configparser
import os
import shlex
import signal
import subprocess
import threading
import time

import pytest
import requests
from dimse_client import IMPLICIT, dataset, number
from postgres import Postgres
from pydicom.uid import generate_uid
from stack import Stack, wait_until
from test_kill import CT, INSTANCES, JSON, SECONDS, StoreSender, StowSender, check_everything_is_there, part10

HOSTS = {"one": "127.0.0.2", "two": "127.0.0.3"}


class Replicas:
    """A stack whose own index is replica one, and a second index that is started by hand."""

    def __init__(self, database):
        self.stack = Stack()
        self.second = None
        self.admin = {"one": self.stack.port + 11, "two": self.stack.port + 10}
        self.endpoints = {name: self.list_of(self.stack.port + offset) for name, offset in
                          (("ZPACS_INDEX_ENDPOINT", 8), ("ZPACS_INDEX_CHANGES_ENDPOINT", 9))}
        self.stack.environment.update(ZPACS_INDEX_DATABASE=database, ZPACS_INDEX_REPLICA="one", **self.endpoints)

    @staticmethod
    def list_of(port):
        return ",".join(f"tcp://{host}:{port}" for host in HOSTS.values())

    def __enter__(self):
        self.stack.__enter__()
        try:
            self.start_second()
            self.wait_for_both()
            return self
        except BaseException:
            self.__exit__()
            raise

    def __exit__(self, *_):
        self.stop_second()
        self.stack.destroy()

    # ---- the second one -----------------------------------------------------------------------
    def start_second(self):
        """As supervisord starts the first: the same command, user and environment, but for name and addresses."""
        config = configparser.RawConfigParser()
        config.read_string((self.stack.data / "run/supervisord.conf").read_text())
        first = self.stack.pid("index")
        environment = dict(line.split("=", 1) for line in
                           open(f"/proc/{first}/environ").read().split("\0") if "=" in line)
        environment.update({name: list_.split(",")[1] for name, list_ in self.endpoints.items()},
                           ZPACS_INDEX_REPLICA="two", ZPACS_ADMIN=f"127.0.0.1:{self.admin['two']}")
        owner = self.stack.data.stat()
        user = {"user": owner.st_uid, "group": owner.st_gid, "extra_groups": []} if os.getuid() == 0 else {}
        with open(self.stack.folder / "second.log", "ab") as log:
            self.second = subprocess.Popen(shlex.split(config["program:index"]["command"]), env=environment, cwd="/",
                                           stdin=subprocess.DEVNULL, stdout=log, stderr=log, umask=0o077, **user)

    def stop_second(self):
        if self.second and self.second.poll() is None:
            self.second.terminate()
            self.second.wait(30)

    # ---- both ---------------------------------------------------------------------------------
    def kill(self, name):
        if name == "two":
            self.second.kill()
            self.second.wait(30)
        else:
            os.kill(self.stack.pid("index"), signal.SIGKILL)

    def count(self, name, question):
        """How many of them it has answered; a metric is there from its first value on."""
        return metrics(self.admin[name]).get(f"zpacs_index_{question}_seconds_count", 0)

    def is_healthy(self, name):
        try:
            with requests.Session() as session:
                session.trust_env = False
                return session.get(f"http://127.0.0.1:{self.admin[name]}/healthz", timeout=3).status_code == 200
        except requests.RequestException:
            return False

    def wait_for_both(self):
        wait_until(lambda: self.is_healthy("one") and self.is_healthy("two"), 30, lambda: "a replica is not healthy")

    def places_asked(self):
        """How often any of them was asked where an instance lies."""
        return sum(self.count(name, "locate") for name in HOSTS)


def metrics(port):
    with requests.Session() as session:
        session.trust_env = False
        lines = session.get(f"http://127.0.0.1:{port}/metrics", timeout=5).text.splitlines()
    return {line.rsplit(" ", 1)[0]: float(line.rsplit(" ", 1)[1]) for line in lines if line and line[0] != "#"}


@pytest.fixture(scope="module")
def replicas():
    with Postgres() as postgres, Replicas(postgres.uri) as both:
        yield both


class Asker(threading.Thread):
    """Queries without a pause; counts what is answered, and keeps what was not."""

    def __init__(self, stack):
        super().__init__(daemon=True)
        self.stack, self.answered, self.failures, self.stopping = stack, 0, [], False

    def run(self):
        with self.stack.session() as session:
            while not self.stopping:
                answer = session.get(f"{self.stack.web}/studies?limit=5", timeout=20, headers={"Accept": JSON})
                if answer.status_code in (200, 204):
                    self.answered += 1
                else:
                    self.failures.append(answer.status_code)
                time.sleep(0.01)

    def wait_for_more(self, count):
        goal = self.answered + count
        wait_until(lambda: self.answered >= goal or not self.is_alive(), 20,
                   lambda: f"queries fail: {self.failures[-5:]}")
        assert self.is_alive()


@pytest.mark.parametrize("victim", ["two", "one"])
def test_a_replica_is_killed_while_images_arrive(replicas, victim):
    stack = replicas.stack
    senders = [StoreSender(stack) for _ in range(4)] + [StowSender(stack)]
    asker = Asker(stack)
    for thread in [asker, *senders]:
        thread.start()
    wait_until(lambda: sum(len(sender.ledger) for sender in senders) > INSTANCES)
    assert any(sender.waiting for sender in senders), "everything was sent before the kill"
    replicas.kill(victim)
    asker.wait_for_more(50)  # the other one answers alone
    if victim == "two":
        replicas.start_second()
    for sender in senders:
        sender.join(SECONDS)
        assert not sender.is_alive() and len(sender.ledger) == INSTANCES
        assert sender.breaks == 0, "a sender has noticed it"
    replicas.wait_for_both()
    asker.wait_for_more(50)
    asker.stopping = True
    asker.join(30)
    assert set(asker.failures) <= {503}
    for sender in senders:
        check_everything_is_there(stack, sender)


def test_a_replica_is_restarted_in_peace(replicas):
    """As an operator does it, one after the other: no question fails."""
    stack = replicas.stack
    senders, asker = [StoreSender(stack), StowSender(stack)], Asker(stack)
    for thread in [asker, *senders]:
        thread.start()
    asker.wait_for_more(20)
    replicas.stop_second()
    asker.wait_for_more(20)
    replicas.start_second()
    replicas.wait_for_both()
    asker.wait_for_more(20)
    os.kill(stack.pid("index"), signal.SIGTERM)
    asker.wait_for_more(50)
    asker.stopping = True
    asker.join(30)
    assert not asker.failures
    replicas.wait_for_both()
    for sender in senders:
        sender.join(SECONDS)
        assert len(sender.ledger) == INSTANCES and sender.breaks == 0
        check_everything_is_there(stack, sender)


def test_both_answer(replicas):
    asker = Asker(replicas.stack)
    before = {name: replicas.count(name, "find") for name in HOSTS}
    asker.start()
    wait_until(lambda: all(replicas.count(name, "find") > before[name] + 5 for name in HOSTS))
    asker.stopping = True
    asker.join(30)
    assert not asker.failures


# ---- the doorbell ---------------------------------------------------------------------------------

def store_image(stack):
    """One instance of a study of its own, with a frame; (study, address of the frame)."""
    study, series, instance = generate_uid(), generate_uid(), generate_uid()
    image = b"".join(number(0x00280000 | element, value) for element, value in (
        (0x0002, 1), (0x0010, 16), (0x0011, 16), (0x0100, 8), (0x0101, 8), (0x0102, 7), (0x0103, 0)))
    data = dataset(CT, instance, study, series, extra=image, pixels=os.urandom(256))
    with stack.session() as session:
        answer = session.post(
            stack.web + "/studies", timeout=20, data=b"\r\n--B\r\nContent-Type: application/dicom\r\n\r\n" +
            part10(data, instance) + b"\r\n--B--\r\n",
            headers={"Accept": JSON, "Content-Type": 'multipart/related; type="application/dicom"; boundary=B'})
    assert answer.status_code in (200, 202), answer.text
    return study, f"{stack.web}/studies/{study}/series/{series}/instances/{instance}/frames/1"


def frame_status(stack, frame):
    with stack.session() as session:
        return session.get(frame, timeout=20, headers={
            "Accept": 'multipart/related; type="application/octet-stream"'}).status_code


def is_bell_heard(stack):
    return metrics(stack.port + 13).get("zpacs_index_doorbell_heard") == 1


def test_a_place_is_kept_until_the_bell_says_that_it_has_changed(replicas):
    stack = replicas.stack
    wait_until(lambda: is_bell_heard(stack), 20, lambda: "dicomweb hears no bell")
    study, frame = store_image(stack)
    wait_until(lambda: frame_status(stack, frame) == 200, 10, lambda: "the frame is not there")

    def is_kept():
        assert frame_status(stack, frame) == 200
        asked = replicas.places_asked()
        time.sleep(1.5)  # longer than a place is kept without a bell
        assert frame_status(stack, frame) == 200
        return replicas.places_asked() == asked

    wait_until(is_kept, 30, lambda: "the place is asked for again and again")
    stack.zpacs("delete", study)  # dicomweb has no part in it
    wait_until(lambda: frame_status(stack, frame) == 404, 10, lambda: "what was deleted is still served")


def test_the_bell_is_heard_again_after_both_were_killed(replicas):
    stack = replicas.stack
    wait_until(lambda: is_bell_heard(stack), 20)
    heard = metrics(stack.port + 13)["zpacs_index_bells_total"]
    replicas.kill("two")
    replicas.kill("one")
    replicas.start_second()
    replicas.wait_for_both()
    wait_until(lambda: is_bell_heard(stack) and metrics(stack.port + 13)["zpacs_index_bells_total"] > heard + 2, 30,
               lambda: "no bell after the restart")


def test_the_bell_is_heard_on_a_plain_stack(stack):
    wait_until(lambda: is_bell_heard(stack), 20, lambda: "dicomweb hears no bell")
