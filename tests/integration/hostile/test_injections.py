"""Queries that mean to be something else, or to match everything."""
import os
import urllib.parse

import pytest
from instances import instance, part10, pixels, uid_of
from scale import count
from stack import wait_until
from strangers import JSON, upload

# kind: what such a text tries; each comes with the numbers 1 to 4
INJECTIONS = {
    "sql": ["' OR %d=1 --", "'; DROP TABLE study; --%d", "\" OR \"\"=\"%d", "%d') UNION SELECT sql FROM sqlite_master --", "1 OR %d",
            "*' AND randomblob(1000000000) --%d", "%d;ATTACH DATABASE '/tmp/x' AS x", "||%d||", "/*%d*/", "'||pg_sleep(%d)||'",
            "%d; COPY study TO PROGRAM 'id' --", "$1%d", "\ufffd' OR %d=1 --", "x') RETURNING %d --", "LIKE '%%%d%%' ESCAPE ''"],
    "pattern": ["%%_%d", "\\%d", "[a-z]%d*", "(a+)+$%d", "*?*%d*?*", "^.*%d.*$"],
    "path": ["../../etc/passwd%d", "..\\..\\%d", "/proc/self/environ?%d", "file:///etc/passwd#%d", "%%2e%%2e%%2f%d", "%d/..;/",
             "\\\\host\\share\\%d", "~root/%d", "C:\\boot.ini%d"],
    "header": ["%%0d%%0aX: %d", "\r\nX-Injected: %d", "\nSet-Cookie: a=%d", "\r\n\r\nHTTP/1.1 200 OK %d", "\x0b\x0cX: %d"],
    "script": ["<svg/onload=%d>", "<script>alert(%d)</script>", "\"><img src=x onerror=alert(%d)>", "javascript:alert(%d)",
               "{{%d*7}}", "${%d*7}", "<%%= %d %%>", "__proto__[%d]", "</script><script>%d", "&#x3c;b%d&#x3e;"],
    "shell": ["`id`%d", "$(id)%d", "|id;%d", "&& id %d", "-rf %d"],
    "format": ["%%n%%n%%s%d", "%%s%%s%%s%%s%d", "%%x.%%x.%d", "%%999999d%d", "{0}{%d}"],
    "null": ["%%00%d", "\0%d", "a\0b%d", "NULL%d", "nil%d", "undefined%d"],
    "number": ["-%d", "9999999999999999999%d", "0x%d", "1e%d09", "NaN%d", "0%d.5e-999", "\u0661\u0662%d"],
    "text": ["\u202e%d", "\u0130\u0131\u00df%d", "\ufeff%d", "e\u0301\u0301%d" * 200, "\U0001f9d1\u200d\u2695\ufe0f%d", "\u2028%d", "\ud7ff%d"],
}
ALL = [text.replace("%d", str(k)).replace("%%", "%") for k in (1, 2, 3, 4) for texts in INJECTIONS.values() for text in texts]
KEYS = ["PatientName", "PatientID", "StudyDate", "StudyInstanceUID", "AccessionNumber", "ModalitiesInStudy", "00080050"]
LEVELS = ["/studies", "/series", "/instances"]
SPOKEN = ("sqlite", "syntax error", "postgres", "root:", "x-injected")  # what an answer must not say


def chosen(number, texts):
    """As many as asked for, another part of them for each caller."""
    wanted = min(count("injections per key"), len(texts))
    return [texts[(number * wanted + k) % len(texts)] for k in range(wanted)]


def assert_calm(answer, text):
    assert answer.status_code in (200, 204, 400, 413, 414), (text, answer.text)
    assert "X-Injected" not in answer.headers and "Set-Cookie" not in answer.headers, text
    said = answer.text.lower()
    assert not any(word in said and word not in text.lower() for word in SPOKEN), (text, answer.text[:300])
    assert "html" not in answer.headers.get("Content-Type", "")


def total(stack, web):
    return len(web.get(stack.web + "/studies?limit=1000", timeout=20).json())


def test_there_are_injections_enough():
    assert len(set(ALL)) >= 300


@pytest.mark.parametrize("key", KEYS)
def test_injected_values_match_nothing_and_break_nothing(stack, web, key):
    before = total(stack, web)
    for number, text in enumerate(chosen(KEYS.index(key), ALL)):
        answer = web.get(stack.web + LEVELS[number % 3], params={key: text, "limit": 5}, timeout=20)
        assert_calm(answer, text)
        if answer.status_code == 200 and key in ("StudyInstanceUID", "AccessionNumber") and not set(text) & set("*?"):
            assert answer.json() == [], text
    assert total(stack, web) == before


@pytest.mark.parametrize("name", ["limit", "offset", "includefield", "fuzzymatching", "PatientName' --", "orderby",
                                  "00100010'", "(0010,0010)", "00100010.00100020.00100010.00100020.00100010.00100020",
                                  "__proto__", "\0", "x" * 4000])
def test_injected_names_and_controls(stack, web, name):
    for text in chosen(len(name), ALL):
        assert_calm(web.get(stack.web + "/studies", params={name: text}, timeout=20), text)


def test_injected_addresses(stack, web):
    for text in chosen(0, ALL):
        for path in ("/studies/%s/metadata", "/studies/1.2/series/%s", "/studies/1.2/series/1.3/instances/%s/frames/1"):
            answer = web.get(stack.web + path % urllib.parse.quote(text, safe=""), timeout=20)
            assert answer.status_code in (400, 404, 414), (text, path, answer.text)
            assert "<script>" not in answer.text and "root:" not in answer.text


@pytest.mark.parametrize("query, statuses", [
    ("limit=1000000000", (200, 400)), ("offset=4000000000", (200, 204)),
    *((f"{name}={wrong}", (400,)) for name in ("limit", "offset") for wrong in ("-1", "1.5", "9" * 40, "", "1;2")),
    ("&".join(f"PatientID={i}" for i in range(200)), (400, 413, 414)),
    ("&".join(["PatientName=a*"] * 200), (400, 413, 414)),
    ("StudyInstanceUID=" + ",".join(f"1.2.{i}" for i in range(1200)), (200, 204, 400, 413, 414)),
    ("includefield=" + ",".join(["00100010"] * 800), (200, 204, 400, 413, 414)),
    ("PatientName=" + "x" * 9000, (400, 413, 414)), ("PatientName=" + "x" * 70_000, (400, 413, 414)),
], ids=lambda v: v[:30] if isinstance(v, str) else "")
def test_bounds_of_a_query(stack, web, query, statuses):
    answer = web.get(f"{stack.web}/studies?{query}", timeout=30)
    assert answer.status_code in statuses, answer.text[:200]
    if answer.status_code == 200:
        assert len(answer.json()) <= 1000


def test_a_limit_of_a_billion_is_held_to_ours(stack, web):
    answer = web.get(stack.web + "/instances?limit=100000000&includefield=all", timeout=30)
    assert answer.status_code in (200, 400)
    if answer.status_code == 200:
        assert len(answer.json()) <= 1000 and len(answer.content) < 64 << 20


PATTERNS = ["*", "?*", "*?*", "*" * 1000, "?" * 60, "*a" * 500, "*?" * 30 + "b", "%2a" * 2000, "*^*^*^*^*", "a*" * 2000]


@pytest.mark.parametrize("key", ["PatientName=%s", "PatientName=%s&fuzzymatching=true", "PatientID=%s", "StudyDescription=%s"])
def test_wildcards_that_match_everything(stack, web, key):
    for pattern in PATTERNS:
        answer = web.get(f"{stack.web}/studies?limit=5&{key % pattern}", timeout=30)
        assert answer.status_code in (200, 204, 400, 413), pattern[:20]


@pytest.mark.parametrize("accept", ["*/*;q=" + "9" * 3000, "a/b," * 1500, ";" * 5000, "multipart/related;type=" + '"' * 999,
                                    "\x01", "application/dicom+json;q=nan", "*/*" + ";a=b" * 1000], ids=lambda v: ascii(v[:30]))
def test_accept_of_strangers(stack, web, accept):
    for path in ("/studies", "/studies/1.2.3", "/studies/1.2.3/metadata"):
        assert web.get(stack.web + path, headers={"Accept": accept}, timeout=20).status_code < 500


@pytest.mark.parametrize("field", ["bytes=0-" + "9" * 50, "bytes=" + "0-1," * 3000, "bytes=-0", "bytes=5-2", "bytes=" + "-" * 99, "x"],
                         ids=lambda v: v[:12])
def test_range_of_strangers(stack, web, field):
    dataset = instance(pixels(os.urandom(4096)))
    assert upload(stack, web, [part10(dataset)]).status_code in (200, 202)
    path = "/studies/%s/series/%s/instances/%s/bulkdata/7FE00010" % tuple(
        uid_of(dataset, tag) for tag in (0x0020000D, 0x0020000E, 0x00080018))
    wait_until(lambda: web.get(stack.web + path, timeout=10).status_code == 200)
    assert web.get(stack.web + path, headers={"Range": field}, timeout=20).status_code in (200, 206, 400, 416)


DEEP = 1_000_000
BODIES = {
    "deep list": b"[" * DEEP, "deep object": b'{"a":' * 100_000, "closed": b"[" * 5000 + b"]" * 5000, "not UTF-8": b'{"reason":"\xff"}',
    "NUL": b'{"reason":"a\\u0000b"}', "surrogate": b'{"reason":"\\ud800"}', "twice": b'{"reason":"a","reason":"b"}',
    "number": b'{"reason":' + b"9" * 100_000 + b"}", "long": b'{"reason":"' + b"x" * 900_000 + b'"}', "prototype": b'{"__proto__":{"a":1}}',
    "empty": b"", "blanks": b" " * 500_000, "half": b'{"reason":', "wrong type": b'{"reason":[1,2,{"a":null}]}',
}


@pytest.mark.parametrize("what", BODIES)
def test_json_of_strangers(stack, web, what):
    for method, path in (("PUT", "/api/studies/1.2.3/hold"), ("POST", "/api/studies/1.2.3/undelete"), ("POST", "/api/conflicts/1.2.3")):
        answer = web.request(method, stack.base + path, data=BODIES[what], timeout=30,
                             headers={"Content-Type": "application/json", "Accept": JSON})
        assert 400 <= answer.status_code < 500, (path, answer.text[:200])


@pytest.mark.parametrize("what", sorted(set(BODIES) - {"empty", "blanks", "prototype"}))
def test_json_that_is_none_holds_no_study(stack, web, what):
    """The same for a study that is there: it is the body that is refused."""
    dataset = instance()
    assert upload(stack, web, [part10(dataset)]).status_code in (200, 202)
    hold = f"{stack.base}/api/studies/{uid_of(dataset, 0x0020000D)}/hold"
    wait_until(lambda: web.get(hold, timeout=10).status_code == 200)
    before = web.get(hold, timeout=10).json()
    answer = web.put(hold, data=BODIES[what], timeout=30, headers={"Content-Type": "application/json", "Accept": JSON})
    assert answer.status_code in (400, 413), answer.text[:200]
    assert web.get(hold, timeout=10).json() == before
