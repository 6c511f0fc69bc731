"""CPU and memory of process trees, from /proc."""
import os

TICKS = os.sysconf("SC_CLK_TCK")


def family(roots):
    """The pids, and those of all that they started."""
    children = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            fields = stat(entry)
            if fields:
                children.setdefault(int(fields[1]), []).append(int(entry))
    found, todo = [], list(roots)
    while todo:
        found.append(todo.pop())
        todo += children.get(found[-1], [])
    return found


def stat(pid):
    """Fields of /proc/PID/stat behind the name: state, parent, ..."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
            return file.read().rpartition(")")[2].split()
    except OSError:
        return None


def cpu_seconds(roots):
    """Of all that live, and of those that have ended and been waited for."""
    total = 0
    for pid in family(roots):
        fields = stat(pid)
        if fields:
            total += sum(map(int, fields[11:15]))
    return total / TICKS


def pss_mb(roots):
    """Proportional set size: what is shared counts once, split over those who share it."""
    total = 0
    for pid in family(roots):
        try:
            with open(f"/proc/{pid}/smaps_rollup", encoding="utf-8") as file:
                total += sum(int(line.split()[1]) for line in file if line.startswith("Pss:"))
        except OSError:
            pass
    return total * 1024 / 1e6
