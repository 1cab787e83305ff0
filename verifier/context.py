"""What a program may do with its context: which loads and stores, and what a load gives.

The rules are those of Linux 6.18 (is_valid_access of each program type); the fields are bpf/spec/contexts.py's.
One rule is tighter: a tracepoint's program cannot read in front of its record, which Linux lets it.
"""

from __future__ import annotations

from errno import EACCES
from typing import TYPE_CHECKING, NamedTuple

from bpf.object.btf import Kind
from bpf.spec.attach import attach_name
from bpf.spec.contexts import ATTACHED, PRIVILEGED, REGIONS, VIEWS, Region, View
from verifier import btf_context
from verifier.kernel_types import kernel_types
from verifier.options import BPF, Options, holds
from verifier.rejection import Rejection
from verifier.rules import check_flow_keys, socket_width
from verifier.scalar import Scalar, settled
from verifier.state import ANY, ZERO, Reg
from verifier.subject import Subject
from verifier.tnum import U32, U64
from verifier.types import BASE, BTF, MAYBE_NULL, SCALAR, by_name
from verifier.types import name as type_name

if TYPE_CHECKING:
    from verifier.env import Env


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


_MEMORY = frozenset({
    "syscall", "kprobe", "tracepoint", "raw_tracepoint", "raw_tracepoint_writable", "tracing", "lsm", "struct_ops",
    "netfilter", "lirc_mode2",
})  # fmt: skip
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


def load(env: Env, off: int, size: int, write: bool, sign: bool) -> Reg:
    """An access to the context, and what a load leaves. Raises Rejection."""
    subject = env.subject
    found = access(subject, off, size, write, env.options, signed=sign)
    if found is None:
        raise Rejection(EACCES, invalid(subject, off, size, write), env.pc)
    if found.note and env.level:
        env.log.add(found.note)
    type_ = found.type
    if type_ == SCALAR:
        return Reg(SCALAR, _between(found.low, found.high)) if found.low <= found.high else ANY
    id_ = env.new_id() if type_ & MAYBE_NULL and not write else 0
    if type_ & BASE == BTF:
        return Reg(type_, ZERO, 0, id_, 0, kernel_types(), found.id)
    return Reg(type_, ZERO, 0, id_)


def _between(low: int, high: int) -> Scalar:
    """A number whose 64 and whose low 32 bits lie between two signed numbers of 32 bits."""
    return settled(0, U64, low, high, 0, U64, low, high, 0, U32)


def flow_keys(env: Env, off: int, size: int) -> None:
    """An access to the keys of a flow. Raises Rejection."""
    try:
        check_flow_keys(off, size)
    except Rejection as refused:
        raise Rejection(refused.errno, refused.message, env.pc) from None


def socket_access(env: Env, type_: int, off: int, size: int) -> bool:
    """Whether a load through a pointer to a socket is of a field."""
    return socket_width(type_name(type_), off, size) is not None


def is_memory(subject: Subject) -> bool:
    """Whether helpers take the context as memory: it has no fields that lie elsewhere."""
    return subject.type.name in _MEMORY


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
