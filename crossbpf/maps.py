"""Map contents on the command line: --map NAME=FILE.json, and the tables and records that show them."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

import click
from rich.console import Console
from rich.table import Table

from bpf.errors import BadInput
from bpf.map_rules import OF_MAPS
from bpf.order import Order
from bpf.program import Map, Program
from crossbpf.inputs import read_bytes
from engines.compare import Row
from vm.maps import Contents
from vm.world import Element

SHOWN = 16  # elements of a map that the tables show
_NUMBERS = (1, 2, 4, 8)

map_option = click.option(
    "--map", "contents", multiple=True, metavar="NAME=FILE.json",
    help="What map NAME holds at the start: {hex key: hex value}, or a list. Once for each map.",
)  # fmt: skip


def elements(options: Sequence[str], program: Program) -> dict[str, Sequence[Element]]:
    """What --map says, for the maps of a program. Raises BadInput."""
    maps = {map_.name: map_ for map_ in program.maps}
    found: dict[str, Sequence[Element]] = {}
    for option in options:
        name, given, file = option.partition("=")
        if not given:
            raise BadInput(f"{option!r} is not NAME=FILE.json", file="--map")
        if name not in maps:
            known = ", ".join(maps) or "none"
            raise BadInput(f"the program has no map named {name!r}", file="--map", remedy=f"its maps: {known}")
        if maps[name].kind == "prog_array":
            raise BadInput(f"map {name!r} of type prog_array has no elements to set", file="--map")
        if name in found:
            raise BadInput(f"map {name!r} is given twice", file="--map", remedy="once for each map, all in one file")
        found[name] = _read(file, maps[name])
    return found


def _read(file: str, map_: Map) -> list[Element]:
    try:
        data = json.loads(read_bytes(file))
    except ValueError as error:
        raise BadInput(f"not JSON: {error}", file=file) from None
    if isinstance(data, dict):
        return [(_item(key, file, "key"), _value(value, map_, file)) for key, value in data.items()]
    if not isinstance(data, list):
        raise BadInput("neither an object nor a list", file=file, remedy="write {hex key: hex value}, or a list")
    if map_.key_size and not map_.kind.endswith(("array", "array_of_maps")):
        if not all(isinstance(pair, list) and len(pair) == 2 for pair in data):
            raise BadInput(
                f"elements of a {map_.kind} in a list are pairs", file=file, remedy="write [[key, value], ...]"
            )
        return [(_item(key, file, "key"), _value(value, map_, file)) for key, value in data]
    return [(index, _value(value, map_, file)) for index, value in enumerate(data) if value is not None]


def _value(value: object, map_: Map, file: str) -> bytes | int | str:
    if map_.kind in OF_MAPS:
        if not isinstance(value, str):
            raise BadInput(f"{value!r} is not the name of a map", file=file)
        return value
    return _item(value, file, "value")


def _item(value: object, file: str, what: str) -> bytes | int:
    """Bytes from hex digits; a number, which takes the program's byte order."""
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if isinstance(value, str) and re.fullmatch(r"(0x)?([0-9a-fA-F]{2}\s*)*", value):
        return bytes.fromhex(value.removeprefix("0x"))
    raise BadInput(f"{what} {value!r} is neither hex bytes nor a number", file=file)


# Showing -----------------------------------------------------------------------------------------


def map_record(maps: Mapping[str, Contents]) -> dict[str, Any]:
    """Contents as JSON shows them: in hex, as --map reads them; a per-CPU value is a list."""
    return {
        name: [_json(value) for value in contents]
        if isinstance(contents, tuple)
        else {key.hex(): _json(value) for key, value in sorted(contents.items())}
        for name, contents in maps.items()
    }


def _json(value: bytes | tuple[bytes | None, ...]) -> Any:
    if isinstance(value, bytes):
        return value.hex()
    return [None if one is None else one.hex() for one in value]


def show_maps(console: Console, rows: Sequence[Row], program: Program) -> None:
    """A table of the maps as the interpreter left them; one for each byte order where they are not alike."""
    shown: dict[tuple[tuple[str, str, str], ...], list[str]] = {}
    for row in rows:
        if row.verdict == "reference" and row.outcome is not None and row.outcome.maps:
            lines = tuple(_lines(row.outcome.maps, program, row.order))
            shown.setdefault(lines, []).append(row.order)
    for lines, orders in shown.items():
        where = f" ({orders[0]}-endian)" if len(shown) > 1 else ""
        table = Table(box=None, pad_edge=False)
        for column in (f"map{where}", "key", "value"):
            table.add_column(column, no_wrap=True)
        for line in lines:
            table.add_row(*line)
        console.print(table)
        console.print()


def _lines(maps: Mapping[str, Contents], program: Program, order: Order) -> list[tuple[str, str, str]]:
    kinds = {map_.name: map_.kind for map_ in program.maps}
    lines: list[tuple[str, str, str]] = []
    for name, contents in maps.items():
        if isinstance(contents, tuple):
            pairs = [(str(index), _words(value, order)) for index, value in enumerate(contents)]
        else:
            ordered = sorted(contents.items(), key=lambda item: (_number(item[0], order) or 0, item[0]))
            named = kinds.get(name) in OF_MAPS
            pairs = [
                (_words(key, order), value.decode() if named and isinstance(value, bytes) else _words(value, order))
                for key, value in ordered
            ]
        lines += [(name if not at else "", *pair) for at, pair in enumerate(pairs[:SHOWN])]
        if len(pairs) > SHOWN:
            lines.append(("", "...", f"{len(pairs) - SHOWN} more"))
        if not pairs:
            lines.append((name, "", "empty"))
    return lines


def _number(data: bytes, order: Order) -> int | None:
    return int.from_bytes(data, "big" if order == "big" else "little") if len(data) in _NUMBERS else None


def _words(value: bytes | tuple[bytes | None, ...], order: Order) -> str:
    """A number where it may be one, else bytes; the CPUs' values side by side."""
    if isinstance(value, tuple):
        return " | ".join("?" if one is None else _words(one, order) for one in value)
    number = _number(value, order)
    return value.hex(" ", 4) if number is None else f"0x{number:x}"
