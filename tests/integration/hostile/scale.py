"""How much of it: short in CI, long with ZPACS_HOSTILE=long (docs/reliability.md)."""
import os

IS_LONG = os.environ.get("ZPACS_HOSTILE") == "long"

# what: (short, long)
COUNTS = {
    "malformed associations": (2000, 100_000),
    "dropped associations": (2000, 100_000),
    "silent connections": (500, 500),
    "trickling connections": (500, 500),
    "slow headers": (1000, 1000),
    "slow bodies": (1000, 1000),
    "slow readers": (1000, 1000),
    "seconds of slowness": (4, 65),  # over every limit of time that ends them
    "greetings": (600, 2000),  # half-open, per socket of ZeroMQ
    "wrong tokens": (10_000, 200_000),
    "junk bytes": (70_000, 1_000_000),  # random ones, in a row
    "deepest in every form": (0, 1),
    "mangled files": (30, 10_000),  # of shared/data; the long version has all of them
    "flips per file": (12, 24),
    "cuts per file": (4, 12),
    "cut bodies": (40, 10_000),  # every byte of one
    "injections per key": (30, 300),
    "instances per association": (2, 50),
    "bytes per instance": (65536, 524288),
}


def count(what):
    return COUNTS[what][IS_LONG]
