"""What a user says of program types and contexts: --type, --ctx, the name of a section."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bpf.errors import BadInput, CrossbpfError
from bpf.object.attach import pointee, words
from bpf.object.btf_build import Content, Structure
from bpf.program import Program
from bpf.spec.conventions import TYPED, Convention
from crossbpf.inputs import read_bytes
from runtime.types import convention, named, of_section


def convention_named(name: str) -> Convention:
    """--type: a program type, or `plain`. Raises BadInput, and Refused for a type that does not run here."""
    return TYPED.get(name) or convention(named(name), name)


def convention_of(section: str) -> Convention:
    """The convention that the name of a section stands for; plain where it names no type."""
    return convention(of_section(section), section)


def context_fields(given: Sequence[str], *, texts: bool = False) -> Mapping[str, Any]:
    """--ctx: NAME=VALUE,..., or a file with a JSON object of them. texts: values may be texts. Raises BadInput."""
    fields: dict[str, Any] = {}
    for one in given:
        if "=" not in one and Path(one).is_file():
            fields |= _from_file(one, texts=texts)
            continue
        for part in filter(None, one.split(",")):
            name, equals, value = part.partition("=")
            if texts and equals:
                fields[name.strip()] = value
                continue
            try:
                fields[name.strip()] = int(value, 0)
            except ValueError:
                what = f"{part!r} has no number" if equals else f"{part!r} is neither NAME=VALUE nor a file"
                raise BadInput(what, file="--ctx", remedy="say mark=0x2a,cb[0]=7") from None
    return fields


@dataclass(frozen=True, slots=True)
class Given:
    """What --ctx says of a context: numbers by field, and the bytes of one that is memory."""

    context: Mapping[str, int]
    record: Content = b""


def context_for(convention: Convention | None, program: Program, given: Sequence[str]) -> Given:
    """--ctx for a program: fields, arguments of the function it is attached to, members of a structure, or bytes.

    Raises BadInput.
    """
    view = None if convention is None else convention.view
    raw = len(given) == 1 and Path(given[0]).is_file() and not given[0].endswith(".json")
    if view is not None and raw and (view.layout.open or view.layout.words):
        return Given({}, read_bytes(given[0]))
    if view is None or not view.layout.open:
        fields = dict(fields_for(convention, given))
        names = {word.name: at for at, word in enumerate(words(program) or ())} if view and view.objects else {}
        taken = set(view.layout.by_name) if view else set()
        return Given({
            f"args[{names[name]}]" if name in names and name not in taken else name: value
            for name, value in fields.items()
        })  # fmt: skip
    if not given:
        return Given({})
    members = context_fields(given, texts=True)
    number = _structure(program)
    if number is None or program.btf is None:
        raise BadInput(
            "the program does not say what its context looks like", file="--ctx",
            remedy="compile with -g and take a pointer to a structure, or give a file of bytes",
        )  # fmt: skip
    made = Structure(program.btf, number, members)
    try:
        made.encode(program.order)
    except CrossbpfError as error:
        raise error.at(file="--ctx") from None
    return Given({}, made)


def _structure(program: Program) -> int | None:
    """The structure that a program's parameter points to."""
    types, function = program.btf, program.types.get(0)
    if types is None or function is None:
        return None
    params = types[types[function].type].params
    return (pointee(types, params[0].type) if params else 0) or None


def fields_for(convention: Convention | None, given: Sequence[str]) -> Mapping[str, int]:
    """--ctx of a program of a convention. Raises BadInput where that has no context."""
    fields = context_fields(given)
    if fields and (convention is None or convention.view is None):
        raise BadInput("there is no context", file="--ctx", remedy="say --type")
    return fields


def _from_file(name: str, *, texts: bool) -> dict[str, Any]:
    try:
        found = json.loads(Path(name).read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise BadInput(f"is no JSON file: {error}", file=name) from None
    if not isinstance(found, dict) or not all(
        type(value) is int or (texts and isinstance(value, str)) for value in found.values()
    ):
        raise BadInput("is no JSON object of numbers", file=name)
    return found
