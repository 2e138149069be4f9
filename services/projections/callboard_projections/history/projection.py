"""What a projection is: a name, its tables, the events it folds, and a pure function from an event to statements.

The tables of a projection are `rm.<table>_<suffix>`, read through the view `rm.<table>`. The SQL stands in `sql/`:
`<name>_tables` and `<name>_views`, with `{n}` for the suffix, and one file per statement that `effects` names.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Literal, NamedTuple

import msgspec

from callboard.contracts.events import Recorded
from callboard.platform.event_store import Connection
from callboard.platform.postgres import sql

PACKAGE = "callboard_projections"


class Effect(NamedTuple):
    """One statement (a file in `sql/`, or a table to copy to) with its arguments, on the row `row` (its table and key).

    Effects on different rows can be exchanged. `after`: what the effects before it in the same batch, on the same row,
    still mean. "all": they come first. "none": this one leaves nothing of them. "only": this one changes nothing when
    there was one.
    """

    statement: str
    values: tuple[object, ...]
    row: tuple[str, ...]
    after: Literal["all", "none", "only"] = "all"


def suffixed(name: str, suffix: int) -> str:
    """The SQL of a file in `sql/` for the tables with this suffix."""
    return sql(PACKAGE, name).replace("{n}", str(suffix))


class Projection(msgspec.Struct, frozen=True, kw_only=True):
    """A read model. A change of its tables raises `layout`: it is then rebuilt at the next start.

    `kinds`: the tags of the events it folds; others are not even decoded. `effects` must not fail for an event
    of these kinds: what it cannot store is a fault that stops the projection until it is repaired.
    `copied`: table -> its columns; an effect that names such a table is a new row of it.
    """

    name: str
    layout: int
    tables: tuple[str, ...]
    kinds: tuple[str, ...]
    effects: Callable[[Recorded], Sequence[Effect]]
    copied: Mapping[str, tuple[str, ...]] = {}

    async def make_tables(self, connection: Connection, suffix: int) -> None:
        """Create empty tables with this suffix."""
        await connection.execute(suffixed(f"{self.name}_tables", suffix))
        for table in self.tables:
            await connection.execute(sql(PACKAGE, "wall"), f"rm.{table}_{suffix}")

    async def show(self, connection: Connection, suffix: int) -> None:
        """Let the views read the tables with this suffix."""
        await connection.execute(suffixed(f"{self.name}_views", suffix))
        for table in self.tables:
            await connection.execute(sql(PACKAGE, "wall"), f"rm.{table}")

    async def apply(self, connection: Connection, events: Sequence[Recorded], suffix: int) -> None:
        """Fold events, in their order, into the tables with this suffix."""
        for wave in _waves(effect for event in events for effect in self.effects(event)):
            for statement, values in wave.items():
                if statement in self.copied:
                    await connection.copy_records_to_table(
                        f"{statement}_{suffix}", schema_name="rm", columns=self.copied[statement], records=values
                    )
                else:
                    await connection.executemany(suffixed(statement, suffix), values)

    async def checksum(self, connection: Connection, suffix: int) -> str:
        """`sha256:<hex>` over all rows of all tables, whatever their physical order."""
        parts = [
            await connection.fetchval(sql(PACKAGE, "checksum").replace("{table}", f"rm.{table}_{suffix}"))
            for table in self.tables
        ]
        return f"sha256:{parts[0]}" if len(parts) == 1 else f"sha256:{await _combined(connection, parts)}"

    def named_tables(self, suffix: int) -> str:
        """The tables as the status shows them."""
        return ", ".join(f"{table}_{suffix}" for table in self.tables)


def _waves(effects: Iterable[Effect]) -> Iterator[dict[str, list[tuple[object, ...]]]]:
    """The effects as few statements with many rows: the first of each row, then the second of each, and so on."""
    rows: dict[tuple[str, ...], list[Effect]] = {}
    for effect in effects:
        before = rows.setdefault(effect.row, [])
        if effect.after == "none":
            before.clear()
        if not (before and effect.after == "only"):
            before.append(effect)
    for number in range(max(map(len, rows.values()), default=0)):
        wave: dict[str, list[tuple[object, ...]]] = {}
        for same_row in rows.values():
            if number < len(same_row):
                wave.setdefault(same_row[number].statement, []).append(same_row[number].values)
        yield wave


async def _combined(connection: Connection, parts: Sequence[str]) -> str:
    combined: str = await connection.fetchval(sql(PACKAGE, "checksum_combined"), list(parts))
    return combined


def storable(text: str) -> str:
    """Text as Postgres can hold it: JSON may carry U+0000, a text column may not."""
    return text.replace("\x00", "\ufffd")
