"""How much an answer may hold, whatever was asked for."""
import pytest
from instances import instance, new_uid, part10
from stack import wait_until
from strangers import upload

MOST = 1000  # query_limit_max


@pytest.fixture(scope="module")
def crowded(stack, web):
    """A study with one instance more than an answer holds."""
    study, series = new_uid(), new_uid().encode()
    files = [part10(instance(study=study.encode(), series=series, patient=b"CROWDED", name=b"Crowd^Ed")) for _ in range(MOST + 1)]
    assert upload(stack, web, files).status_code in (200, 202)
    rest = f"{stack.web}/studies/{study}/instances?offset={MOST}"
    wait_until(lambda: len(web.get(rest, timeout=20).json()) == 1)
    return study


@pytest.mark.parametrize("query", ["", "limit=1001", "limit=1000000000", "PatientName=*", "PatientName=*&fuzzymatching=true",
                                   "PatientName=Crowd*&includefield=all&limit=99999", "PatientID=??OWDED"])
def test_an_answer_has_its_limit_and_says_so(stack, web, crowded, query):
    answer = web.get(f"{stack.web}/studies/{crowded}/instances?{query}", timeout=30)
    assert answer.status_code == 200 and len(answer.json()) == MOST
    assert answer.headers["Warning"].startswith("299 ")


def test_the_rest_is_on_the_next_page(stack, web, crowded):
    first, second = (web.get(f"{stack.web}/studies/{crowded}/instances?limit=1000&offset={offset}", timeout=30) for offset in (0, MOST))
    uids = [row["00080018"]["Value"][0] for answer in (first, second) for row in answer.json()]
    assert len(uids) == len(set(uids)) == MOST + 1 and "Warning" not in second.headers
