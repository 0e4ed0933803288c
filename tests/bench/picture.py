"""A picture of some rows, as SVG: bars of what each gateway needs. Made by hand, so that nothing has to be installed."""

from peers import Again
from report import number

SHOWN = ["clear-125", "clear-16k", "clear-1m", "tls-16k", "tls-1m", "h2-125", "h2-1m", "echo-clear-125", "idle-clear",
         "idle-h2"]
COLUMNS = 2
PANEL_W, BAR_H, GAP, LABEL_W, TITLE_H, MARGIN = 460, 15, 4, 92, 30, 16
# readable on a light and on a dark page
OURS, NULL, THEIRS, INK = "#2f7ed8", "#9aa7b3", "#c9843b", "#7d8790"


def escape(text):
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def panel(result, x, y):
    """One row's bars, and how high they are."""
    names = sorted((name for name in result.cpu if name != Again.name), key=result.median)
    most = max(result.median(name) for name in names)
    unit = "µs CPU each" if result.row.unit == "µs" else "KiB each"
    lines = [f'<text x="{x}" y="{y + 14}" class="t">{escape(result.row.group)}: {escape(result.row.title)} '
             f'({unit})</text>']
    at = y + TITLE_H - 6
    room = PANEL_W - LABEL_W - 60
    for name in names:
        value = result.median(name)
        colour = {"wsrelayd": OURS, "null proxy": NULL}.get(name, THEIRS)
        width = max(1.0, value / most * room) if most > 0 else 1.0
        lines.append(f'<text x="{x + LABEL_W - 6}" y="{at + 12}" class="n">{escape(name)}</text>'
                     f'<rect x="{x + LABEL_W}" y="{at}" width="{width:.1f}" height="{BAR_H}" fill="{colour}"/>'
                     f'<text x="{x + LABEL_W + width + 5:.1f}" y="{at + 12}" class="v">{number(value)}</text>')
        at += BAR_H + GAP
    return lines, at - y + 8


def of(found):
    """The picture, or None where none of its rows was measured."""
    by_id = {result.row.id: result for result in found.results if result.cpu}
    facts = found.facts
    caption = (f"wsrelayd beside others: {facts['date']}, {facts['processors']} x {facts['model']}, {facts['kernel']}")
    shown = [by_id[id_] for id_ in SHOWN if id_ in by_id]
    if not shown:
        return None
    body, heights = [], [MARGIN + 22] * COLUMNS
    for result in shown:
        column = heights.index(min(heights))
        lines, height = panel(result, MARGIN + column * PANEL_W, heights[column])
        body += lines
        heights[column] += height
    width, height = COLUMNS * PANEL_W + MARGIN, max(heights) + MARGIN
    style = (f".t{{font:bold 12px sans-serif;fill:{INK}}}.n{{font:11px sans-serif;fill:{INK};text-anchor:end}}"
             f".v{{font:11px sans-serif;fill:{INK}}}.c{{font:12px sans-serif;fill:{INK}}}")
    return "\n".join([f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
                      f'viewBox="0 0 {width} {height}" role="img" aria-label="{escape(caption)}">',
                      f"<style>{style}</style>",
                      f'<text x="{MARGIN}" y="{MARGIN + 6}" class="c">{escape(caption)}</text>', *body, "</svg>", ""])
