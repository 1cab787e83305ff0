"""Program types as a user names them, and how programs of a type are entered."""

from __future__ import annotations

from bpf.errors import BadInput, Refused
from bpf.spec import program_types
from bpf.spec.attach import attach_of
from bpf.spec.conventions import OF_ATTACH, PLAIN, TYPED, Convention
from bpf.spec.program_types import ALIASES, PROGRAM_TYPES

UNSPEC = "unspec"


def of_section(section: str, *, old: bool = True) -> str:
    """The type that libbpf gives a program of a section, "unspec" where the name says none. old: before 1.0, too."""
    found = program_types.of_section(section, old=old)
    return UNSPEC if found is None else found.name


def named(word: str) -> str:
    """A type as a user writes it: bpftool's name, the name of a section, or `plain` for none. Raises BadInput."""
    if word == PLAIN.name:
        return UNSPEC
    found = ALIASES.get(word, word)
    if found not in PROGRAM_TYPES:
        found = of_section(word, old=False)
    if found == UNSPEC != word:
        raise BadInput(
            f"no program type named {word!r}", file="--type", remedy="types: " + ", ".join((PLAIN.name, *TYPED))
        )
    return found


def convention(kind: str, section: str = "") -> Convention:
    """How a program of a type is entered; one without a type gets memory. Raises Refused for one not described here.

    section: its own, or what a user has named the type by.
    """
    special = OF_ATTACH.get(attach_of(section))
    if special is not None and special.type is PROGRAM_TYPES[kind]:
        return special
    if kind == UNSPEC:
        return PLAIN
    if kind not in TYPED:
        raise Refused(
            f"programs of type {kind} have a context that is not described here",
            remedy="types: " + ", ".join((PLAIN.name, *TYPED)),
        )
    return TYPED[kind]
