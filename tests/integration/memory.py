"""How much memory the processes of a stack hold while something goes on.

What counts is what the kernel cannot take back by dropping it: anonymous pages, shared by whom they are
shared with, and pages of files that are not on the disk yet. Resident pages of a mapped pack that are clean
are cache, not memory; they count as resident only.
"""
import threading
import time
from collections import defaultdict
from pathlib import Path

SERVICES = ("index", "dimse", "dicomweb", "nginx")
PERIOD_S = 0.02
MIB = 1024  # of the kB that the kernel counts in


def children_of_all():
    children = defaultdict(list)
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            children[int(stat.read_text().rpartition(")")[2].split()[1])].append(int(stat.parent.name))
        except OSError:
            pass  # it has ended
    return children


def family(pid, children):
    found = [pid]
    for one in found:
        found += children[one]
    return found


def rollup(pid):
    """(held, resident) kB of a process; zeros when it has ended."""
    fields = defaultdict(int)
    try:
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]:
            name, value = line.split()[:2]
            fields[name.rstrip(":")] = int(value)
    except (OSError, ProcessLookupError):
        pass
    dirty = fields["Pss_Dirty"] or fields["Private_Dirty"]  # the first since Linux 6.0
    return max(dirty, fields["Pss_Anon"] + fields["Pss_Shmem"]), fields["Rss"]


class Watch:
    """The peaks of each service, all of its processes together, between enter and exit: held, resident in MiB."""

    def __init__(self, stack):
        self.pids = {service: stack.pid(service) for service in SERVICES}
        self.held, self.resident = defaultdict(float), defaultdict(float)
        self.over = threading.Event()

    def sample(self):
        children = children_of_all()
        for service, pid in self.pids.items():
            sizes = [rollup(one) for one in family(pid, children)]
            self.held[service] = max(self.held[service], sum(held for held, _ in sizes) / MIB)
            self.resident[service] = max(self.resident[service], sum(resident for _, resident in sizes) / MIB)

    def run(self):
        while not self.over.is_set():
            self.sample()
            time.sleep(PERIOD_S)

    def __enter__(self):
        assert all(self.pids.values()), self.pids
        self.sample()
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.over.set()
        self.thread.join()
        self.sample()
        assert all(self.held[service] > 0 for service in SERVICES), self.held
