"""What a program may do with its context: which loads and stores, and what a load gives.

The rules are those of Linux 6.18 (is_valid_access of each program type); the fields are bpf/spec/contexts.py's.
One rule is tighter: a tracepoint's program cannot read in front of its record, which Linux lets it.
"""

from __future__ import annotations

from typing import NamedTuple

from bpf.spec.attach import attach_name
from bpf.spec.contexts import ATTACHED, PRIVILEGED, REGIONS, VIEWS, View
from verifier.options import BPF, Options, holds
from verifier.subject import Subject


class Access(NamedTuple):
    """An access to the context that is allowed.

    register   what a load gives, in the log's words: "scalar", "pkt", "sock_or_null", "trusted_ptr_", ...
    width      bytes of the field itself; a smaller load is one of a part of it
    type       the kernel's struct that a pointer of BTF leads to, "" for others
    low, high  what a loaded number lies between, where that is known: low <= high
    """

    register: str
    width: int
    type: str = ""
    low: int = 0
    high: int = -1


_Key = tuple[str, int, int, int, bool, bool, bool]
_known: dict[_Key, Access | None] = {}
_MOST = 1 << 16


def access(
    subject: Subject, off: int, size: int, write: bool, options: Options, *, signed: bool = False
) -> Access | None:
    """The access of `size` bytes at an offset of the context; None where it is not allowed.

    signed: a load that extends the sign. The kernel's sentence for None is `invalid(off, size)`, with EACCES.
    """
    key = (subject.type.name, subject.attach, off, size, write, signed, holds(options.caps, BPF))
    try:
        return _known[key]
    except KeyError:
        if len(_known) >= _MOST:
            _known.clear()
        found = _known[key] = _decide(*key)
        return found


def invalid(off: int, size: int) -> str:
    """What the kernel says of an access that is not allowed."""
    return f"invalid bpf_context access off={off} size={size}"


def view_of(name: str, attach: int) -> View | None:
    """What programs of a type that are to be attached so may do; None for a type without a layout."""
    return ATTACHED.get(name, {}).get(attach_name(name, attach), VIEWS.get(name))


def _decide(name: str, attach: int, off: int, size: int, write: bool, signed: bool, capable: bool) -> Access | None:
    for region in REGIONS.get(name, ()):
        if region.allows(off, size, write=write):
            return Access(region.register, region.size or 8, region.type)
    view = view_of(name, attach)
    field = view.access(off, size, write=write, signed=signed) if view is not None else None
    if field is None or (not capable and _reserved(name, field.name, write)):
        return None
    return Access(field.register, field.size)


def _reserved(name: str, field: str, write: bool) -> bool:
    """Whether a field is for those who hold CAP_BPF."""
    touched, written = PRIVILEGED.get(name, (frozenset(), frozenset()))
    return field in touched or (write and field in written)
