"""A command's result as a person reads it: names of the glossary, shares in percent, paths.

It leaves out what is empty, and cuts what is long: the JSON line has all of it.
"""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TextIO

from rich.columns import Columns
from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

from raynef.report.words import percent, quantity, term

_INLINE = 60  # columns of an entry that lies on one line
_ITEMS = 60  # of a mapping or a list that are shown
_ROWS, _HEADS = 12, 6  # of a list of records
_SHARES = re.compile(r"per_class_iou|named|(miou|accuracy)_\w+")
"""Keys of fractions of 1, or of mappings to some, beside those of the glossary."""
_NAMES = {"per_class_iou": "IoU by class", "named": "pixels named"}
_COUNTED = frozenset({"skipped", "stopped"})
"""Entries that the log named one by one."""


def print_result(result: Mapping[str, Any], stream: TextIO) -> None:
    """Write the table of a result to a terminal."""
    Console(file=stream, highlight=False).print(result_table(result))


def result_table(result: Mapping[str, Any]) -> Table:
    """A row for each entry that says something: its name, and its value as compact as may be."""
    table = Table.grid(padding=(0, 2))
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    for key, value in result.items():
        shown = _shown(key, value)
        if shown is not None:
            table.add_row(Text(_name(key)), shown)
    return table


def _shown(key: str, value: Any) -> RenderableType | None:
    """An entry's value; None where it says nothing."""
    if value is None or value is False or value == "" or value == [] or value == {} or value == ():
        return None
    if key in _COUNTED and isinstance(value, Mapping | Sequence):
        return Text(str(len(value)))
    if isinstance(value, Mapping):
        return _mapping(key, value)
    if isinstance(value, Sequence) and not isinstance(value, str):
        return _list(key, value)
    return Text(_scalar(key, value))


def _mapping(key: str, value: Mapping[str, Any]) -> RenderableType:
    plain = {name: item for name, item in value.items() if _is_scalar(item)}
    items = [
        f"{name if key in _NAMES else _name(name)} {_scalar(key, item, name)}"
        for name, item in plain.items()
    ]
    return _items(items, of=len(plain)) if items else Text(f"{len(value)} entries")


def _list(key: str, value: Sequence[Any]) -> RenderableType:
    if all(map(_is_scalar, value)):
        return _items([_scalar(key, item) for item in value], of=len(value))
    records = [item for item in value if isinstance(item, Mapping)]
    heads = [name for name in records[0] if _is_scalar(records[0][name])] if records else []
    if not heads or len(records) < len(value):
        return Text(f"{len(value)} entries")
    table = Table(box=None, pad_edge=False, header_style="dim")
    for name in heads[:_HEADS]:
        table.add_column(_name(name), overflow="fold")
    for record in records[:_ROWS]:
        table.add_row(*(Text(_scalar(name, record.get(name))) for name in heads[:_HEADS]))
    if len(records) > _ROWS:
        table.add_row(f"… {len(records) - _ROWS} more")
    return table


def _items(items: list[str], *, of: int) -> RenderableType:
    """On one line where they fit, else in columns."""
    line = ", ".join(items)
    if len(line) <= _INLINE:
        return Text(line)
    more = [f"… {of - _ITEMS} more"] if of > _ITEMS else []
    return Columns([Text(item) for item in (*items[:_ITEMS], *more)], padding=(0, 2))


def _scalar(key: str, value: Any, name: str | None = None) -> str:
    """A value as its key's entry of the glossary writes it, or its name's within that key."""
    share = isinstance(value, float) and _SHARES.fullmatch(key) is not None
    text = percent(value) if share else quantity(name or key, value)
    return text.replace("\u202f", " ")


def _is_scalar(value: Any) -> bool:
    return value is None or isinstance(value, str | int | float | Path)


def _name(key: str) -> str:
    return _NAMES.get(key) or term(key).name.removeprefix("num ")
