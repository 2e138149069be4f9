"""The plot of a run, as SVG: calls/s of every gateway at 64 in flight, one panel per era and kind of upstream."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape

from bench.samples import Cell, Run, median

_TITLES = {"2026": "2026-07-28", "2025": "2025-11-25"}
_WIDTH, _NAMES, _ROW, _HEAD, _NUMBERS = 860, 220, 24, 46, 190
# Readable on a white and on a dark page.
_STYLE = (
    "text{font:13px system-ui,sans-serif;fill:#57606a}.t{font-weight:600;font-size:15px}"
    ".c{fill:#1a7f37}.g{fill:#8c959f}.b{fill:#c4a15a}.n{font-weight:600}"
    "@media(prefers-color-scheme:dark){text{fill:#c9d1d9}}"
)


def plot(run: Run) -> str:
    """The SVG text."""
    concs = sorted({cell.conc for cell in run.cells()})
    conc = 64 if 64 in concs else concs[-1] if concs else 1
    body: list[str] = []
    top = 8
    for kind in ("http", "stdio"):
        for era in ("2026", "2025"):
            bars = _bars(run, kind, era, conc)
            if bars:
                body += _panel(f"{_TITLES[era]}, {kind} upstream, {conc} calls in flight", bars, top)
                top += _HEAD + _ROW * len(bars) + 18
    legend = "Green: Callboard. Grey: other full gateways. Yellow: bridges without tokens or policy."
    body.append(f'<text x="8" y="{top + 10}">{legend}</text>')
    head = f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH}" height="{top + 24}"'
    return "\n".join([f'{head} viewBox="0 0 {_WIDTH} {top + 24}">', f"<style>{_STYLE}</style>", *body, "</svg>", ""])


Bar = tuple[str, str, float, float]


def _bars(run: Run, kind: str, era: str, conc: int) -> list[Bar]:
    """Name, class, calls/s and CPU per call of every gateway, the fastest first in its group."""
    found = []
    for name, about in run.gateways.items():
        taken = run.of(Cell(name, kind, era, conc))
        if name != "direct" and median(taken, "calls_per_s"):
            look = "c" if name == "Callboard" else "g" if about.full else "b"
            found.append((name, look, median(taken, "calls_per_s"), median(taken, "cpu_us")))
    return sorted(found, key=lambda bar: (bar[1] == "b", -bar[2]))


def _panel(title: str, bars: list[Bar], top: int) -> Iterator[str]:
    yield f'<text class="t" x="8" y="{top + 18}">{escape(title)}</text>'
    yield f'<text x="{_NAMES}" y="{top + 36}">calls/s, and CPU per call of all its processes</text>'
    longest = max(bar[2] for bar in bars) or 1.0
    for at, (name, look, rate, cpu) in enumerate(bars):
        y = top + _HEAD + at * _ROW
        width = max(1.0, (_WIDTH - _NAMES - _NUMBERS) * rate / longest)
        bold = ' class="n"' if look == "c" else ""
        yield f'<text{bold} x="{_NAMES - 8}" y="{y + 14}" text-anchor="end">{escape(name)}</text>'
        yield f'<rect class="{look}" x="{_NAMES}" y="{y + 2}" width="{width:.1f}" height="{_ROW - 8}" rx="2"/>'
        yield f'<text{bold} x="{_NAMES + width + 6:.1f}" y="{y + 14}">{rate:,.0f} · {_cost(cpu)}</text>'


def _cost(microseconds: float) -> str:
    return f"{microseconds / 1000:.1f} ms" if microseconds >= 1000 else f"{microseconds:.0f} us"
