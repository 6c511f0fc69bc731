"""The measures: one row each. A figure is result[key] of what a load generator counted."""
import statistics
import time
from dataclasses import dataclass
from typing import Callable, Optional

import generators as g
from visible import seconds_until_visible

JSON = "application/dicom+json"
FRAME = 'multipart/related; type="application/octet-stream"'
STORED = 'multipart/related; type="application/dicom"; transfer-syntax=*'
CT_BYTES, LIGHT_BYTES = 525000, 960
CONNECTIONS = 8


@dataclass
class Measure:
    suite: str
    name: str
    title: str
    unit: str
    key: str
    run: Callable  # (run, target, web) -> result
    floor: Optional[Callable] = None  # (static target) -> result: the same work without a PACS
    lower_is_better: bool = False
    web: bool = True  # through DICOMweb: behind nginx, and bare
    bare: bool = True  # False: behind nginx only
    rounds: Optional[int] = None
    without_dcmqrscp: bool = False  # it stores what it is sent, and cannot be compared else


def rate(suite, name, title, run, floor=None, unit="/s", key="inst_s", **more):
    return Measure(suite, name, title, unit, key, run, floor, **more)


def latency(suite, name, title, run, floor=None, key="p50_ms", **more):
    return Measure(suite, name, title, "ms", key, run, floor, lower_is_better=True, **more)


def store_measures(count):
    for source, title, per_second, size in (("ct", "CT", count, CT_BYTES), ("light_small.pack", "1 KB", 1000, LIGHT_BYTES)):
        for associations in (1, 4, 8):
            instances = min(per_second, 1000)
            yield rate("store", f"store_{source.partition('_')[0]}_{associations}", f"C-STORE {title}, {associations} "
                       + ("association" if associations == 1 else "associations"),
                       lambda run, target, web, s=source, a=associations, n=instances: g.store(target, s, a, n),
                       lambda static, a=associations, n=instances, b=size: g.receive_and_write(a, n, b),
                       web=False, without_dcmqrscp=source != "ct")
    for senders in (1, 4):
        yield rate("each", f"each_ct_{senders}", f"C-STORE CT, each on an association of its own, {senders} "
                   + ("sender" if senders == 1 else "senders"),
                   lambda run, target, web, c=senders: g.store_each(target, "ct", c, count), web=False)


def stow_measures(count):
    for source, title, instances, connections in (("ct", "CT", count, 1), ("ct", "CT", count, 4),
                                                  ("light_small.pack", "1 KB", 1000, 4)):
        yield rate("stow", f"stow_{source.partition('_')[0]}_{connections}",
                   f"STOW-RS {title}, 10 a request, {connections} connection" + ("" if connections == 1 else "s"),
                   lambda run, target, web, s=source, c=connections, n=instances: g.stow(target, web, s, c, n))


def visible(run, target, web):
    return {"ms": round(statistics.median(seconds_until_visible(target, web) for _ in range(5)) * 1000, 2)}


def empty_request(static, connections):
    return g.get(static, static["web"], ["/empty"], "*/*", connections)


def query_measures(corpus):
    for name, title, paths in corpus.questions():
        yield latency("qido", f"qido_{name}_1", f"{title}, 1 connection",
                      lambda run, target, web, p=paths: g.get(target, web, p, JSON),
                      lambda static: empty_request(static, 1))
        yield rate("qido", f"qido_{name}_{CONNECTIONS}", f"{title}, {CONNECTIONS} connections",
                   lambda run, target, web, p=paths: g.get(target, web, p, JSON, CONNECTIONS),
                   lambda static: empty_request(static, CONNECTIONS), key="rps")


def get_warm(target, web, paths, accept, count=None):
    """What is asked for has been asked for before, so that no first answer is among those that count."""
    first = g.get(target, web, paths[:1], accept, count=1)
    if "error" in first:
        return first
    result = g.get(target, web, paths, accept, count=count)
    return {**result, "operations": result["operations"] + 1}


def retrieve_measures(corpus):
    frames = [f"{path}/frames/1" for path in corpus.instances()]
    static_frames = [f"/frame{number}" for number in range(1, 301)]
    metadata, series = [f"{corpus.series()}/metadata"], [corpus.series()]
    yield latency("wado", "metadata300", "metadata of a series of 300, warm",
                  lambda run, target, web: get_warm(target, web, metadata, JSON, 5))
    yield latency("wado", "metadata1", "metadata of an instance",
                  lambda run, target, web: g.get(target, web, [f"{path}/metadata" for path in corpus.instances()], JSON))
    for connections in (1, 4):
        yield rate("wado", f"series300_{connections}", f"series of 300 CT, {connections} connection"
                   + ("" if connections == 1 else "s"),
                   lambda run, target, web, c=connections: g.get(target, web, series, STORED, c, count=max(2, c)),
                   lambda static, c=connections: g.get(static, static["web"], ["/series"], "*/*", c, count=max(2, c)),
                   unit="MB/s", key="mb_s")
    for connections in (1, CONNECTIONS):
        yield rate("wado", f"frame_{connections}", f"frame of a CT, {connections} connection"
                   + ("" if connections == 1 else "s"),
                   lambda run, target, web, c=connections: g.get(target, web, frames, FRAME, c),
                   lambda static, c=connections: g.get(static, static["web"], static_frames, "*/*", c), key="rps")
    yield latency("wado", "bigframe", "frame of a 210 MB multi-frame, warm",
                  lambda run, target, web: get_warm(target, web, corpus.frames_of_multi_frame(), FRAME),
                  lambda static: g.get(static, static["web"], static_frames[:11], "*/*"))


# ---- what is asked for the first time --------------------------------------------------------------


def first_after_restart(path, accept):
    """The service has its programs and connections, and nothing of the data."""
    def ask(run, target, web):
        run.restart(target)
        g.get(target, web, ["/studies?limit=1"], JSON, count=1)
        run.drop_page_cache()
        return g.get(target, web, [path(run)], accept, count=1)
    return ask


def first_after_change(corpus):
    """A series that has just come, and that nobody has asked for."""
    def ask(run, target, web):
        salt = g.next_salt()
        stored = g.store(target, "ct", 4, 300, salt)
        if "error" in stored:
            return stored
        time.sleep(1)  # what is measured is the answer, not the way into the index
        result = g.get(target, web, [f"{corpus.series(salt=salt)}/metadata"], JSON, count=1)
        if result.get("bytes", 0) < 300 * 1000:
            result.setdefault("error", f"an answer of {result.get('bytes')} bytes is not that of 300 instances")
        return result
    return ask


def first_measures(corpus):
    frames = corpus.frames_of_multi_frame()
    yield latency("first", "metadata300_change", "metadata of a series of 300, first after it came",
                  first_after_change(corpus), bare=False)
    yield latency("first", "metadata300_restart", "metadata of a series of 300, first after a restart",
                  first_after_restart(lambda run: f"{corpus.series()}/metadata", JSON), bare=False)
    yield latency("first", "bigframe_first", "frame of a 210 MB multi-frame, first after a restart",
                  first_after_restart(lambda run: frames[run.round % len(frames)], FRAME), bare=False)


def all_measures(corpus, count):
    """count: CT instances of a round of storing."""
    yield from store_measures(count)
    yield from stow_measures(count)
    yield latency("visible", "visible", "from C-STORE's answer until QIDO-RS finds it", visible, key="ms")
    yield from query_measures(corpus)
    yield from retrieve_measures(corpus)
    yield Measure("memory", "pss", "memory of all processes (PSS)", "MB", "pss_mb", lambda run, target, web: {},
                  lower_is_better=True, web=False, rounds=1, without_dcmqrscp=True)
    yield from first_measures(corpus)
