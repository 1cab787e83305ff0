"""`crossbpf map`: create, show and change maps, as bpftool does, over a pin directory."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import click

from bpf.errors import BadInput, CallFailed
from bpf.map_rules import NAME, OF_MAPS, check_name
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
        if not name:
            raise click.UsageError(f"map name not specified: {line.usage}")
        check_name(name[:NAME])
        if kind in OF_MAPS and inner is None:
            raise CallFailed("EINVAL", f"map {name}: what its maps are like is not said", remedy="add `inner_map MAP`")
        declared = Map(
            name[:NAME], kind, numbers["key"], numbers["value"], numbers["entries"],
            flags=numbers["flags"], inner=inner.declared if inner is not None else None,
        )  # fmt: skip
        refuse_later_map(kernel, declared)
        order = "big" if big_endian else "little"
        made = system.create_map(declared, "big" if order == "big" else "little", caller=caller(caps, disabled))
        system.pin(path, made)
    return output.done()


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


def _head_record(one: MapObject) -> dict[str, Any]:
    return {"id": one.id, "type": one.declared.kind, "name": one.kernel_name, "flags": one.declared.flags}


def _head(one: MapObject) -> str:
    return f"{one.id}: {one.declared.kind}  name {one.kernel_name}  flags 0x{one.declared.flags:x}"


def _record(system: Kernel, one: MapObject, output: Output) -> dict[str, Any]:
    declared, owner = one.declared, _owner(system, one)
    record = _head_record(one) | {
        "bytes_key": declared.key_size, "bytes_value": declared.value_size, "max_entries": declared.max_entries,
        "bytes_memlock": one.memlock,
    }  # fmt: skip
    record |= {} if owner is None else {"owner_prog_type": owner.type, "owner_jited": bool(owner.code_size)}
    record |= {"frozen": int(one.frozen)}
    return record | ({"pinned": system.pinned(one)} if output.files else {})


def _text(system: Kernel, one: MapObject, output: Output) -> str:
    declared, owner = one.declared, _owner(system, one)
    sizes = f"key {declared.key_size}B  value {declared.value_size}B  max_entries {declared.max_entries}"
    lines = [_head(one), f"\t{sizes}  memlock {one.memlock}B"]
    if owner is not None:
        lines.append(f"\towner_prog_type {owner.type}  owner{'' if owner.code_size else ' not'} jited")
    lines += ["\tfrozen"] if one.frozen else []
    return "\n".join([*lines, *(f"\tpinned {path}" for path in (system.pinned(one) if output.files else ()))])


def _owner(system: Kernel, one: MapObject) -> ProgramObject | None:
    """The program that says which others a prog array takes."""
    return system.owner(one) if one.declared.kind == "prog_array" else None


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

    Keys and values are shown by their types where the program that the map came with is loaded, else as bytes. Several
    maps of one name are dumped one after the other, each below the first line that `map show` has of it.
    """
    line = Words(list(given), MAP)
    with output.store.open(write=False) as system:
        found = maps(system, line)
        line.end()
        dumped = [(one, list(elements.dump(one)), system.types_of(one)) for one in found]
    if output.record:
        records = [(one, [_element_record(*pair, types) for pair in pairs]) for one, pairs, types in dumped]
        output.show(_of_maps(records))
    elif all(types is not None for _, _, types in dumped):
        click.echo(pretty(_of_maps([(one, [_typed(*pair, types) for pair in pairs]) for one, pairs, types in dumped])))
    else:
        click.echo("\n\n".join("\n".join(_dumped(one, pairs, len(dumped) > 1)) for one, pairs, _ in dumped))
    return 0


def _of_maps(records: list[tuple[MapObject, list[dict[str, Any]]]]) -> list[Any]:
    """The elements of a map; of several maps a list of these, each under what the map is."""
    if len(records) == 1:
        return records[0][1]
    return [_head_record(one) | {"elements": found} for one, found in records]


def _dumped(one: MapObject, pairs: list[tuple[bytes | None, Value]], several: bool) -> list[str]:
    """The elements of a map as lines of bytes; of one of several maps below what the map is."""
    count = f"Found {len(pairs)} element{'' if len(pairs) == 1 else 's'}"
    return [*([_head(one)] if several else []), *(_element(*pair) for pair in pairs), count]


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
_PARTS = ("key", "value", *elements.FLAGS)


@map.command()
@words(_UPDATE)
@stored
def update(output: Output, given: Sequence[str]) -> int:
    """Set the value of a key; the value of a prog array is a program, of a map of maps a map.

    Key, value and flag may come in any order.
    """
    line = Words(list(given), _UPDATE)
    with output.store.open() as system:
        one = one_map(system, line)
        key, value, flag = None if one.declared.key_size else b"", None, ""
        while line and (word := line.skip(*_PARTS)):
            if word == "key" and key is None:
                key = line.bytes(one.declared.key_size, "key", _PARTS)
            elif word == "value" and value is None:
                value = _given_value(system, one, line)
            elif word in elements.FLAGS and not flag:
                flag = word
            else:
                why = "is said twice" if word != "key" or one.declared.key_size else "is not needed"
                raise click.UsageError(f"{word} {why}: {line.usage}")
        if key is None or value is None:
            line.expect("key" if key is None else "value")
        line.end()
        assert key is not None
        assert value is not None
        elements.update(system, one, key, value, elements.FLAGS[flag or "any"])
    return output.done()


def _given_value(system: Kernel, one: MapObject, line: Words) -> bytes | ProgramObject | MapObject:
    """What stands behind `value`."""
    if one.declared.kind == "prog_array" and line.words[:1] and line.words[0] in HOWS:
        return program(system, line)
    if one.declared.kind in OF_MAPS and line.words[:1] and line.words[0] in HOWS:
        return one_map(system, line)
    return line.bytes(one.declared.value_size, "value", _PARTS)


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
    return output.done()


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
    return output.done()


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
    return output.done()


pin_verbs(map, MAP, one_map)
