"""What our programs could not do for a stranger even if one took them over, and what their logs look like after all that."""
import json
import re
import subprocess
from pathlib import Path

import pytest
from dimse_client import IMPLICIT, VERIFICATION, Association, Ended, Refused
from stack import ROOT, SERVICES

STARTS_PROGRAMS = {"system", "popen", "execv", "execve", "execvp", "execvpe", "execl", "execlp", "execle", "fexecve", "posix_spawn",
                   "posix_spawnp"}
LINE_MAX = 8192


PROGRAMS = sorted((ROOT / "build/release/bin").glob("zpacs-*"))
STARTS = {"zpacs-dimse": {"execv"}}  # its zygote; the filter forbids it from then on
PARSERS = ("xml", "expat", "dcm", "gdcm", "hiredis", "openjp", "charls", "jpeg")  # libraries that have parsed bytes of strangers wrongly


def said_by(*command):
    return subprocess.run(command, text=True, capture_output=True, check=True).stdout


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda program: program.name)
def test_no_program_can_start_another(program):
    symbols = set(re.findall(r" U (\w+)", said_by("nm", "-D", "--undefined-only", program)))
    assert "free" in symbols and STARTS_PROGRAMS & symbols == STARTS.get(program.name, set())


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda program: program.name)
def test_no_program_is_linked_with_the_parsers_of_others(program):
    libraries = re.findall(r"NEEDED.*\[lib(.+?)\.so", said_by("readelf", "-d", program))
    assert "c" in libraries and not [one for one in libraries if one.startswith(PARSERS)]


def test_dimse_starts_its_zygote_and_nothing_behind_it(stack):
    """Its filter forbids that from then on (services/dimse/association/sandbox.c)."""
    status = Path(f"/proc/{stack.pid('dimse')}/status").read_text()
    assert re.search(r"^Seccomp:\s+2$", status, re.MULTILINE) and re.search(r"^NoNewPrivs:\s+1$", status, re.MULTILINE)


TITLES = ["<script>", "../../etc", "a\x1b[2Jb", "a\r\n{\"x\":1}", "\x00\x01", "%n%n", "\u00ff\u0080", " " * 16]


def test_ae_titles_of_strangers_keep_the_log_readable(stack):
    for title in TITLES:
        try:
            with Association(stack.dicom_port, [(VERIFICATION, [IMPLICIT])], calling=title, called=title) as peer:
                peer.echo()
                peer.release()
        except (Refused, Ended):
            pass


@pytest.mark.parametrize("service", SERVICES)
def test_every_line_of_the_logs_is_json(stack, web, service):
    """Also after texts of strangers in addresses and titles."""
    web.get(f"{stack.base}/dicom-web/studies", timeout=20, headers={"User-Agent": "\x1b[2J\xff" + "x" * 4000, "Referer": "\u00ff\u0080"})
    for text in ("%1b%5b2J", "%0d%0a%7b%7d", "%e2%80%a8", "%ff%fe", "x" * 7000):
        web.get(f"{stack.base}/dicom-web/studies/{text}/metadata", timeout=20)
    for line in filter(None, stack.log(service).split("\n")):  # splitlines() takes U+2028 for an end
        assert not any(ord(c) < 0x20 or ord(c) == 0x7f for c in line)
        assert len(line) <= LINE_MAX and json.loads(line)["service"] == service, line[:300]
