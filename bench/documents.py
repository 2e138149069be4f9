"""What a run writes into documents: a block between two marks, so that the text around it stays."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
RESULTS, README = ROOT / "bench" / "RESULTS.md", ROOT / "README.md"
GATEWAYS, SHAPES, SPEED = "gateways", "shapes", "speed"


def put(file: Path, name: str, block: str) -> None:
    """Replace what stands between the marks of this name; ValueError when the file does not have them once each."""
    text = file.read_text(encoding="utf-8")
    begin, end = (f"<!-- bench: {word} {name} -->" for word in ("begin", "end"))
    if text.count(begin) != 1 or text.count(end) != 1 or text.index(begin) > text.index(end):
        raise ValueError(f"{file.name} needs one {begin} and after it one {end}")
    before, rest = text.split(begin)
    fresh = f"{before}{begin}\n{block.strip()}\n{end}{rest.partition(end)[2]}"
    file.write_text(fresh, encoding="utf-8")
