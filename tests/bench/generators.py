"""Runs the load generators: each call sends, and returns what they counted as one dictionary.

dimse and hb are those of ../shared/bench/tools, store_each is tests/tools/dicom_store_each.c. A result
with "error" counts for nothing: no figure without every answer being right.
"""
import json
import os
import subprocess
import tempfile
from pathlib import Path

BENCH = Path(os.environ.get("BENCH", "/tmp/bench"))
TOOLS = Path(os.environ["BENCH_TOOLS"])
CORPUS = BENCH / "data"
BASE = "100000"  # the digits in the corpus's own UIDs
RUN_SECONDS = 900
GET_SECONDS = float(os.environ.get("BENCH_SECONDS", "2"))  # of a measure that repeats requests


def next_salt():
    """Six digits that make the corpus's studies new ones; never twice in a BENCH folder."""
    file = BENCH / "salt"
    salt = int(file.read_text()) + 1 if file.exists() else 200000
    file.write_text(str(salt))
    return str(salt)


def run(command, seconds=RUN_SECONDS):
    try:
        ended = subprocess.run([str(word) for word in command], capture_output=True, text=True, timeout=seconds)
    except subprocess.TimeoutExpired:
        return {"error": f"no end after {seconds} s"}
    try:
        result = json.loads(ended.stdout.strip().splitlines()[-1])
    except (IndexError, ValueError):
        return {"error": (ended.stderr or ended.stdout)[-300:] or f"ended with {ended.returncode}"}
    failed = ended.returncode or result.get("err") or result.get("conn_err") or result.get("fail")
    if failed or set(result.get("status", {"200": 0})) != {"200"}:
        result["error"] = ended.stderr.strip()[-300:] or f"statuses {result.get('status')}"
    return result


def store(target, source, associations=1, instances=10**7, salt=None, seconds=RUN_SECONDS):
    """C-STORE of files or a pack of the corpus; operations are instances."""
    result = run([TOOLS / "dimse", "store", "-h", target["host"], "-p", target["port"], "-a", target["aet"],
                  "-c", associations, "-n", instances, "-r", salt or next_salt(), CORPUS / source], seconds)
    return {**result, "operations": result.get("ok", 0)}


def store_each(target, source, senders, instances):
    """C-STORE, every instance on an association of its own."""
    result = run([TOOLS / "store_each", target["host"], target["port"], target["aet"], senders, instances, next_salt(),
                  CORPUS / source])
    return {**result, "operations": result.get("ok", 0)}


def stow(target, web, source, connections, instances):
    result = run([TOOLS / "hb", "-S", f"{web}/studies", "-c", connections, "-k", 10, "-n", instances, "-r", next_salt(),
                  *credentials(target), CORPUS / source])
    return {**result, "operations": result.get("instances", 0)}


def get(target, web, paths, accept, connections=1, count=None):
    """GETs, round robin over the paths: `count` of them, or for GET_SECONDS."""
    with tempfile.NamedTemporaryFile("w", suffix=".urls") as urls:
        urls.write("\n".join(web + path for path in paths))
        urls.flush()
        length = ["-n", count] if count else ["-d", GET_SECONDS]
        result = run([TOOLS / "hb", "-c", connections, *length, "-H", f"Accept: {accept}", *credentials(target),
                      f"@{urls.name}"])
    return {**result, "operations": result.get("n", 0)}


def receive_and_write(connections, instances, size):
    """The floor of a durable answer: from a socket to a file of its own, fdatasync, answer."""
    with tempfile.TemporaryDirectory(dir=BENCH) as folder:
        result = run([TOOLS / "floor", "recvwrite", folder, instances, size, "fdatasync", connections])
    return {**result, "inst_s": result.get("files_s"), "operations": result.get("n", 0)}


def credentials(target):
    return ["-H", target["auth"]] if target["auth"] else []
