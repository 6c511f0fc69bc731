"""Fixtures: real processes on loopback, started once per run."""
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from stack import ROOT, Stack  # noqa: E402


@pytest.fixture(scope="session")
def stack():
    """The stack that tests share. A test may add instances and must leave the processes running."""
    with Stack() as one:
        yield one


@pytest.fixture
def fresh_stack():
    """A stack of the test's own: to be broken, emptied or counted."""
    with Stack() as one:
        yield one


@pytest.fixture(scope="session")
def web(stack):
    """An HTTP session that carries the token."""
    with stack.session() as session:
        yield session


@pytest.fixture(scope="session")
def shared_data():
    """The folder of real DICOM files beside the checkout; tests that need it are skipped without it."""
    folder = ROOT.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("no ../shared/data")
    return folder
