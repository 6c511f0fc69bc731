#!/usr/bin/env python3
"""A run as a section of docs/performance.md, with its plot; or on standard output.

    tests/bench/report.py RESULTS.json [SECTION]

A section lies between its markers and nothing else of the page is touched.
"""
import sys
from pathlib import Path

import goals
from plot import plot
from results import BARE, FLOOR, Results, short

DOCS = Path(__file__).resolve().parents[2] / "docs"
PAGE = DOCS / "performance.md"

NOTES = """\
Every measure of all systems and of its floor in turn, {rounds}, on {machine}; {date}. Each system held {instances} small \
instances, 600 CT and a multi-frame of 210 MB before. Compare the ratios, not figures of different days. Cells: the median, in brackets the range; behind \
the dot CPU milliseconds of all its processes per operation. A DICOMweb figure of a peer is one behind our nginx with our configuration, *bare* that \
without it. *x peer* is how many times better {ours} is than the best Orthanc of each round (the median of the rounds). \
Peers run with `TCP_NODELAY=1`; they were loaded \
without syncs and then started again with their defaults, which sync; dcmqrscp syncs nothing before it answers, so nothing is compared with it. Each system on PostgreSQL has a server of its own, \
whose CPU and memory are counted with it.

Floors: for C-STORE a program that receives the same bytes, writes each instance into a file and syncs it before it answers; for frames and \
series our nginx before an nginx with files; for queries an empty answer through both."""


def cell(results, measure, column):
    values = results.values(measure, column)
    known = [value for value in values if value is not None]
    if not known:
        return "fail" if values else "–"
    text = short(results.median(measure, column))
    if len(known) > 1:
        text += f" [{short(min(known))}–{short(max(known))}]"
    if len(known) < len(values):
        text += f" ({len(known)} of {len(values)})"
    cpu = results.median(measure, column, "cpu_ms")
    return text + (f" · {short(cpu)}" if cpu is not None else "")


def with_bare(results, measure, system):
    bare = results.median(measure, system + BARE)
    return cell(results, measure, system) + (f"; bare {short(bare)}" if bare is not None else "")


def times(ratio):
    return "–" if ratio is None else f"{ratio:.2f}" if ratio < 10 else f"{ratio:.0f}"


def table_of_figures(results):
    others = [system for system in results.systems[1:] if system.startswith("zpacs")]
    heads = ["measure", "unit", *results.systems, "floor", "x peer", *(f"x {system}" for system in others)]
    lines = ["| " + " | ".join(heads) + " |", "|---|---|" + "---:|" * (len(heads) - 2)]
    for name, measure in results.measures.items():
        cells = [measure["title"], measure["unit"]]
        cells += [with_bare(results, name, system) for system in results.systems]
        cells += [cell(results, name, FLOOR), times(results.ratio(name, "peers"))]
        cells += [times(results.ratio(name, system)) for system in others]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def table_of_goals(results, section):
    judged, missing = goals.judge(results, section)
    if not judged:
        return ""
    lines = ["| goal | against | wanted | reached | |", "|---|---|---:|---:|---|"]
    for goal in judged:
        title = results.measures[goal.measure]["title"]
        title += {"cpu_ms": ": CPU, ms each", "p99_ms": ": p99, ms"}.get(goal.figure, "")
        unit = goals.GOAL.fullmatch(goal.text).group(3)
        wanted = goal.text.replace(">=", "≥ ").replace("<=", "≤ ").replace("x", " times").replace("%", " %")
        reached = short(goal.reached) + {"x": " times", "%": " %"}.get(unit, "")
        lines.append(f"| {title} | {'' if goal.against == '-' else goal.against} | {wanted} | {reached} | "
                     f"{'yes' if goal.met else '**no**'} |")
    text = f"{sum(goal.met for goal in judged)} of {len(judged)} goals are reached.\n\n" + "\n".join(lines)
    return text + (f"\n\nWithout a figure: {', '.join(missing)}." if missing else "")


def failures(results):
    found = [f"- {results.measures[name]['title']}, {column}: {count} of its rounds: {' '.join(said.split())[:120]}"
             for name, column, count, said in results.failures()]
    return "\n\n*fail*: no right answer.\n\n" + "\n".join(found) if found else ""


def body(results, section):
    found = results.found
    count = max(len(rounds) for measure in results.measures.values() for rounds in measure["rounds"].values())
    parts = [f"    {found['command']}",
             NOTES.format(rounds=f"{count} round" + ("" if count == 1 else "s"), machine=found["machine"],
                          date=found["date"], instances=f"{found['instances']:,}", ours=results.ours),
             table_of_goals(results, section)]
    if section:
        parts.append(f"![times better than the best Orthanc](performance-{section}.svg)")
    parts.append(table_of_figures(results) + failures(results))
    return "\n\n".join(part for part in parts if part)


def write_section(section, text):
    begin, end = f"<!-- {section}: written by tests/bench/report.py -->", f"<!-- end of {section} -->"
    page = PAGE.read_text()
    if page.count(begin) != 1 or page.count(end) != 1:
        sys.exit(f"report: {PAGE.name} has no markers of {section}: {begin} ... {end}")
    head, rest = page.split(begin)
    PAGE.write_text(f"{head}{begin}\n\n{text}\n\n{end}{rest.split(end)[1]}")


def main():
    if len(sys.argv) not in (2, 3):
        sys.exit(__doc__)
    results = Results(sys.argv[1])
    section = sys.argv[2] if len(sys.argv) == 3 else None
    text = body(results, section)
    if not section:
        print(text)
        return
    (DOCS / f"performance-{section}.svg").write_text(plot(results, section))
    write_section(section, text)
    print(table_of_goals(results, section))


if __name__ == "__main__":
    main()
