"""Whether Linux takes types: what its BTF_LOAD checks beyond what must hold of any (btf_check.py).

libbpf goes on without types where a kernel does not take them: those of unoptimised code, whose pointers to functions
lead to functions with parameters without names, of Rust and C++, whose names are no identifiers, of a declared enum.
Source: btf_check_all_metas and btf_check_all_types of Linux 6.18.
"""

from __future__ import annotations

import re
from functools import lru_cache

from bpf.object.btf import COMPOSITE, ENUMS, LINKAGE, MODIFIERS, Btf, Kind, Type

_IDENTIFIER = re.compile(r"[A-Za-z_.][A-Za-z0-9_.]*")
_NAME_LENGTH = 512  # KSYM_NAME_LEN
_ENCODINGS = (0, 1, 2, 4)
_NAMED = frozenset({Kind.TYPEDEF, Kind.FWD, Kind.FUNC, Kind.VAR})
_NAMELESS = frozenset({Kind.PTR, Kind.ARRAY, Kind.FUNC_PROTO}) | MODIFIERS - {Kind.TYPE_TAG}
_BEHIND_TAGS = (MODIFIERS | {Kind.TYPEDEF}) - {Kind.TYPE_TAG}
_TAGGED = frozenset({Kind.VAR, Kind.FUNC, Kind.TYPEDEF}) | COMPOSITE


@lru_cache(maxsize=16)
def untaken(types: Btf) -> str:
    """Why Linux does not take a program's types, once a loader has completed sections and variables; "": it does."""
    for number, one in enumerate(types.types[1:], 1):
        why = _name(one) or _kind(types, one)
        if why:
            return f"type {number}: {one.kind.name} {one.name or '(anon)'}: {why}"
    return ""


def _identifier(name: str) -> bool:
    return len(name) <= _NAME_LENGTH and _IDENTIFIER.fullmatch(name) is not None


def _name(one: Type) -> str:
    """What is wrong with the names in a type."""
    if one.kind in _NAMELESS:
        return "a name" if one.name else ""
    if one.kind in _NAMED and not _identifier(one.name):
        return "no identifier"
    if one.kind in COMPOSITE or one.kind in ENUMS:
        inner = [member.name for member in one.members if member.name] + [value.name for value in one.values]
        wrong = next((name for name in ([one.name] if one.name else []) + inner if not _identifier(name)), None)
        return "" if wrong is None else f"{wrong or 'nothing'} is no identifier"
    return "" if one.name or one.kind not in (Kind.DECL_TAG, Kind.TYPE_TAG) else "no name"


def _kind(types: Btf, one: Type) -> str:
    """What is wrong with a type of its kind."""
    if one.kind is Kind.INT:
        return "" if one.encoding in _ENCODINGS else "two encodings"
    if one.kind in ENUMS:
        return "" if one.size in (1, 2, 4, 8) else f"{one.size} bytes"
    if one.kind is Kind.ARRAY:
        index = types[types.strip(one.index)]
        return "" if index.kind is Kind.INT and _regular(index) else "an index that is no integer"
    if one.kind in COMPOSITE:
        return _members(one)
    if one.kind is Kind.FUNC_PROTO:
        return _parameters(types, one)
    if one.kind is Kind.FUNC and LINKAGE[one.linkage] != "extern":
        nameless = any(param.type and not param.name for param in types[one.type].params)
        return "a parameter without a name" if nameless else ""
    if one.kind is Kind.VAR and LINKAGE[one.linkage] != "extern":
        return "" if _sized(types, one.type) else "no size"
    if one.kind is Kind.DATASEC:
        return "" if all(placed.size for placed in one.variables) else "a variable of no bytes"
    if one.kind is Kind.DECL_TAG:
        return _tag(types, one)
    if one.kind in _BEHIND_TAGS and types[one.type].kind is Kind.TYPE_TAG:
        return "a tag behind it"
    return ""


def _regular(one: Type) -> bool:
    return not one.offset and one.bits == 8 * one.size and one.size in (1, 2, 4, 8, 16)


def _sized(types: Btf, number: int) -> bool:
    inner = types.strip(number) if number else 0
    return inner != 0 and types[inner].kind not in (Kind.FWD, Kind.FUNC_PROTO, Kind.FUNC)


def _members(one: Type) -> str:
    """Linux wants them in order."""
    offsets = [member.offset for member in one.members]
    if one.kind is Kind.UNION:
        return "a member that does not start with it" if any(offsets) else ""
    return "" if offsets == sorted(offsets) else "members out of order"


def _parameters(types: Btf, one: Type) -> str:
    params = one.params
    if params and not params[-1].type:
        if params[-1].name:
            return "a parameter without a type"
        params = params[:-1]
    for param in params:
        if param.name and not _identifier(param.name):
            return f"{param.name} is no identifier"
        if not _sized(types, param.type):
            return "a parameter without a size"
    returned = types.strip(one.type)
    if one.type and returned and types[returned].kind in (Kind.FWD, Kind.FUNC_PROTO):
        return "it returns what has no size"
    return ""


def _tag(types: Btf, one: Type) -> str:
    target = types[one.type]
    if target.kind not in _TAGGED:
        return "it is of no variable, function or type with a name"
    if one.component == -1:
        return ""
    parts = (
        target.members if target.kind in COMPOSITE else types[target.type].params if target.kind is Kind.FUNC else ()
    )
    return "" if 0 <= one.component < len(parts) else f"component {one.component}"
