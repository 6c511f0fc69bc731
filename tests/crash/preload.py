"""Programs of the tests; and a preload in one service of a running stack: its section of supervisord.conf is told."""
import os
import re
import subprocess
from pathlib import Path

from stack import ROOT

BUILD = Path("build") / os.environ.get("MODE", "debug") / "tests"


def build(name):
    """Makes tests/crash/NAME.so and returns its path."""
    return _make(BUILD / "crash" / f"{name}.so")


def tool(name):
    """Makes tests/tools/NAME and returns its path."""
    return _make(BUILD / "tools" / name)


def _make(target):
    subprocess.run(["make", "-s", str(target)], cwd=ROOT, check=True)
    return ROOT / target


def place(stack, name):
    """A copy of the preload where the user of the services can read it."""
    path = stack.folder / f"{name}.so"
    path.write_bytes(build(name).read_bytes())
    path.chmod(0o755)
    return path


def writable(stack, name):
    """A new file that every process of the stack may write."""
    path = stack.folder / name
    path.touch()
    path.chmod(0o666)
    return path


def control(stack, *words):
    """supervisorctl; returns what it says."""
    return subprocess.run(["supervisorctl", "-c", str(stack.data / "run/supervisord.conf"), *words], text=True,
                          capture_output=True, timeout=60).stdout


def prepare(stack, services, environment):
    """These variables for the services at start(); the words in front of their program have none."""
    path = stack.data / "run/supervisord.conf"
    text = path.read_text()
    words = " ".join(f"{name}={value}" for name, value in environment.items())
    for service in services:
        text, count = re.subn(rf"(\[program:{service}\]\npriority=\d+\ncommand=/usr/bin/setpriv --pdeathsig TERM )",
                              rf"\g<1>/usr/bin/env {words} ", text)
        assert count == 1, service
    with open(path, "r+") as file:  # its owner stays
        file.write(text)


def start(stack):
    """The services whose variables are others now start anew."""
    control(stack, "update")
    stack.wait_healthy()
