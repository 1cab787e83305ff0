"""What a program may do with its context: which loads and stores, and what a load gives.

The rules are those of Linux 6.18 (is_valid_access of each program type); the fields are bpf/spec/contexts.py's.
One rule is tighter: a tracepoint's program cannot read in front of its record, which Linux lets it.
"""

from __future__ import annotations

from typing import NamedTuple

from bpf.object.btf import Kind
from bpf.spec.attach import attach_name
from bpf.spec.contexts import ATTACHED, PRIVILEGED, REGIONS, VIEWS, Region, View
from verifier import btf_context
from verifier.kernel_types import kernel_types
from verifier.options import BPF, Options, holds
from verifier.subject import Subject
from verifier.types import by_name


class Access(NamedTuple):
    """An access to the context that is allowed.

    type       what a load gives, of verifier/types.py
    width      bytes of the field itself; a smaller load is one of a part of it
    id         the structure, in the kernel's types, that a pointer of BTF leads to
    note       a line that the log has in front of the state behind the load, "" for none
    low, high  what a loaded number lies between, as a signed number of 32 bits, where that is known: low <= high
    """

    type: int
    width: int
    id: int = 0
    note: str = ""
    low: int = 0
    high: int = -1


_Key = tuple[str, int, int, int, bool, bool, bool]
_known: dict[_Key, Access | None] = {}
_MOST = 1 << 16


def access(
    subject: Subject, off: int, size: int, write: bool, options: Options, *, signed: bool = False
) -> Access | None:
    """The access of `size` bytes at an offset of the context; None where it is not allowed.

    signed: a load that extends the sign. The kernel's sentence for None is `invalid(...)`, with EACCES.
    """
    if subject.type.name in btf_context.TYPES:
        found, note = btf_context.access(subject, off, size, write=write)
        return found and Access(found.type, 8, found.id, note, found.low, found.high)
    key = (subject.type.name, subject.attach, off, size, write, signed, holds(options.caps, BPF))
    try:
        return _known[key]
    except KeyError:
        if len(_known) >= _MOST:
            _known.clear()
        decided = _known[key] = _decide(*key)
        return decided


def invalid(subject: Subject, off: int, size: int, write: bool) -> str:
    """What the kernel says of an access that is not allowed."""
    note = btf_context.access(subject, off, size, write=write)[1] if subject.type.name in btf_context.TYPES else ""
    return (note and note + "\n") + f"invalid bpf_context access off={off} size={size}"


def view_of(name: str, attach: int) -> View | None:
    """What programs of a type that are to be attached so may do; None for a type without a layout."""
    return ATTACHED.get(name, {}).get(attach_name(name, attach), VIEWS.get(name))


def _decide(name: str, attach: int, off: int, size: int, write: bool, signed: bool, capable: bool) -> Access | None:
    for region in REGIONS.get(name, ()):
        if region.allows(off, size, write=write):
            return _pointer(region) if region.type else Access(by_name(region.register), region.size or 8)
    view = view_of(name, attach)
    field = view.access(off, size, write=write, signed=signed) if view is not None else None
    if field is None or (not capable and _reserved(name, field.name, write)):
        return None
    return Access(by_name(field.register), field.size)


def _pointer(region: Region) -> Access | None:
    """A pointer to one of the kernel's structures; None where its types are not known."""
    types = kernel_types()
    number = types.find(region.type, Kind.STRUCT) if types is not None else None
    return None if number is None else Access(by_name(region.register), region.size, number)


def _reserved(name: str, field: str, write: bool) -> bool:
    """Whether a field is for those who hold CAP_BPF."""
    touched, written = PRIVILEGED.get(name, (frozenset(), frozenset()))
    return field in touched or (write and field in written)
