"""Every path that the processes of a stack hand to the kernel, by strace.

%file is each system call with a path: open, openat2, creat, stat, unlink, rename, mkdir, link, symlink, mknod, chmod, execve ...
"""
import os
import re
import subprocess
from collections import Counter
from pathlib import Path

from memory import children_of_all, family
from stack import SERVICES, wait_until

# 1234 openat(AT_FDCWD</tmp/zpacs-x/data/run>, "name", O_RDONLY|O_CLOEXEC) = 5</tmp/zpacs-x/data/run/name>
TEXT = r'"((?:[^"\\]|\\.)*)"'
CALL = re.compile(r"^\d+ +(\w+)\((.*)$")
PATH = re.compile(rf"(?:(?:AT_FDCWD|\d+)<([^>]*)>, )?{TEXT}(\.\.\.)?")
ESCAPE = re.compile(r"\\x([0-9a-f]{2})")
STRACE = ["strace", "-f", "-q", "-y", "-xx", "-s", "65536", "-e", "trace=%file", "-e", "signal=none"]
FEW = {"execve": 1, "symlink": 2, "readlink": 1, "readlinkat": 1}  # what follows is no path, or an answer


def plain(text):
    return ESCAPE.sub(lambda byte: chr(int(byte[1], 16)), text)


def paths_of(line, folder):
    """The paths of one call, absolute and without dots; folder: where relative ones begin when strace does not say."""
    call = CALL.match(line)
    if not call:
        return []
    found = []
    for base, name, cut in PATH.findall(call[2])[:FEW.get(call[1], 2)]:
        assert not cut, line
        # openat(fd, "", AT_EMPTY_PATH) is the descriptor itself
        found.append((call[1], os.path.normpath(os.path.join(plain(base) or folder, plain(name)))))
    return found


def paths_of_program(command, file, folder, **more):
    """What it said, and {(call, path): times} of the last program that the command becomes, and of its threads."""
    said = subprocess.run([*STRACE, "-o", str(file), *map(str, command)], text=True, capture_output=True, timeout=120, **more)
    lines = Path(file).read_text().splitlines()
    begin = max(n for n, line in enumerate(lines) if " execve(" in line and line.endswith(" = 0")) + 1
    return said, Counter(path for line in lines[begin:] for path in paths_of(line, folder))


class Followed:
    """Follows all processes of a stack, and what they start, between enter and exit; paths: {(call, path): times}."""

    def __init__(self, stack, file):
        self.stack, self.file, self.paths = stack, Path(file), Counter()

    def processes(self):
        children = children_of_all()
        return [pid for service in SERVICES for pid in family(self.stack.pid(service), children)]

    def strangers(self):
        """Processes that are not followed: none, once all are."""
        found = []
        for pid in self.processes():
            try:
                status = (Path("/proc") / str(pid) / "status").read_text()
            except FileNotFoundError:
                continue
            if f"TracerPid:\t{self.strace.pid}\n" not in status:
                found.append(pid)
        return found

    def __enter__(self):
        pids = [f"--attach={pid}" for pid in self.processes()]
        self.strace = subprocess.Popen([*STRACE, "-o", str(self.file), *pids], stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        try:
            wait_until(lambda: self.strace.poll() is not None or not self.strangers())
            assert self.strace.poll() is None, self.strace.stderr.read()
        except BaseException:
            self.end()
            raise
        return self

    def end(self):
        self.strace.terminate()  # lets all go on alone
        self.strace.wait(30)
        self.strace.stderr.close()

    def __exit__(self, *_):
        try:
            left_out = self.strangers()
        finally:
            self.end()
        assert not left_out, left_out
        for line in self.file.read_text().splitlines():
            self.paths.update(paths_of(line, str(self.stack.data / "run")))
