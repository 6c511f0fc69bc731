"""A real stack of its own, by ./zpacs up, on free ports and a temporary data folder.

usage: stack.py COMMAND ARGUMENT...   runs the command beside a fresh stack; it finds the stack in
       the environment: ZPACS_TEST_WEB, ZPACS_TEST_TOKEN, ZPACS_TEST_DICOM_PORT, ZPACS_TEST_DATA
"""
import json
import os
import random
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path

import pytest
import requests

ROOT = Path(__file__).resolve().parents[2]
ADMIN_OFFSET = {"index": 11, "dimse": 12, "dicomweb": 13}
SERVICES = ("index", "dimse", "dicomweb", "nginx")


def is_free(port):
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def free_ports():
    """A base port with the internal ones behind it free, and a DICOM port; below the ephemeral range."""
    for _ in range(200):
        base = random.randrange(15000, 31000, 20)
        if all(is_free(base + i) for i in range(16)):
            return base, base + 15
    raise RuntimeError("no free ports")


def copied_mb():
    """What `up` copies into the data folder, since the services' user cannot reach the checkout."""
    if os.geteuid() != 0 or all(folder.stat().st_mode & 0o001 for folder in (ROOT, *ROOT.parents)):
        return 0
    files = [*ROOT.glob("build/release/bin/*"), *ROOT.glob("build/ohif/dist/**/*")]
    return 1 + sum(file.stat().st_blocks for file in files) * 512 // 1000000


class Stack:
    def __init__(self, **environment):
        self.port, self.dicom_port = free_ports()
        # A short path, since sockets lie in it, and open parents, since as root the services run as
        # a user of their own.
        self.folder = Path(tempfile.mkdtemp(prefix="zpacs-", dir="/tmp"))
        self.folder.chmod(0o755)
        self.data = self.folder / "data"
        self.aet = "ZPACS"
        self.environment = {
            **{k: v for k, v in os.environ.items() if not k.startswith("ZPACS_")},
            "ZPACS_HTTP_PORT": str(self.port),
            "ZPACS_DICOM_PORT": str(self.dicom_port),
            "ZPACS_DATA": str(self.data),
            **environment,
        }
        self.token = None

    @contextmanager
    def small_disk(self, size_mb):
        """A file system of the data folder's own, with so much room for data."""
        self.data.mkdir()
        mount = ["mount", "-t", "tmpfs", "-o", f"size={size_mb + copied_mb()}m,mode=700", "zpacs-test", str(self.data)]
        if os.geteuid() != 0 or subprocess.run(mount, capture_output=True).returncode:
            pytest.skip("a file system of its own needs root")
        try:
            yield
        finally:
            subprocess.run(["umount", "--lazy", str(self.data)], check=True)

    # ---- the operator's command -------------------------------------------------------------
    def zpacs(self, *arguments, check=True, timeout=300, **kw):
        result = subprocess.run([str(ROOT / "zpacs"), *map(str, arguments)], env=self.environment, text=True,
                                capture_output=True, timeout=timeout, **kw)
        if check and result.returncode != 0:
            raise AssertionError(f"zpacs {arguments} = {result.returncode}\n{result.stdout}\n{result.stderr}")
        return result

    def up(self):
        self.zpacs("up", "--detach", "--no-build")
        self.endpoints = json.loads((self.data / "run/endpoints.json").read_text())
        self.token = self.endpoints["token"]
        return self

    def down(self):
        return self.zpacs("down")

    def __enter__(self):
        try:
            return self.up()
        except BaseException:
            self.destroy()
            raise

    def __exit__(self, *_):
        self.destroy()

    def destroy(self):
        try:
            self.down()
        finally:
            if not os.environ.get("ZPACS_TEST_KEEP"):
                shutil.rmtree(self.folder, ignore_errors=True)

    # ---- addresses ----------------------------------------------------------------------------
    @property
    def base(self):
        return f"http://127.0.0.1:{self.port}"

    @property
    def web(self):
        return self.base + "/dicom-web"

    def session(self):
        """An HTTP session with the token."""
        session = requests.Session()
        session.trust_env = False
        session.headers["Authorization"] = f"Bearer {self.token}"
        return session

    # ---- processes ----------------------------------------------------------------------------
    def pid(self, service):
        """Of a service as supervisord started it; 0 while there is none."""
        words = subprocess.run(["supervisorctl", "-c", str(self.data / "run/supervisord.conf"), "pid", service],
                               text=True, capture_output=True, timeout=30).stdout.split()
        return int(words[0]) if words and words[0].isdigit() else 0

    def is_healthy(self, service):
        url = f"{self.base}/healthz"
        if service != "nginx":
            url = f"http://127.0.0.1:{self.port + ADMIN_OFFSET[service]}/healthz"
        try:
            with requests.Session() as session:
                session.trust_env = False
                return session.get(url, timeout=3).status_code == 200
        except requests.RequestException:
            return False

    def wait_healthy(self, services=SERVICES, seconds=30):
        wait_until(lambda: all(self.is_healthy(s) for s in services), seconds,
                   lambda: f"not healthy: {[s for s in services if not self.is_healthy(s)]}")

    def log(self, service):
        return (self.data / f"logs/{service}.log").read_text(errors="replace")


def wait_until(condition, seconds=20, message=lambda: "it did not come true"):
    """What the condition gave at last."""
    end = time.monotonic() + seconds
    while not (found := condition()):
        if time.monotonic() > end:
            raise AssertionError(f"{message()} within {seconds} s")
        time.sleep(0.1)
    return found


def main():
    with Stack() as stack:
        return subprocess.run(sys.argv[1:], env={
            **os.environ, "ZPACS_TEST_WEB": stack.base, "ZPACS_TEST_TOKEN": stack.token,
            "ZPACS_TEST_DICOM_PORT": str(stack.dicom_port), "ZPACS_TEST_DATA": str(stack.data),
        }).returncode


if __name__ == "__main__":
    sys.exit(main())
