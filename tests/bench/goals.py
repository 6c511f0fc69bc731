"""Which goals of goals.tsv a run reaches."""
import csv
import fnmatch
import re
from dataclasses import dataclass
from pathlib import Path

FILE = Path(__file__).with_name("goals.tsv")
GOAL = re.compile(r"(>=|<=)([0-9.]+)(x|%|)")


@dataclass
class Goal:
    measure: str
    figure: str
    against: str
    text: str
    reached: float  # in the goal's unit
    met: bool


def rows(section):
    lines = [line for line in FILE.read_text().splitlines() if line and not line.startswith("#")]
    return [fields for name, *fields in csv.reader(lines, delimiter="\t") if name == section]


def judge(results, section):
    """A goal for each measure of the run that a line names and that has a figure; and what has none."""
    judged, missing = [], []
    for pattern, figure, against, text in rows(section):
        names = fnmatch.filter(results.measures, pattern)
        for name in names:
            reached = figure_of(results, name, figure, against, text)
            if reached is None:
                missing.append(f"{name} against {against}")
            else:
                judged.append(Goal(name, figure, against, text, reached, is_met(text, reached)))
        if not names:
            missing.append(pattern)
    return judged, missing


def figure_of(results, measure, figure, against, text):
    if against == "-":
        return results.median(measure, results.ours, figure)
    ratio = results.ratio(measure, against, figure)
    return ratio * 100 if ratio is not None and text.endswith("%") else ratio


def is_met(text, reached):
    sign, number, _ = GOAL.fullmatch(text).groups()
    return reached >= float(number) if sign == ">=" else reached <= float(number)


def as_ratio(text):
    """The goal as a ratio of the plot, None when it is none."""
    _, number, unit = GOAL.fullmatch(text).groups()
    return float(number) if unit == "x" else None
