"""`crossbpf map`: create, show and change maps, as bpftool does, over a pin directory."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import click

from bpf.errors import BadInput, CallFailed
from bpf.map_rules import OF_MAPS
from bpf.object.btf import Btf
from bpf.object.btf_value import typed
from bpf.program import Map
from bpf.spec.maps import MAP_TYPES
from crossbpf.bpftool import (
    HOWS,
    MAP,
    Output,
    Words,
    caller,
    hexed,
    listed,
    maps,
    one_map,
    permitted,
    pin_verbs,
    pretty,
    program,
    show_objects,
    stored,
    words,
)
from runtime import Kernel, MapObject, ProgramObject, elements
from runtime.features import refuse_later_map
from vm.maps import Value

_CREATE = "PATH type TYPE key KEY_SIZE value VALUE_SIZE entries MAX_ENTRIES name NAME [flags FLAGS] [inner_map MAP]"
Types = tuple[Btf, int, int] | None
_ONE_LINE = 24  # bytes of key and value together that fit


@click.group(name="map")
def map() -> None:
    """Maps: create, show, dump, lookup, update, delete, getnext, push, pop, peek, freeze, pin."""


@map.command()
@words(_CREATE)
@click.option("--big-endian", is_flag=True, help="Of big-endian programs.")
@permitted
@stored
def create(
    output: Output, given: Sequence[str], caps: str | None, disabled: int, kernel: str | None, big_endian: bool
) -> int:
    """Create a map and pin it at PATH."""
    line = Words(list(given), _CREATE)
    path = line.next("PATH")
    numbers = {"key": 0, "value": 0, "entries": 0, "flags": 0}
    kind = name = ""
    with output.store.open() as system:
        inner: MapObject | None = None
        while line:
            word = line.next("option")
            if word in numbers:
                numbers[word] = line.number(word)
            elif word == "type":
                kind = line.next("TYPE")
            elif word == "name":
                name = line.next("NAME")
            elif word == "inner_map":
                inner = one_map(system, line)
            else:
                raise click.UsageError(f"what is {word!r}? {line.usage}")
        if kind not in MAP_TYPES:
            raise BadInput(f"no map type {kind!r}", remedy="types: " + ", ".join(MAP_TYPES))
        declared = Map(
            name or path.rsplit("/", 1)[-1], kind, numbers["key"], numbers["value"], numbers["entries"],
            flags=numbers["flags"], inner=inner.declared if inner is not None else None,
        )  # fmt: skip
        refuse_later_map(kernel, declared)
        order = "big" if big_endian else "little"
        made = system.create_map(declared, "big" if order == "big" else "little", caller=caller(caps, disabled))
        system.pin(path, made)
    return 0


@map.command(name="list")
@words(f"[{MAP}]")
@stored
def list_(output: Output, given: Sequence[str]) -> int:
    """Show maps."""
    return _show(output, given)


@map.command()
@words(f"[{MAP}]")
@stored
def show(output: Output, given: Sequence[str]) -> int:
    """Show maps."""
    return _show(output, given)


def _show(output: Output, given: Sequence[str]) -> int:
    return show_objects(
        output, Words(list(given), MAP), maps, lambda system: list(system.maps.values()), _record, _text
    )


def _record(system: Kernel, one: MapObject, output: Output) -> dict[str, Any]:
    declared = one.declared
    record: dict[str, Any] = {
        "id": one.id, "type": declared.kind, "name": one.name, "flags": declared.flags,
        "bytes_key": declared.key_size, "bytes_value": declared.value_size, "max_entries": declared.max_entries,
        "bytes_memlock": one.memlock, "frozen": int(one.frozen),
    }  # fmt: skip
    return record | ({"pinned": system.pinned(one)} if output.files else {})


def _text(system: Kernel, one: MapObject, output: Output) -> str:
    declared = one.declared
    lines = [
        f"{one.id}: {declared.kind}  name {one.name}  flags 0x{declared.flags:x}",
        f"\tkey {declared.key_size}B  value {declared.value_size}B  max_entries {declared.max_entries}  "
        f"memlock {one.memlock}B" + ("  frozen" if one.frozen else ""),
    ]
    return "\n".join([*lines, *(f"\tpinned {path}" for path in (system.pinned(one) if output.files else ()))])


# Elements ----------------------------------------------------------------------------------------


def _element(key: bytes | None, value: Value | None) -> str:
    """An element as text; on one line where it is short."""
    shown = b"" if key is None else key
    if isinstance(value, tuple):
        lines = [f"key:\n{hexed(shown)}"]
        for cpu, one in enumerate(value):
            data = one or b""
            lines.append(f"value (CPU {cpu:02d}):" + ("\n" if len(data) > 16 else " ") + hexed(data))
        return "\n".join(lines)
    data = b"" if value is None else value
    gap = "\n" if len(shown) > 16 or len(data) > 16 else " "
    text = f"value:{gap}{hexed(data)}" if value is not None else f"value:{gap}<no entry>"
    if key is None:
        return text
    return f"key:{gap}{hexed(shown)}" + ("  " if len(shown) + len(data) <= _ONE_LINE and gap == " " else "\n") + text


def _element_record(key: bytes | None, value: Value, types: Types = None) -> dict[str, Any]:
    """Bytes, and where types are known what they mean."""
    record: dict[str, Any] = {} if key is None else {"key": listed(key)}
    if isinstance(value, tuple):
        record |= {"values": [{"cpu": cpu, "value": listed(one or b"")} for cpu, one in enumerate(value)]}
    else:
        record |= {"value": listed(value)}
    return record | ({"formatted": _typed(key, value, types)} if types is not None else {})


def _typed(key: bytes | None, value: Value, types: Types) -> dict[str, Any]:
    assert types is not None
    btf, of_key, of_value = types
    record: dict[str, Any] = {}
    if key is not None:
        record["key"] = typed(btf, of_key, key) if of_key else int.from_bytes(key, btf.order)
    if isinstance(value, tuple):
        cpus = enumerate(value)
        return record | {"values": [{"cpu": cpu, "value": typed(btf, of_value, one or b"")} for cpu, one in cpus]}
    return record | {"value": typed(btf, of_value, value)}


@map.command()
@words(MAP)
@stored
def dump(output: Output, given: Sequence[str]) -> int:
    """Print what a map holds; the records of a ring buffer, the values of a queue.

    Keys and values are shown by their types where the program that the map came with is loaded, else as bytes.
    """
    line = Words(list(given), MAP)
    with output.store.open(write=False) as system:
        one = one_map(system, line)
        line.end()
        found, types = list(elements.dump(one)), system.types_of(one)
    if output.record:
        output.show([_element_record(*pair, types) for pair in found])
        return 0
    if types is not None:
        click.echo(pretty([_typed(*pair, types) for pair in found]))
        return 0
    for pair in found:
        click.echo(_element(*pair))
    click.echo(f"Found {len(found)} element{'' if len(found) == 1 else 's'}")
    return 0


@map.command()
@words(f"{MAP} [key [hex] BYTE...]")
@stored
def lookup(output: Output, given: Sequence[str]) -> int:
    """Print the value of a key. Exit code 1 where there is none."""
    line = Words(list(given), f"{MAP} [key [hex] BYTE...]")
    with output.store.open(write=False) as system:
        one = one_map(system, line)
        key = _key(one, line, ())
        line.end()
        value, types = elements.lookup(one, key), system.types_of(one)
    if output.record:
        output.show(None if value is None else _element_record(key, value, types))
    elif value is not None and types is not None:
        click.echo(pretty(_typed(key, value, types)))
    else:
        click.echo(_element(key, value) if value is not None else f"key:\n{hexed(key)}\n\nNot found")
    return 0 if value is not None else 1


def _key(one: MapObject, line: Words, stop: Sequence[str]) -> bytes:
    if not one.declared.key_size:
        return b""
    line.expect("key")
    return line.bytes(one.declared.key_size, "key", stop)


_UPDATE = f"{MAP} [key [hex] BYTE...] value {{[hex] BYTE...|PROG|MAP}} [any|exist|noexist]"


@map.command()
@words(_UPDATE)
@stored
def update(output: Output, given: Sequence[str]) -> int:
    """Set the value of a key; the value of a prog array is a program, of a map of maps a map."""
    line = Words(list(given), _UPDATE)
    with output.store.open() as system:
        one = one_map(system, line)
        key = _key(one, line, ("value",))
        line.expect("value")
        value: bytes | ProgramObject | MapObject
        if one.declared.kind == "prog_array" and line.words[:1] and line.words[0] in HOWS:
            value = program(system, line)
        elif one.declared.kind in OF_MAPS and line.words[:1] and line.words[0] in HOWS:
            value = one_map(system, line)
        else:
            value = line.bytes(one.declared.value_size, "value", tuple(elements.FLAGS))
        flags = elements.FLAGS[line.skip(*elements.FLAGS) or "any"]
        line.end()
        elements.update(system, one, key, value, flags)
    return 0


@map.command()
@words(f"{MAP} key [hex] BYTE...")
@stored
def delete(output: Output, given: Sequence[str]) -> int:
    """Delete a key."""
    line = Words(list(given), f"{MAP} key [hex] BYTE...")
    with output.store.open() as system:
        one = one_map(system, line)
        key = _key(one, line, ())
        line.end()
        elements.delete(system, one, key)
    return 0


@map.command()
@words(f"{MAP} [key [hex] BYTE...]")
@stored
def getnext(output: Output, given: Sequence[str]) -> int:
    """Print the key after a key, or the first one."""
    line = Words(list(given), f"{MAP} [key [hex] BYTE...]")
    with output.store.open(write=False) as system:
        one = one_map(system, line)
        key = _key(one, line, ()) if line else None
        line.end()
        after = elements.next_key(one, key)
    if output.record:
        output.show({"key": None if key is None else listed(key), "next_key": listed(after)})
    else:
        click.echo("key: None" if key is None else f"key:\n{hexed(key)}")
        click.echo(f"next key:\n{hexed(after)}")
    return 0


# Maps without keys -------------------------------------------------------------------------------

_PUSH = f"{MAP} value [hex] BYTE..."


def _push(output: Output, given: Sequence[str]) -> int:
    line = Words(list(given), _PUSH)
    with output.store.open() as system:
        one = one_map(system, line)
        line.expect("value")
        value = line.bytes(one.declared.value_size, "value", ())
        line.end()
        elements.update(system, one, b"", value)
    return 0


def _next(output: Output, given: Sequence[str], *, take: bool) -> int:
    """Show the next value of a queue or stack. Exit code 1 where there is none."""
    line = Words(list(given), MAP)
    with output.store.open(write=take) as system:
        one = one_map(system, line)
        line.end()
        if one.declared.kind not in ("queue", "stack"):
            raise CallFailed("EINVAL", f"map {one.name} of type {one.declared.kind} is no queue or stack")
        value = elements.lookup(one, b"")
        if take and value is not None:
            elements.take(one)
    if output.record:
        output.show(None if value is None else _element_record(None, value))
    else:
        click.echo("Error: empty map" if value is None else _element(None, value))
    return 0 if value is not None else 1


@map.command()
@words(_PUSH)
@stored
def push(output: Output, given: Sequence[str]) -> int:
    """Push a value onto a stack."""
    return _push(output, given)


@map.command()
@words(_PUSH)
@stored
def enqueue(output: Output, given: Sequence[str]) -> int:
    """Put a value into a queue."""
    return _push(output, given)


@map.command()
@words(MAP)
@stored
def pop(output: Output, given: Sequence[str]) -> int:
    """Take a value off a stack."""
    return _next(output, given, take=True)


@map.command()
@words(MAP)
@stored
def dequeue(output: Output, given: Sequence[str]) -> int:
    """Take a value out of a queue."""
    return _next(output, given, take=True)


@map.command()
@words(MAP)
@stored
def peek(output: Output, given: Sequence[str]) -> int:
    """Print the value that is next in a queue or on a stack."""
    return _next(output, given, take=False)


@map.command()
@words(MAP)
@stored
def freeze(output: Output, given: Sequence[str]) -> int:
    """Let nobody but programs change a map any more."""
    line = Words(list(given), MAP)
    with output.store.open() as system:
        one = one_map(system, line)
        line.end()
        elements.freeze(one)
    return 0


pin_verbs(map, MAP, one_map)
