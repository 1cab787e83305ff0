"""What a program finds in the kernel: --machine FILE and --ksyms, as a World and as addresses of symbols."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from bpf.errors import BadInput, CrossbpfError
from bpf.object.attach import types_of
from bpf.object.btf import COMPOSITE
from bpf.object.btf_build import Content, Structure
from bpf.program import Program
from crossbpf.inputs import CompileOptions, read_bytes
from crossbpf.maps import elements
from vm.world import World

_KEYS = ("symbols", "memory", "tasks", "cgroups", "task", "context", "per_cpu")
_REMEDY = "it is an object with " + ", ".join(_KEYS) + ": docs/program-types.md"


def symbols(options: CompileOptions) -> dict[str, int]:
    """The kernel's symbols and their addresses. Raises BadInput."""
    found: dict[str, int] = {}
    if options.machine is not None:
        given = _read(options.machine).get("symbols", {})
        found |= {name: _number(value, options.machine, name) for name, value in _mapping(given, options.machine)}
    for one in options.ksyms:
        name, equals, value = one.partition("=")
        if equals:
            found[name] = _number(value, "--ksyms", name)
        else:
            found |= _table(one)
    return found


def _table(file: str) -> dict[str, int]:
    """Lines like those of /proc/kallsyms: address, type, name."""
    found: dict[str, int] = {}
    for at, line in enumerate(read_bytes(file).decode("utf-8", "replace").splitlines(), 1):
        words = line.split()
        if not words:
            continue
        if len(words) < 3:
            raise BadInput("is no line of address, type and name", file=file, place=f"line {at}")
        found.setdefault(words[2], _number(f"0x{words[0]}", file, words[2]))
    return found


def world(program: Program, options: CompileOptions, contents: Sequence[str] = ()) -> World:
    """The world of a run: maps as --map has them, the kernel as --machine and --ksyms do. Raises BadInput."""
    made = World(elements=elements(contents, program) if contents else {}, symbols=symbols(options))
    if options.machine is None:
        return made
    file, given = options.machine, _read(options.machine)
    for text, value in _mapping(given.get("memory", {}), file):
        made.kernel[_number(text, file, "memory")] = _content(program, value, file)
    made.tasks |= _numbers(given.get("tasks", {}), file)
    made.cgroup_objects |= _numbers(given.get("cgroups", {}), file)
    if "task" in given:
        made.task = _number(given["task"], file, "task")
    if "per_cpu" in given:
        areas = given["per_cpu"]
        if not isinstance(areas, list):
            raise BadInput("per_cpu is no list of numbers", file=file)
        made.per_cpu = tuple(_number(area, file, "per_cpu") for area in areas)
    if "context" in given:
        made.context_object = _number(given["context"], file, "context")
    return made


def _read(file: str) -> dict[str, Any]:
    try:
        found = json.loads(read_bytes(file))
    except ValueError as error:
        raise BadInput(f"is no JSON file: {error}", file=file) from None
    if not isinstance(found, dict) or not found.keys() <= set(_KEYS):
        raise BadInput("describes no machine", file=file, remedy=_REMEDY)
    return found


def _mapping(given: Any, file: str) -> Sequence[tuple[str, Any]]:
    if not isinstance(given, Mapping):
        raise BadInput(f"{str(given)[:40]!r} is no object", file=file, remedy=_REMEDY)
    return list(given.items())


def _numbers(given: Any, file: str) -> dict[int, int]:
    return {_number(key, file, key): _number(value, file, key) for key, value in _mapping(given, file)}


def _number(given: Any, file: str, what: str) -> int:
    try:
        value = given if type(given) is int else int(given, 0)
    except (TypeError, ValueError):
        raise BadInput(f"{what}: {str(given)[:40]!r} is no number", file=file) from None
    if not 0 <= value < 1 << 64:
        raise BadInput(f"{what}: {given} does not fit 64 bits", file=file)
    return value


def _content(program: Program, given: Any, file: str) -> Content:
    """Bytes in hex, or a structure: its type and its members."""
    if isinstance(given, str):
        try:
            return bytes.fromhex(given)
        except ValueError:
            raise BadInput(f"{given[:40]!r} is no hex text", file=file) from None
    fields = dict(_mapping(given, file))
    name, types = str(fields.pop("type", "")), types_of(program)
    number = None if types is None else next((n for n in types.named(name) if types[n].kind in COMPOSITE), None)
    if types is None or number is None:
        raise BadInput(f"no structure named {name!r}", file=file, remedy="say whose types there are with --btf FILE")
    made = Structure(types, number, {path: _value(value, file, path) for path, value in fields.items()})
    try:
        made.encode(program.order)
    except CrossbpfError as error:
        raise error.at(file=file, place=name) from None
    return made


def _value(given: Any, file: str, path: str) -> int | str:
    if type(given) is bool or not isinstance(given, int | str):
        raise BadInput(f"{path}: {str(given)[:40]!r} is neither a number nor a text", file=file)
    return given
