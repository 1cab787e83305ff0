"""Programs, maps and what maps hold as JSON texts, and back. Nothing in a text is ever run.

Whoever reads one has seen to it that it is as it was written (runtime/store.py).
"""

from __future__ import annotations

import base64
import json
import zlib
from dataclasses import asdict, replace
from typing import Any

from bpf.errors import Refused
from bpf.object.btf import VOID, Btf
from bpf.object.btf_wire import decode, encode
from bpf.program import Line, Map, Program, program
from bpf.spec.kfuncs import NAMES, NUMBERS

_SHORT = 64


def _plain(value: Any) -> Any:
    """A value as JSON has it; bytes are marked, long ones packed."""
    if isinstance(value, bytes | bytearray | memoryview):
        data = bytes(value)
        if len(data) <= _SHORT:
            return {"x": data.hex()}
        return {"z": base64.b64encode(zlib.compress(data, 1)).decode("ascii")}
    if isinstance(value, dict):
        return {"d": [[_plain(key), _plain(item)] for key, item in value.items()]}
    if isinstance(value, tuple | list):
        return [_plain(item) for item in value]
    if isinstance(value, set | frozenset):
        return [_plain(item) for item in sorted(value)]
    if value is None or isinstance(value, str | int | float | bool):
        return value
    raise TypeError(f"{type(value).__name__} in the state of a map")


def _value(plain: Any) -> Any:
    if isinstance(plain, list):
        return tuple(_value(item) for item in plain)
    if not isinstance(plain, dict):
        return plain
    ((kind, text),) = plain.items()
    if kind == "x":
        return bytes.fromhex(text)
    if kind == "d":
        return {_value(key): _value(item) for key, item in text}
    return zlib.decompress(base64.b64decode(text))


def dump(value: Any) -> bytes:
    """Plain data (numbers, texts, bytes, tuples, dictionaries) as text."""
    return json.dumps(_plain(value), separators=(",", ":")).encode()


def load(text: bytes) -> Any:
    """What `dump` was given; lists come back as tuples."""
    return _value(json.loads(text))


def map_record(map_: Map) -> dict[str, Any]:
    """A declaration as a dictionary."""
    return asdict(map_)


def map_of(record: dict[str, Any]) -> Map:
    """A declaration from its dictionary."""
    inner = record["inner"]
    return replace(Map(**{**record, "inner": None}), inner=None if inner is None else map_of(inner))


UNTOLD = Btf((VOID,))
"""The types of a machine that a program was loaded for, which are not kept: nothing is known of its structures."""


def program_text(one: Program) -> bytes:
    """A program without its maps."""
    return dump(
        {
            "name": one.name, "order": one.order, "code": one.encode(),
            "names": {function.start: function.name for function in one.functions},
            "lines": [(pc, line.file, line.line, line.text, line.column) for pc, line in one.lines.items()],
            "section": one.section, "license": one.license, "version": one.version, "types": dict(one.types),
            "btf": None if one.btf is None else encode(one.btf),
            "malformed": dict(one.malformed), "machine": one.kernel is not None, "symbols": sorted(one.symbols),
            "kfuncs": {
                pc: NAMES[insn.imm] for pc, insn in enumerate(one.insns)
                if insn is not None and insn.row.external and insn.imm in NAMES
            },
        }
    )  # fmt: skip


def program_of(text: bytes) -> Program:
    """A program from its text."""
    found = load(text)
    made = program(
        found["code"], name=found["name"], order=found["order"], names=found["names"],
        lines={pc: Line(*rest) for pc, *rest in found["lines"]},
    )  # fmt: skip
    insns = list(made.insns)
    for pc, name in found.get("kfuncs", {}).items():
        insn = insns[pc]
        assert insn is not None
        if name not in NUMBERS:
            raise Refused(f"kernel function {name} is not implemented", place=f"program {found['name']}")
        insns[pc] = insn._replace(imm=NUMBERS[name])  # the numbers are those of this version
    machine, symbols = found.get("machine", False), found.get("symbols", ())
    return replace(
        made, insns=tuple(insns), kernel=UNTOLD if machine else None, symbols=dict.fromkeys(symbols, 0),
        section=found["section"], license=found["license"], version=found["version"], types=found["types"],
        btf=None if found["btf"] is None else decode(found["btf"]), malformed=found.get("malformed", {}),
    )  # fmt: skip
