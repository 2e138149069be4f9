"""What commands print: data on stdout, talk on stderr; tables for people, JSON for programs."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec

from callboard.kernel.text_faults import visible

Cell = object


class Output:
    """Where a command prints to; `as_json` is the `--json` of its command line."""

    def __init__(self, as_json: bool) -> None:
        self.as_json = as_json

    def talk(self, text: str) -> None:
        """A sentence for people; never part of the data."""
        print(visible(text), file=sys.stderr, flush=True)

    def json(self, value: Any) -> None:
        """Data as one JSON document."""
        print(msgspec.json.format(msgspec.json.encode(value), indent=2).decode())

    def json_line(self, value: Any) -> None:
        """Data as one line of JSON, for streams."""
        print(msgspec.json.encode(value).decode(), flush=True)

    def text(self, text: str) -> None:
        """Data as text. What names and comments contain is shown and never obeyed by a terminal."""
        print(visible(text), flush=True)

    def table(self, columns: Sequence[str], rows: Sequence[Sequence[Cell]], empty: str = "") -> None:
        """Data as a table; `empty` is said when there is no row."""
        if not rows:
            if empty:
                self.talk(empty)
            return
        texts = [[visible(_text(cell)) for cell in row] for row in rows]
        if sys.stdout.isatty():
            _rich_table(columns, texts)
        else:
            _plain_table(columns, texts)


def _text(cell: Cell) -> str:
    match cell:
        case None:
            return "-"
        case bool():
            return "yes" if cell else "no"
        case datetime():
            return moment(cell)
        case tuple() | list():
            return ", ".join(str(item) for item in cell)
        case _:
            return str(cell)


def moment(at: datetime) -> str:
    """A time in UTC, to the second."""
    return at.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%SZ")


def _plain_table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    widths = [max(len(row[i]) for row in [columns, *rows]) for i in range(len(columns))]
    for row in [[column.upper() for column in columns], *rows]:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def _rich_table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(column.upper(), overflow="fold")
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))
    Console().print(table)
