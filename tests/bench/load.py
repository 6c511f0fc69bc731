#!/usr/bin/env python3
"""Fills a system that runs by C-STORE, until QIDO-RS shows all of it; side-by-side calls it.

    load.py SYSTEM INSTANCES       so many light instances, then 600 CT and a multi-frame of 210 MB
"""
import json
import os
import sys
import time
from pathlib import Path

import generators as g
from corpus import INSTANCES_PER_STUDY

ASSOCIATIONS, ATTEMPTS = 4, 3
LOAD_SECONDS = 6 * 3600


def sources(target, instances):
    if target["web"]:  # dcmqrscp is measured with CT only
        yield "light_small.pack" if instances <= 1000 else "light.pack", instances
        yield "big", 1
    yield "ct", 600


def wait_until_found(target, studies):
    end = time.monotonic() + 600
    path = [f"/studies?limit=1&offset={studies - 1}"]
    while g.get(target, target["web"], path, "application/dicom+json", count=1).get("bytes", 0) < 10:
        if time.monotonic() > end:
            sys.exit(f"{target['name']}: fewer than {studies} studies")
        time.sleep(1)


def load(target, source, count):
    """All of it, again where something was refused: a repeat costs little."""
    associations = ASSOCIATIONS if target["web"] else 1  # dcmqrscp refuses some of several at once
    for _ in range(ATTEMPTS):
        result = g.store(target, source, associations, count, g.BASE, LOAD_SECONDS)
        if result.get("ok") == count:
            return result
    sys.exit(f"{target['name']}: {source}: {result.get('error', result)}")


def main():
    target = json.loads((Path(os.environ["BENCH_STATE"]) / sys.argv[1] / "target.json").read_text())
    instances = int(sys.argv[2])
    for source, count in sources(target, instances):
        result = load(target, source, count)
        print(f"{target['name']}: {source}: {result['ok']} instances, {result['inst_s']:.0f}/s", flush=True)
    if target["web"]:
        wait_until_found(target, instances // INSTANCES_PER_STUDY)


if __name__ == "__main__":
    main()
