"""Promises P4 and P6: PostgreSQL goes away in every way there is, and the index hangs, while images come in.

Meanwhile C-STORE and STOW-RS go on, since the packs have room; a question is answered rightly or with 503 and
Retry-After, never with an empty 200; /healthz of the index says what is wrong. Afterwards all comes back by
itself, in the same processes, and the oracle of the crash tests finds each acknowledged instance once.
"""
import contextlib
import os
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from urllib.parse import quote

import pytest
import requests
from postgres import Postgres
from stack import Stack, wait_until

sys.path.insert(0, str(Path(__file__).parents[1] / "crash"))
import ledger  # noqa: E402
import oracle  # noqa: E402
from senders import Storm  # noqa: E402

JSON = "application/dicom+json"
KNOWN_SEED, KNOWN = 9001, 16  # one study, stored before all else
DURING = 30  # instances that are acknowledged while the database is away
CUTS = int(os.environ.get("ZPACS_PRESSURE_CUTS", 6))
STOPPED_SECONDS = 20
MANY = 150
THREADS_MORE = 90  # 64 threads of requests and 16 of STOW-RS, a few more
SERVICES = ("index", "dimse", "dicomweb")


class Asker(threading.Thread):
    """Asks the same thing without a pause; whatever is neither the right answer nor an honest 503 is kept."""

    def __init__(self, stack, url, accept):
        super().__init__(daemon=True)
        self.stack, self.url, self.accept = stack, url, accept
        self.right, self.refused, self.wrong, self.stopping, self.longest_s = 0, 0, [], False, 0
        with stack.session() as session:
            self.expected = self.content(session.get(url, headers={"Accept": accept}, timeout=20))

    @staticmethod
    def content(answer):
        """Without the boundary, which is the server's choice."""
        assert answer.status_code == 200, answer.text
        return answer.content.split(b"\r\n--zpacs-")[0]

    def run(self):
        with self.stack.session() as session:
            while not self.stopping:
                began = time.monotonic()
                try:
                    self.take(session.get(self.url, headers={"Accept": self.accept}, timeout=100))
                except (requests.RequestException, AssertionError) as error:
                    self.wrong.append(str(error)[:300])
                self.longest_s = max(self.longest_s, time.monotonic() - began)
                time.sleep(0.03)

    def take(self, answer):
        if answer.status_code == 503 and int(answer.headers.get("Retry-After", 0)) > 0:
            self.refused += 1
        elif answer.status_code == 200 and self.content(answer) == self.expected:
            self.right += 1
        else:
            self.wrong.append((answer.status_code, dict(answer.headers), answer.text[:200]))


class Pressed:
    """A stack on PostgreSQL with an image that is known, and the ledgers of all that came later."""

    def __init__(self, postgres, stack):
        self.postgres, self.stack, self.chance = postgres, stack, random.Random()
        self.storms, self.seeds = [], iter(range(9002, 9100))
        with self.load(seed=KNOWN_SEED, stores=1, stows=0, limit=KNOWN):
            wait_until(lambda: self.storms[0].acknowledged() >= KNOWN, 30)
        known = ledger.read(self.storms[0].folder)
        self.instance, it = next(iter(known.items()))
        self.study, self.series = it.study, it.series
        wait_until(lambda: self.count() == len(known), 30)

    def load(self, seed=None, stores=4, stows=1, limit=1 << 30):
        self.storms.append(Storm(self.stack, seed or next(self.seeds), stores, stows, pace_s=0.03, limit=limit,
                                 small_only=True))
        return self.storms[-1]

    def count(self):
        with self.stack.session() as session:
            answer = session.get(f"{self.stack.base}/api/system", timeout=60)
        return answer.json()["instances"] if answer.status_code == 200 else -1

    def wait_until_caught_up(self):
        """As many as were acknowledged are found, and nothing is left to be read."""
        folder = self.all_ledgers()
        acknowledged = sum(bool(it.acknowledged) for it in ledger.read(folder).values())
        began = time.monotonic()
        wait_until(lambda: self.count() >= acknowledged, 60, lambda: f"{self.count()} of {acknowledged} are found")
        oracle.wait_until_indexed(oracle.Archive(self.stack))
        print(f"  caught up {time.monotonic() - began:.1f} s after the last sender, {acknowledged} instances")

    def all_ledgers(self):
        folder = self.stack.folder / "ledgers"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        for storm in self.storms:
            for path in storm.folder.glob("*.ledger"):
                shutil.copy(path, folder)
        return folder

    def askers(self):
        base = f"{self.stack.web}/studies/{self.study}"
        return [Asker(self.stack, f"{base}/instances?limit=100", JSON),
                Asker(self.stack, f"{base}/series/{self.series}/instances/{self.instance}",
                      "application/dicom; transfer-syntax=*")]

    def store_more(self, count=DURING):
        goal = self.storms[-1].acknowledged() + count
        wait_until(lambda: self.storms[-1].acknowledged() >= goal, 30, lambda: "nothing is stored any more")

    def is_sick(self):
        return not self.stack.is_healthy("index")

    @contextlib.contextmanager
    def everything_holds(self):
        """Load and questions around what happens within; what must hold before, during and after it."""
        pids = {name: self.stack.pid(name) for name in SERVICES}
        askers = self.askers()
        with self.load() as storm:
            for asker in askers:
                asker.start()
            self.store_more(20)
            try:
                yield askers
                self.stack.wait_healthy(seconds=60)
                for asker in askers:
                    goal = asker.right + 10
                    wait_until(lambda a=asker, g=goal: a.right >= g, 60, lambda a=asker: f"no answers: {a.wrong[:3]}")
                self.store_more(20)
            finally:
                for asker in askers:
                    asker.stopping = True
        for asker in askers:
            asker.join(110)
            assert not asker.wrong, asker.wrong[:5]
        statuses = {row for path in storm.folder.glob("*.ledger") for row in path.read_text().splitlines()
                    if '"status"' in row and not row.endswith(('"0000"}', '"200"}', '"202"}'))}
        assert not statuses, f"a sender was told a failure while the packs had room: {list(statuses)[:3]}"
        self.wait_until_caught_up()
        assert pids == {name: self.stack.pid(name) for name in SERVICES}, "something was started again"
        print("  " + ", ".join(f"{a.right} right and {a.refused} refused, longest {a.longest_s:.1f} s" for a in askers))


def use_password_file(stack, postgres):
    """The stack, which has run before and so has a user, gets a URI that names the file of the password."""
    path = stack.folder / "pass word%"
    path.write_text(f"127.0.0.1:{postgres.port}:*:*:{postgres.password}\n")
    path.chmod(0o600)
    owner = stack.data.stat()
    os.chown(path, owner.st_uid, owner.st_gid)
    stack.environment["ZPACS_INDEX_DATABASE"] = \
        f"postgresql://zpacs@127.0.0.1:{postgres.port}/{postgres.database}?passfile={quote(str(path), safe='')}"


@pytest.fixture(scope="module")
def pressed():
    with Postgres() as postgres, Stack() as stack:
        stack.down()
        use_password_file(stack, postgres)
        yield Pressed(postgres, stack.up())


def test_only_the_index_knows_of_the_database(pressed):
    def environment(service):
        return Path(f"/proc/{pressed.stack.pid(service)}/environ").read_bytes()

    assert b"postgresql://" in environment("index")
    assert not any(b"postgresql://" in environment(service) for service in ("dimse", "dicomweb", "nginx"))
    secret = pressed.postgres.password.encode()
    assert secret not in environment("index")
    assert not any(secret in path.read_bytes() for path in (pressed.stack.data / "run").rglob("*") if path.is_file())


def away_for_a_while(pressed, askers, sick_seconds=30):
    """The database is away: senders go on, questions are refused, /healthz says so."""
    wait_until(pressed.is_sick, sick_seconds, lambda: "/healthz of the index does not tell")
    status = pressed.stack.zpacs("status", check=False)
    assert status.returncode == 1 and "NOT healthy: the database cannot be read or written" in status.stdout
    pressed.store_more()
    refused = askers[0].refused
    wait_until(lambda: askers[0].refused > refused, 60, lambda: f"no query is refused: {askers[0].wrong[:3]}")


@pytest.mark.parametrize("end", ["kill", "stop"])
def test_postgres_ends_and_is_started_again(pressed, end):
    with pressed.everything_holds() as askers:
        getattr(pressed.postgres, end)()
        away_for_a_while(pressed, askers)
        pressed.postgres.start()


def many_ask_at_once(pressed):
    """More than there are threads and connections: each is refused in time, and senders do not notice."""
    answers = []

    def ask():
        with pressed.stack.session() as session:
            answers.append(session.get(f"{pressed.stack.web}/studies?limit=1", headers={"Accept": JSON}, timeout=100))

    threads = [threading.Thread(target=ask, daemon=True) for _ in range(MANY)]
    for thread in threads:
        thread.start()
    pressed.store_more()
    for thread in threads:
        thread.join(100)
    assert len(answers) == MANY
    assert all(a.status_code == 503 and int(a.headers["Retry-After"]) > 0 for a in answers), \
        {(a.status_code, a.text[:100]) for a in answers}


def test_postgres_is_frozen(pressed):
    """It accepts connections and answers nothing: the hardest to notice."""
    with pressed.everything_holds() as askers:
        pressed.postgres.freeze()
        try:
            away_for_a_while(pressed, askers)
            dicomweb = pressed.stack.pid("dicomweb")
            threads = threads_of(dicomweb)
            many_ask_at_once(pressed)
            assert threads_of(dicomweb) < threads + THREADS_MORE
        finally:
            pressed.postgres.thaw()


def test_all_connections_are_closed_by_the_server(pressed):
    with pressed.everything_holds():
        for _ in range(3):
            pressed.postgres.query("SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                                   " WHERE pid <> pg_backend_pid() AND backend_type = 'client backend'")
            pressed.store_more()


def test_connections_are_cut_at_any_instant(pressed):
    """Also in the middle of a COMMIT; PostgreSQL then recovers, and may have lost what it last committed."""
    with pressed.everything_holds():
        for _ in range(CUTS):
            time.sleep(pressed.chance.uniform(0, 0.7))
            pids = pressed.postgres.query("SELECT pid FROM pg_stat_activity WHERE backend_type = 'client backend'"
                                          " AND pid <> pg_backend_pid() AND query !~ 'pg_stat_activity'")
            if pids:
                os.kill(int(pressed.chance.choice(pids)[0]), signal.SIGKILL)
            pressed.store_more(5)
            wait_until(lambda: "ready" in psql_is_ready(pressed.postgres), 30)


def psql_is_ready(postgres):
    try:
        return postgres.query("SELECT 'ready'")[0]
    except AssertionError:
        return []


@contextlib.contextmanager
def session_that_locks(postgres, table):
    psql = subprocess.Popen([postgres.programs / "psql", "-XAtq", postgres.uri], env=postgres.environment, text=True,
                            stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    psql.stdin.write(f"BEGIN; LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE; SELECT 'locked';\n")
    psql.stdin.flush()
    try:
        assert psql.stdout.readline() == "locked\n"
        yield
    finally:
        psql.kill()
        psql.wait()


def test_another_session_holds_a_lock(pressed):
    with pressed.everything_holds() as askers, session_that_locks(pressed.postgres, "studies"):
        away_for_a_while(pressed, askers, 40)


def threads_of(pid):
    return len(os.listdir(f"/proc/{pid}/task"))


def test_the_index_hangs(pressed):
    stack = pressed.stack
    with pressed.everything_holds() as askers:
        pid, dicomweb = stack.pid("index"), stack.pid("dicomweb")
        before, refused = threads_of(dicomweb), askers[0].refused
        os.kill(pid, signal.SIGSTOP)
        try:
            end = time.monotonic() + STOPPED_SECONDS
            while time.monotonic() < end:
                pressed.store_more(5)
                assert threads_of(dicomweb) < before + THREADS_MORE
            assert pressed.is_sick() and askers[0].refused > refused
        finally:
            os.kill(pid, signal.SIGCONT)


def test_everything_is_there_once(pressed):
    """Of all tests above."""
    oracle.judge(pressed.stack, pressed.all_ledgers()).demand_no_fault()
