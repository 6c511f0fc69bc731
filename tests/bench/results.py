"""Figures of one run: medians, and ratios round by round, so that what disturbs a round disturbs both sides."""
import json
import statistics
from pathlib import Path

FLOOR = "floor"
BARE = " bare"


def short(value):
    if value is None:
        return "–"
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"


class Results:
    def __init__(self, path):
        self.found = json.loads(Path(path).read_text())
        self.measures = self.found["measures"]
        self.systems = self.found["systems"]
        self.ours = self.systems[0]
        self.peers = [system for system in self.systems if system.startswith("orthanc")]

    def key(self, measure, figure):
        return self.measures[measure]["key"] if figure == "rate" else figure

    def lower_is_better(self, measure, figure):
        return figure == "cpu_ms" or self.measures[measure]["lower_is_better"]

    def values(self, measure, column, figure="rate"):
        """One for each round, None where something went wrong; [] for a column that has none."""
        key = self.key(measure, figure)
        rounds = self.measures[measure]["rounds"].get(column, [])
        return [None if "error" in result else result.get(key) for result in rounds]

    def median(self, measure, column, figure="rate"):
        known = [value for value in self.values(measure, column, figure) if value is not None]
        return statistics.median(known) if known else None

    def columns(self, against):
        """Who is meant; of several the best of each round counts. dcmqrscp is not among the peers: it answers
        before anything is safe, which is another promise."""
        return self.peers if against == "peers" else [against]

    def ratio(self, measure, against, figure="rate"):
        """How many times better the first system is: the median of its rounds; None when unknown."""
        ours = self.values(measure, self.ours, figure)
        theirs = [self.values(measure, column, figure) for column in self.columns(against)]
        lower = self.lower_is_better(measure, figure)
        ratios = []
        for i, own in enumerate(ours):
            others = [values[i] for values in theirs if i < len(values) and values[i]]
            if own and others:
                ratios.append(min(others) / own if lower else own / max(others))
        return statistics.median(ratios) if ratios else None

    def failures(self):
        """(measure, column, how many rounds, what was said)"""
        for name, measure in self.measures.items():
            for column, rounds in measure["rounds"].items():
                said = [result["error"] for result in rounds if "error" in result]
                if said:
                    yield name, column, len(said), said[0]
