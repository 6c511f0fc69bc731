"""What the services are and hold, and what an onlooker sees meanwhile."""
import json
import os
import subprocess
import sys
from pathlib import Path

from memory import MIB, children_of_all, family, rollup
from stack import SERVICES

MORE_MIB = {"index": 32, "dimse": 16, "dicomweb": 32, "nginx": 32}
# Of connections kept for the next request: to nginx, and those of dicomweb to the index, at most 32
# (index_connections), of which each has some sockets at either end. And packs that stay open for the next use: 64
# of them (common/pack/pool.c) for writing, 128 (common/pack/store_files.c) for reading.
MORE_DESCRIPTORS = {"index": 60 + 32 * 2 + 128, "dimse": 60 + 64, "dicomweb": 60 + 32 * 8 + 128 + 64, "nginx": 60}


def births(pids):
    """When each was started: a number that comes again is another process."""
    found = {}
    for service, pid in pids.items():
        try:
            found[service] = open(f"/proc/{pid}/stat").read().rsplit(")", 1)[1].split()[19]
        except FileNotFoundError:
            found[service] = None
    return found


def inventory(pids):
    """{service: (MiB held, descriptors, number of processes)} of each service with its children; None while one ends."""
    children, found = children_of_all(), {}
    try:
        for service in SERVICES:
            members = family(pids[service], children)
            found[service] = (sum(rollup(p)[0] for p in members) / MIB,
                              sum(len(os.listdir(f"/proc/{p}/fd")) for p in members), len(members))
    except (FileNotFoundError, ProcessLookupError):
        return None
    return found


def is_back(before, now):
    return now is not None and all(
        now[s][0] - before[s][0] < MORE_MIB[s] and now[s][1] <= before[s][1] + MORE_DESCRIPTORS[s] and now[s][2] == before[s][2]
        for s in SERVICES)


class Onlooker:
    def __init__(self, stack):
        command = [sys.executable, str(Path(__file__).parent / "onlooker.py"), str(stack.dicom_port), str(stack.port), stack.token]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def say(self, line):
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()

    def begin(self, kinds):
        self.say(" ".join(["go", *kinds]))

    def end(self):
        self.say("stop")
        return json.loads(self.process.stdout.readline())

    def close(self):
        self.process.stdin.close()
        self.process.wait(60)
