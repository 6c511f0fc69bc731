#!/usr/bin/env python3
"""Measures systems that run, every measure of all in turn; side-by-side calls it.

    measure.py OUT ROUNDS SUITES INSTANCES CT SYSTEM...

OUT gets everything as JSON: {"machine", "command", "systems", "measures": {name: {..., "rounds":
{column: [result or {"error"}...]}}}}. A column is a system, "SYSTEM bare" (a peer without our nginx
before it), or "floor".
"""
import json
import os
import platform
import subprocess
import sys
import time
from pathlib import Path

import usage
from corpus import Corpus
from measures import all_measures

HERE = Path(__file__).resolve().parent
STATE = Path(os.environ["BENCH_STATE"])
KEPT = ("p50_ms", "p99_ms", "inst_s", "mb_s", "rps", "ms", "n", "ok", "bytes", "error")


class Run:
    def __init__(self, systems, rounds):
        self.targets = {system: self.read_target(system) for system in systems}
        self.static = self.read_target("static")
        self.rounds = rounds
        self.round = 0

    @staticmethod
    def read_target(system):
        return json.loads((STATE / system / "target.json").read_text())

    def restart(self, target):
        for verb in ("stop", "start"):
            subprocess.run([HERE / "systems", verb, target["name"]], check=True, stdout=subprocess.DEVNULL)
        target.update(self.read_target(target["name"]))

    @staticmethod
    def drop_page_cache():
        os.sync()
        Path("/proc/sys/vm/drop_caches").write_text("3")

    def columns(self, measure):
        """(column, target, web) of all that can do it; each round begins with another one."""
        found = []
        for name, target in self.targets.items():
            if measure.web and not target["web"] or measure.without_dcmqrscp and name == "dcmqrscp":
                continue
            found.append((name, target, target["web"]))
            if measure.web and measure.bare and target["bare"]:
                found.append((f"{name} bare", target, target["bare"]))
        if measure.floor:
            found.append(("floor", self.static, None))
        first = self.round % len(found) if found else 0
        return found[first:] + found[:first]

    def one(self, measure, column, target, web):
        """What was counted, and what it cost the system's processes."""
        before = usage.cpu_seconds(target["pids"])
        try:
            result = measure.floor(target) if column == "floor" else measure.run(self, target, web)
        except (RuntimeError, OSError, subprocess.SubprocessError) as problem:
            result = {"error": str(problem)}
        after = usage.cpu_seconds(target["pids"])
        kept = {key: result[key] for key in KEPT if key in result}
        kept["pss_mb"] = round(usage.pss_mb(target["pids"]), 1)
        kept["load"] = os.getloadavg()[0]
        if result.get("operations") and column != "floor" and after > before:
            kept["cpu_ms"] = round((after - before) * 1000 / result["operations"], 4)
        if measure.key not in kept:
            kept.setdefault("error", "no figure")
        return kept

    def measure(self, measure):
        rounds = {}
        for self.round in range(measure.rounds or self.rounds):
            for column, target, web in self.columns(measure):
                kept = self.one(measure, column, target, web)
                rounds.setdefault(column, []).append(kept)
                print(f"{measure.name:28} {column:24} {kept.get('error') or kept[measure.key]} {measure.unit}",
                      flush=True)
        return {"suite": measure.suite, "title": measure.title, "unit": measure.unit, "key": measure.key,
                "lower_is_better": measure.lower_is_better, "rounds": rounds}


def machine():
    processor = next((line.split(":")[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines()
                      if line.startswith("model name")), platform.machine())
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return f"{os.cpu_count()} cores ({processor}), {memory:.0f} GB of memory, Linux {platform.release()}"


def main():
    out, rounds, suites, instances, ct = sys.argv[1:6]
    run = Run(sys.argv[6:], int(rounds))
    chosen = suites.split(",")
    measures = [m for m in all_measures(Corpus(int(instances)), int(ct)) if m.suite in chosen]
    unknown = set(chosen) - {m.suite for m in measures}
    if unknown:
        sys.exit(f"no suite {', '.join(sorted(unknown))}")
    measures.sort(key=lambda m: chosen.index(m.suite))
    found = {"machine": machine(), "command": os.environ.get("BENCH_COMMAND", ""), "date": time.strftime("%Y-%m-%d"),
             "instances": int(instances), "systems": list(run.targets), "measures": {}}
    for measure in measures:
        found["measures"][measure.name] = run.measure(measure)
        Path(out).write_text(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
