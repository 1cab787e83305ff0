"""Types as `bpftool btf dump format raw` prints them, and as its JSON."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from bpf.object.btf import BOOL, CHAR, ENUMS, LINKAGE, MODIFIERS, SIGNED, Btf, Kind, Type

_ENCODINGS = {0: "(none)", SIGNED: "SIGNED", CHAR: "CHAR", BOOL: "BOOL"}
_ANONYMOUS = "(anon)"


def raw_lines(types: Btf) -> Iterator[str]:
    """One line a type, and one, indented, for each of its parts."""
    for number in range(1, len(types)):
        one = types[number]
        fields, _, parts = _record(types, one)
        text = _text(fields)
        if one.kind is Kind.VAR:
            text = text.replace(" linkage", ", linkage")
        yield f"[{number}] {one.kind.name} '{one.name or _ANONYMOUS}'{text}"
        for part in parts:
            yield _part(types, one, part)


def _part(types: Btf, one: Type, part: dict[str, Any]) -> str:
    part = dict(part)
    name = f"'{part.pop('name')}'" if "name" in part else ""
    if one.kind is Kind.DATASEC:
        variable = types[part["type_id"]]
        return f"\t{_text(part)[1:]} ({variable.kind.name} '{variable.name or _ANONYMOUS}')"
    if one.kind is Kind.ENUM64:
        part["val"] = f"{part['val']}{'LL' if one.flag else 'ULL'}"
    return f"\t{name}{_text(part)}"


def _text(fields: dict[str, Any]) -> str:
    return "".join(f" {key}={value}" for key, value in fields.items())


def json_records(types: Btf) -> list[dict[str, Any]]:
    """The list `types` of bpftool's JSON."""
    out = []
    for number in range(1, len(types)):
        one = types[number]
        fields, group, parts = _record(types, one)
        record = {"id": number, "kind": one.kind.name, "name": one.name or _ANONYMOUS, **fields}
        out.append(record | {group: parts} if group else record)
    return out


def _record(types: Btf, one: Type) -> tuple[dict[str, Any], str, list[dict[str, Any]]]:
    """(fields, name of the list of its parts, the parts)."""
    kind = one.kind
    if kind is Kind.INT:
        encoding = _ENCODINGS.get(one.encoding, "UNKN")
        return {"size": one.size, "bits_offset": one.offset, "nr_bits": one.bits, "encoding": encoding}, "", []
    if kind in MODIFIERS or kind in (Kind.PTR, Kind.TYPEDEF):
        return {"type_id": one.type}, "", []
    if kind is Kind.ARRAY:
        return {"type_id": one.type, "index_type_id": one.index, "nr_elems": one.count}, "", []
    if kind is Kind.FWD:
        return {"fwd_kind": "union" if one.flag else "struct"}, "", []
    if kind is Kind.FLOAT:
        return {"size": one.size}, "", []
    if kind is Kind.DECL_TAG:
        return {"type_id": one.type, "component_idx": one.component}, "", []
    if kind in (Kind.FUNC, Kind.VAR):
        return {"type_id": one.type, "linkage": LINKAGE[one.linkage]}, "", []
    if kind in ENUMS:
        values: list[dict[str, Any]] = [{"name": value.name, "val": value.value} for value in one.values]
        sign = "SIGNED" if one.flag else "UNSIGNED"
        return {"encoding": sign, "size": one.size, "vlen": len(values)}, "values", values
    if kind is Kind.FUNC_PROTO:
        params: list[dict[str, Any]] = [{"name": p.name or _ANONYMOUS, "type_id": p.type} for p in one.params]
        return {"ret_type_id": one.type, "vlen": len(params)}, "params", params
    if kind is Kind.DATASEC:
        variables: list[dict[str, Any]] = [
            {"type_id": v.type, "offset": v.offset, "size": v.size} for v in one.variables
        ]
        return {"size": one.size, "vlen": len(variables)}, "vars", variables
    members: list[dict[str, Any]] = []
    for member in one.members:
        members.append({"name": member.name or _ANONYMOUS, "type_id": member.type, "bits_offset": member.offset})
        if member.bits:
            members[-1]["bitfield_size"] = member.bits
    return {"size": one.size, "vlen": len(members)}, "members", members
