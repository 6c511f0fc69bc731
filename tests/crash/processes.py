"""The processes of a stack by what they are; their end; and how long the stack is away."""
import contextlib
import os
import signal
import time
from pathlib import Path

import requests
import stack as stacks
from dimse_client import IMPLICIT, VERIFICATION, Association, Ended, Refused
from test_kill import JSON

# victim: name of its processes
VICTIMS = {"index": "zpacs-index", "dimse": "zpacs-dimse", "zygote": "dimse-zygote", "association": "dimse-assoc",
           "dicomweb": "zpacs-dicomweb", "nginx": "nginx"}
ADMINISTERED = ("index", "dimse", "dicomweb", "nginx")
BACK_SECONDS = 60


def table():
    """{pid: (name, parent)} of all processes of the machine."""
    found = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            text = (folder / "stat").read_text()
        except OSError:
            continue
        name, rest = text[text.index("(") + 1:text.rindex(")")], text[text.rindex(")") + 2:].split()
        found[int(folder.name)] = (name, int(rest[1]))
    return found


class Stack(stacks.Stack):
    """Ends at once: what a stack does at a peaceful end takes long, and is not what is asked here."""

    def destroy(self):
        if (self.data / "run/supervisord.pid").exists():
            kill_all(self)
        super().destroy()


def below(supervisord):
    """{pid: name} of what a supervisord has started; asking it would take too long in the middle of a transfer."""
    found = table()

    def is_ours(pid):
        while pid in found:
            pid = found[pid][1]
            if pid == supervisord:
                return True
        return False

    return {pid: name for pid, (name, _) in found.items() if is_ours(pid)}


def supervisord_of(stack):
    return int((stack.data / "run/supervisord.pid").read_text())


def of_stack(stack, victim):
    return [pid for pid, name in below(supervisord_of(stack)).items() if name == VICTIMS[victim]]


def kill_all(stack):
    """supervisord first: it would start the others again."""
    supervisord = supervisord_of(stack)
    for pid in [supervisord, *below(supervisord)]:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def kill_one(stack, victim, chance):
    """Ends one of them as a crash does; None when there is none."""
    pids = of_stack(stack, victim)
    if not pids:
        return None
    pid = chance.choice(sorted(pids))
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return None
    return pid


def answers(stack):
    """Whether it takes an association and finds something, as a modality and a viewer would ask."""
    try:
        with Association(stack.dicom_port, [(VERIFICATION, [IMPLICIT])], timeout=5) as association:
            if association.echo() != 0:
                return False
            association.release()
        with stack.session() as session:
            return session.get(f"{stack.web}/studies?limit=1", timeout=5, headers={"Accept": JSON}).status_code in (200, 204)
    except (Ended, Refused, OSError, requests.RequestException):
        return False


def finds(stack, instance):
    """Whether a query finds it."""
    url = f"{stack.web}/studies/{instance.study}/series/{instance.series}/instances"
    try:
        with stack.session() as session:
            answer = session.get(url, params={"SOPInstanceUID": instance.uid}, timeout=10, headers={"Accept": JSON})
        return answer.status_code == 200 and len(answer.json()) == 1
    except (requests.RequestException, ValueError):
        return False


def state(stack):
    """For the message of a failure: who is there, who is healthy, and the last words of each."""
    return {victim: (of_stack(stack, victim), victim in ADMINISTERED and stack.is_healthy(victim),
                     stack.log(victim)[-400:] if victim in ADMINISTERED else "") for victim in VICTIMS}


def wait_until_back(stack, since):
    """Seconds from since (time.monotonic) until it answers again."""
    while not answers(stack):
        assert time.monotonic() - since < BACK_SECONDS, f"it does not come back: {state(stack)}"
        time.sleep(0.02)
    return time.monotonic() - since
