"""Promise P2: an index that is deleted as a whole and read again from the packs answers as before, on either database.

The questions are in queries.tsv. The archive that they are put to has a past (history.py).
"""
import hashlib
import json
import re
import shutil
from pathlib import Path

import pytest
from history import LATE, live, names, uids
from past import Past, make
from postgres import Postgres
from test_archive import dataset_of

ACCEPT = {
    "": "application/dicom+json, application/json",
    "xml": 'multipart/related; type="application/dicom+xml"',
    "html": "text/html",
    "dicom": "application/dicom; transfer-syntax=*",
    "parts": 'multipart/related; type="application/dicom"; transfer-syntax=*',
    "frames": 'multipart/related; type="application/octet-stream"; transfer-syntax=*',
}
QUESTIONS_MIN, ANSWERED_MIN = 200, 200
SHOWN = 5  # answers that differ


# ---- the table ------------------------------------------------------------------------------------

def read_table():
    """(what is expected, question, form) of each line."""
    lines = (Path(__file__).parent / "queries.tsv").read_text().splitlines()
    rows = [line.split("\t") + [""] for line in lines if line and not line.startswith("#")]
    return [tuple(row[:3]) for row in rows]


TABLE = read_table()


# ---- answers --------------------------------------------------------------------------------------

def ask_web(past, path, form):
    base = past.stack.base if path.startswith("/api/") else past.stack.web
    answer = past.web.get(base + path, headers={"Accept": ACCEPT[form]}, timeout=60)
    return answer.status_code, answer.headers.get("Content-Type", ""), answer.headers.get("Warning", ""), answer.content


def ask_command(past, arguments):
    result = past.stack.zpacs(*arguments, check=False)
    return f"exit {result.returncode}", "command", result.stderr, result.stdout.encode()


def follow(feed):
    """What somebody knows who has followed the change feed from its begin: what is there, and what is held.

    A rebuild has nothing else to tell: it begins a new epoch and counts anew, in the order in which it reads the
    packs, and what compaction has removed it never heard of.
    """
    there, held = {}, {}
    for change in feed["changes"]:
        study, series, instance, kind = (change[name] for name in ("study", "series", "instance", "kind"))
        if kind in ("instance.stored", "instance.unreadable"):
            there[instance] = (study, series)
        elif kind.endswith(".deleted"):
            there = {uid: place for uid, place in there.items() if
                     place[0] != study or series not in ("", place[1]) or instance not in ("", uid)}
        elif kind in ("study.held", "study.released"):
            held[study] = kind
    return {"there": there, "held": held}


def normal(question, status, kind, warning, body):
    """What is compared: all, but for the boundary between parts, which each process makes anew, and the feed's numbers.

    Long bytes are as good as their hash.
    """
    boundary = re.search(r"boundary=(\S+)", kind)
    if boundary:
        kind, body = kind.replace(boundary[1], "B"), body.replace(boundary[1].encode(), b"B")
    if question.startswith("/api/changes") and status == 200:
        body = json.dumps(follow(json.loads(body)), sort_keys=True).encode()
    is_text = "json" in kind or kind == "command"
    return status, kind, warning, body.decode() if is_text else f"{len(body)} bytes, {hashlib.sha256(body).hexdigest()}"


def ask_all(past):
    past.wait_read()
    answers, known = {}, names(past)
    for _, question, form in TABLE:
        text = question.format(**known)
        found = ask_command(past, text.split()[1:]) if text.startswith("zpacs ") else ask_web(past, text, form)
        answers[question, form] = normal(question, *found)
    return answers


def summary(answer):
    """As the first column of the table has it."""
    status, _, _, text = answer
    if status != 200:
        return str(status)
    return "none" if text.strip() in ("[]", '{"held":false}') or text.startswith("0 bytes") else "some"


def check_same(before, after):
    changed = [(" ".join(key), before[key], after[key]) for key in before if before[key] != after[key]]
    told = "\n".join(f"{question}\n  before: {str(a)[:600]}\n  after:  {str(b)[:600]}" for question, a, b in changed[:SHOWN])
    assert not changed, f"{len(changed)} of {len(before)} answers differ:\n{told}"


# ---- the archive ----------------------------------------------------------------------------------

def empty(postgres):
    postgres.query("DROP DATABASE zpacs", database="postgres")
    postgres.query("CREATE DATABASE zpacs", database="postgres")


class Archive:
    def __init__(self, past, postgres):
        self.past, self.postgres = past, postgres
        live(past)
        self.before = ask_all(past)

    def start_anew(self, **environment):
        """Without any index."""
        self.past.end()
        shutil.rmtree(self.past.stack.data / "index")
        empty(self.postgres)
        self.past.up(**environment)
        self.past.wait_read()


@pytest.fixture(scope="module")
def postgres():
    with Postgres() as postgres:
        yield postgres


@pytest.fixture(scope="module", params=["SQLite", "PostgreSQL"])
def archive(request, shared_data, postgres):
    empty(postgres)
    environment = {"ZPACS_INDEX_DATABASE": postgres.uri} if request.param == "PostgreSQL" else {}
    with Past(shared_data, **environment) as past:
        archive = Archive(past, postgres)
        archive.is_sqlite = not environment
        yield archive


def test_the_list_is_what_was_promised():
    assert len({(question, form) for _, question, form in TABLE}) == len(TABLE) >= QUESTIONS_MIN
    assert sum(expected == "some" for expected, _, _ in TABLE) >= ANSWERED_MIN


def test_answers_are_as_expected(archive):
    wrong = [(expected, question, archive.before[question, form]) for expected, question, form in TABLE
             if summary(archive.before[question, form]) != expected]
    assert not wrong, "\n".join(str(line)[:400] for line in wrong)


def test_the_feed_tells_what_is_there(archive):
    told = json.loads(archive.before["/api/changes?limit=1000", ""][3])["there"]
    listed = json.loads(archive.before["/instances?limit=5000", ""][3])
    assert sorted(told) == sorted(row["00080018"]["Value"][0] for row in listed)


def test_the_index_is_deleted_and_read_again(archive):
    archive.start_anew()
    archive.past.stack.zpacs("reindex")
    check_same(archive.before, ask_all(archive.past))


def test_the_other_database_answers_alike(archive):
    if not archive.is_sqlite:
        return
    archive.start_anew(ZPACS_INDEX_DATABASE=archive.postgres.uri)
    check_same(archive.before, ask_all(archive.past))


def test_what_was_deleted_before_comes_back_after(archive):
    """A rebuild knows where the dead lie, as long as they do."""
    past, image = archive.past, make(LATE, 2, 3)
    assert past.undelete(*uids(LATE, 2)) == {"instances": 3, "gone": 0}
    answer = past.web.get(f"{past.stack.web}/studies/{image.study}/series/{image.series}/instances/{image.instance}",
                          headers={"Accept": ACCEPT["dicom"]}, timeout=30)
    assert dataset_of(answer.content) == dataset_of(image.file)
