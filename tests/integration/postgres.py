"""A private PostgreSQL cluster in a temporary folder: Debian's binaries, an unprivileged user, a password.

    with Postgres() as postgres:
        Stack(ZPACS_DATABASE=postgres.uri) ...
        postgres.kill(); postgres.start()

Its collation sorts unlike SQLite, so that what counts on an order by bytes shows. Standard library only.
"""
import os
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path

USER = "zpacs"


def programs():
    """Debian's folder of the newest version, since initdb and postgres are not on the path."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda p: float(p.parent.name))
    if not found:
        raise RuntimeError("no /usr/lib/postgresql/*/bin: see scripts/packages")
    return found[-1]


def free_port():
    """Below the ephemeral range."""
    for _ in range(200):
        port = 31000 + secrets.randbelow(1700)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
                return port
            except OSError:
                continue
    raise RuntimeError("no free port")


class Postgres:
    def __init__(self, database="zpacs", **settings):
        self.folder = Path(tempfile.mkdtemp(prefix="zpacs-postgres-", dir="/tmp"))
        self.programs = programs()
        self.port = free_port()
        self.password = secrets.token_hex(8)
        self.database = database
        self.settings = {"fsync": "off", "max_connections": 60, "shared_buffers": "32MB", **settings}
        self.process = None
        # PostgreSQL does not run as root.
        self.owner = {"user": "postgres", "group": "postgres", "extra_groups": []} if os.getuid() == 0 else {}
        self.environment = {k: v for k, v in os.environ.items() if not k.startswith(("ZPACS_", "PG"))}

    # ---- addresses ----------------------------------------------------------------------------
    @property
    def uri(self):
        """On TCP, where any user of the machine reaches it who has the password."""
        return self.uri_of(self.database)

    def uri_of(self, database):
        return f"postgresql://{USER}:{self.password}@127.0.0.1:{self.port}/{database}"

    # ---- life ---------------------------------------------------------------------------------
    def __enter__(self):
        try:
            self.initialize()
            self.start()
            self.query(f"CREATE DATABASE {self.database}", database="postgres")
            return self
        except BaseException:
            self.destroy()
            raise

    def __exit__(self, *_):
        self.destroy()

    def initialize(self):
        password = self.folder / "password"
        password.write_text(self.password + "\n")
        if self.owner:
            account = pwd.getpwnam("postgres")
            for path in (self.folder, password):
                os.chown(path, account.pw_uid, account.pw_gid)
        subprocess.run([self.programs / "initdb", "-D", "data", "--no-sync", "-U", USER, "--pwfile=password",
                        "--auth=scram-sha-256", "--encoding=UTF8", "--locale=C.UTF-8", "--locale-provider=icu",
                        "--icu-locale=en-US"],
                       cwd=self.folder, env=self.environment, check=True, capture_output=True, **self.owner)

    def launch(self):
        settings = [f"-c{name}={value}" for name, value in self.settings.items()]
        with open(self.folder / "log", "ab") as log:
            self.process = subprocess.Popen(
                [self.programs / "postgres", "-D", "data", "-k", self.folder, "-p", str(self.port),
                 "-clisten_addresses=127.0.0.1", *settings],
                cwd=self.folder, env=self.environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                start_new_session=True, **self.owner)

    def start(self, seconds=60):
        """Starts the server on what is there, and waits until it answers."""
        end = time.monotonic() + seconds
        self.launch()
        while not self.is_up():
            if self.process.poll() is not None:  # one that was killed may still hold the folder
                self.launch()
            if time.monotonic() > end:
                raise AssertionError(f"PostgreSQL does not start: {self.log()[-2000:]}")
            time.sleep(0.1)
        return self

    def signal(self, number):
        if self.process and self.process.poll() is None:
            self.process.send_signal(number)
            self.process.wait(60)
        self.process = None

    def backends(self):
        """Pids of the postmaster's children: those that serve connections, and its helpers."""
        found = []
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                text = (folder / "stat").read_text()
            except OSError:
                continue
            if int(text[text.rindex(")") + 2:].split()[1]) == self.process.pid:
                found.append(int(folder.name))
        return found

    def signal_all(self, number):
        for pid in [self.process.pid, *self.backends()] if self.process else []:
            try:
                os.kill(pid, number)
            except ProcessLookupError:
                pass

    def freeze(self):
        """Nothing is closed, nothing is answered."""
        self.signal_all(signal.SIGSTOP)

    def thaw(self):
        self.signal_all(signal.SIGCONT)

    def stop(self):
        """Connections are closed, all is written."""
        self.thaw()
        self.signal(signal.SIGINT)

    def kill(self):
        """The postmaster dies at once; its children follow when they notice."""
        self.signal(signal.SIGKILL)

    def destroy(self):
        try:
            self.stop()
        finally:
            if not os.environ.get("ZPACS_TEST_KEEP"):
                shutil.rmtree(self.folder, ignore_errors=True)

    # ---- questions ----------------------------------------------------------------------------
    def is_up(self):
        return subprocess.run([self.programs / "pg_isready", "-q", "-h", "127.0.0.1", "-p", str(self.port)],
                              env=self.environment, check=False).returncode == 0

    def query(self, sql, database=None):
        """The rows as lists of texts."""
        answer = subprocess.run([self.programs / "psql", "-XAtq", "-F\t", "-vON_ERROR_STOP=1", "-c", sql,
                                 self.uri_of(database or self.database)],
                                env=self.environment, text=True, capture_output=True, timeout=120)
        if answer.returncode != 0:
            raise AssertionError(f"{sql}: {answer.stderr}")
        return [line.split("\t") for line in answer.stdout.splitlines()]

    def log(self):
        return (self.folder / "log").read_text(errors="replace")
