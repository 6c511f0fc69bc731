"""What strangers send: no process dies, nobody else waits, memory and descriptors come back.

Every test of this folder is held to that by the fixture `watch`.
"""
import resource
import sys
import time
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from instances import instance, part10  # noqa: E402
from scale import IS_LONG  # noqa: E402
from stack import SERVICES, Stack, wait_until  # noqa: E402
from strangers import upload  # noqa: E402
from watch import Onlooker, births, inventory, is_back  # noqa: E402

ANSWER_S = 0.5  # of the long version; a test in CI has no clock
BOTH = ("echo", "query")
KINDS = (*BOTH, "upload")


def pytest_configure(config):
    config.addinivalue_line("markers", "asks(kind...): what the onlooker asks for; by default both")


class OrdinaryStack(Stack):
    """Started from a shell as people have it: 1024 descriptors, unless a program asks for more."""

    def up(self):
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (1024, hard))
        try:
            return super().up()
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


# Mangled files keep the UIDs of the good ones: in the shared stack they would be the first of their
# name, and the good ones conflicts.
@pytest.fixture(scope="session")
def stack():
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 16384), hard))  # crowds
    with OrdinaryStack() as one:
        yield one
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.fixture(scope="session")
def web(stack):
    with stack.session() as session:
        yield session


@pytest.fixture(scope="session")
def warm(stack, web):
    """The services' processes, once first calls have filled caches and started threads."""
    stack.wait_healthy()
    pids = {service: stack.pid(service) for service in SERVICES}
    for _ in range(20):
        upload(stack, web, [part10(instance())])
        web.get(stack.web + "/studies", timeout=30)
    seen = [None]

    def is_at_rest():
        time.sleep(1)
        before, seen[0] = seen[0], {service: row[1:] for service, row in (inventory(pids) or {}).items()}
        return seen[0] and seen[0] == before
    wait_until(is_at_rest, 30)
    return pids


@pytest.fixture(scope="session")
def onlooker(stack):
    one = Onlooker(stack)
    yield one
    one.close()


def told(request, seen):
    """The figures of one test, for -s."""
    rows = [f"{kind} {seen[kind][0]} times, slowest {1000 * seen[kind][1]:.0f} ms" for kind in KINDS if kind in seen]
    print(f"\n{request.node.name}: meanwhile {'; '.join(rows)}; the machine alone {1000 * seen['machine_s']:.0f} ms")


@pytest.fixture(autouse=True)
def watch(request, stack, warm, onlooker):
    """Same processes, idle, no fatter, no more descriptors; and the onlooker has been answered throughout."""
    mark = request.node.get_closest_marker("asks")
    family, before, now = wait_until(lambda: inventory(warm)), births(warm), [None]
    onlooker.begin(mark.args if mark else BOTH)
    yield
    seen = onlooker.end()
    told(request, seen)
    assert births(warm) == before, "a service died"
    assert not seen["failures"], seen["failures"]

    def came_back():
        now[0] = inventory(warm)
        return is_back(family, now[0])
    wait_until(came_back, 20, lambda: f"before {family}, after {now[0]}")
    stack.wait_healthy(seconds=10)
    if IS_LONG:
        assert max((seen[kind][1] for kind in BOTH if kind in seen), default=0) <= ANSWER_S + seen["machine_s"]
