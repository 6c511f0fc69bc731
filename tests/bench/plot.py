"""The ratios of a run as bars on a logarithmic scale, with the goals as marks: SVG."""
import math
from html import escape

import goals
from results import short

ROW, LEFT, WIDTH, TOP, RIGHT = 18, 350, 520, 46, 60
BAR, MARK = "#0b6bcb", "#c2410c"


def rows(results, section):
    """(title, times better, goal or None) of all that is compared with a peer."""
    judged, _ = goals.judge(results, section)
    wanted = {goal.measure: goals.as_ratio(goal.text) for goal in judged
              if goal.figure == "rate" and goal.against not in ("floor", "-", "zpacs")}
    for name, measure in results.measures.items():
        ratio = results.ratio(name, "peers")
        if ratio:
            yield measure["title"], ratio, wanted.get(name)


def plot(results, section):
    bars = list(rows(results, section))
    values = [value for _, ratio, goal in bars for value in (ratio, goal) if value] or [1]
    low, high = math.floor(math.log10(min(1, *values))), max(1, math.ceil(math.log10(max(values))))

    def at(value):
        return LEFT + WIDTH * (math.log10(value) - low) / (high - low)

    height = TOP + ROW * len(bars) + 12
    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {LEFT + WIDTH + RIGHT} {height}" '
             'font-family="sans-serif" font-size="11">',
             f'<rect width="{LEFT + WIDTH + RIGHT}" height="{height}" fill="#fff"/>',
             f'<text x="8" y="16" font-size="13">{escape(results.ours)}: how many times better than the best Orthanc; '
             f'<tspan fill="{MARK}">mark: goal</tspan></text>']
    for exponent in range(low, high + 1):
        x = at(10 ** exponent)
        parts.append(f'<path d="M{x:.1f} {TOP - 6}V{height - 8}" stroke="{"#888" if exponent == 0 else "#ddd"}"/>'
                     f'<text x="{x:.1f}" y="{TOP - 10}" text-anchor="middle" fill="#555">{10 ** exponent:g}</text>')
    for i, (title, ratio, goal) in enumerate(bars):
        y, left, right = TOP + ROW * i, min(at(ratio), at(1)), max(at(ratio), at(1))
        parts.append(f'<text x="{LEFT - 8}" y="{y + 12}" text-anchor="end">{escape(title)}</text>'
                     f'<rect x="{left:.1f}" y="{y + 3}" width="{max(right - left, 1):.1f}" height="{ROW - 6}" fill="{BAR}"/>'
                     f'<text x="{right + 5:.1f}" y="{y + 12}" fill="#333">{short(ratio)}</text>')
        if goal:
            parts.append(f'<path d="M{at(goal):.1f} {y + 1}v{ROW - 2}" stroke="{MARK}" stroke-width="3"/>')
    return "\n".join(parts) + "\n</svg>\n"
