"""What a user says of program types and contexts: --type, --ctx, the name of a section."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from bpf.errors import BadInput
from bpf.spec.conventions import TYPED, Convention
from runtime.types import convention, named, of_section


def convention_named(name: str) -> Convention:
    """--type: a program type, or `plain`. Raises BadInput, and Refused for a type that does not run here."""
    return TYPED.get(name) or convention(named(name), name)


def convention_of(section: str) -> Convention:
    """The convention that the name of a section stands for; plain where it names no type."""
    return convention(of_section(section), section)


def context_fields(given: Sequence[str]) -> Mapping[str, int]:
    """--ctx: NAME=VALUE,..., or a file with a JSON object of them. Raises BadInput."""
    fields: dict[str, int] = {}
    for one in given:
        if "=" not in one and Path(one).is_file():
            fields |= _from_file(one)
            continue
        for part in filter(None, one.split(",")):
            name, equals, value = part.partition("=")
            try:
                fields[name.strip()] = int(value, 0)
            except ValueError:
                what = f"{part!r} has no number" if equals else f"{part!r} is neither NAME=VALUE nor a file"
                raise BadInput(what, file="--ctx", remedy="say mark=0x2a,cb[0]=7") from None
    return fields


def fields_for(convention: Convention | None, given: Sequence[str]) -> Mapping[str, int]:
    """--ctx of a program of a convention. Raises BadInput where that has no context."""
    fields = context_fields(given)
    if fields and (convention is None or convention.view is None):
        raise BadInput("there is no context", file="--ctx", remedy="say --type")
    return fields


def _from_file(name: str) -> dict[str, int]:
    try:
        found = json.loads(Path(name).read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise BadInput(f"is no JSON file: {error}", file=name) from None
    if not isinstance(found, dict) or not all(type(value) is int for value in found.values()):
        raise BadInput("is no JSON object of numbers", file=name)
    return found
