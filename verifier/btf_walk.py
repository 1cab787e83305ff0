"""Loads through a pointer to one of the kernel's structures: which member is meant, and what a pointer found there is.

The rules are those of btf_struct_access, btf_struct_walk and check_ptr_to_btf_access of Linux 6.18. Types are
verifier/types.py's; a pointer's trust hangs on the pointer that it was found through, on the tags of its type, and on
the structures X__safe_rcu, X__safe_trusted, X__safe_rcu_or_null and X__safe_trusted_or_null of the kernel's own BTF.
"""

from __future__ import annotations

from typing import NamedTuple

from bpf.object.btf import COMPOSITE, ENUMS, Btf, Kind, Type
from bpf.spec.errno import EACCES, EFAULT, EINVAL, EPERM
from verifier.kernel_types import kernel_types
from verifier.rejection import Rejection
from verifier.types import (
    ALLOC,
    BASE,
    BTF,
    FLAGS,
    MAYBE_NULL,
    MEM,
    NON_OWNING,
    PERCPU,
    RCU,
    RDONLY,
    SCALAR,
    TRUSTED,
    UNTRUSTED,
    USER,
)

POINTER = 8
_DEPTH = 32  # modifiers and arrays in each other, MAX_RESOLVE_DEPTH
_TAGS = {"user": USER, "percpu": PERCPU, "rcu": RCU}
_SIZED = frozenset({Kind.INT, Kind.FLOAT}) | COMPOSITE | ENUMS
_MODIFIERS = frozenset({Kind.TYPEDEF, Kind.VOLATILE, Kind.CONST, Kind.RESTRICT, Kind.TYPE_TAG})
_TRUST = ALLOC | TRUSTED | NON_OWNING


class Loaded(NamedTuple):
    """What a load gives.

    type   SCALAR, MEM with flags and without a size, or BTF with flags
    id     of BTF: the number of the structure that it points to
    field  of BTF: the member's name
    """

    type: int
    id: int = 0
    field: str = ""


NUMBER = Loaded(SCALAR)
MEMORY = Loaded(MEM | RDONLY | UNTRUSTED)


def walk(btf: Btf, number: int, off: int, size: int) -> Loaded:
    """What lies in a structure at an offset, before anybody asks how far it is trusted. Raises Rejection.

    Flags of a pointer: its tag's (USER, PERCPU, RCU), and UNTRUSTED if a union was walked through. off >= 0.
    """
    if btf is not kernel_types():
        return _walk(btf, number, off, size)
    key = (number, off, size)
    known = _walked.get(key)
    if known is None:
        known = _walked[key] = _walk(btf, number, off, size)
    return known


_walked: dict[tuple[int, int, int], Loaded] = {}  # in the kernel's own types, which do not change


def _walk(btf: Btf, number: int, off: int, size: int) -> Loaded:
    path = _Walk(btf, size)
    step = path.step(number, off)
    while isinstance(step, int):
        step = path.step(step, 0)
    return step if step.type != BTF else Loaded(BTF | path.flags, step.id, step.field)


def step(btf: Btf, number: int, off: int) -> int | None:
    """The outermost structure that begins at an offset of another; None for a number or pointer. Raises Rejection."""
    found = _Walk(btf, 1).step(number, off)
    return found if isinstance(found, int) else None


class _Walk:
    """A way down through structures. flags: what a pointer at its end has."""

    __slots__ = ("btf", "flags", "size")

    def __init__(self, btf: Btf, size: int) -> None:
        self.btf = btf
        self.size = size
        self.flags = 0

    def step(self, number: int, off: int) -> Loaded | int:
        """The answer, or the number of the structure that begins at `off`."""
        btf, size = self.btf, self.size
        one = btf[btf.strip(number)]
        while True:
            if one.kind not in COMPOSITE:
                raise Rejection(EINVAL, f"Type '{_word(one.name)}' is not a struct")
            if one.kind is Kind.UNION and len(one.members) != 1:
                self.flags |= UNTRUSTED
            if off + size > one.size:
                inner = self.flexible(one, off)
                if isinstance(inner, Loaded):
                    return inner
                one, off = inner
                continue
            found = self.member(one, off)
            if isinstance(found, (Loaded, int)):
                return found
            one, off = found

    def flexible(self, one: Type, off: int) -> Loaded | tuple[Type, int]:
        """What lies behind a structure's end: its last member may be an array without a length."""
        beyond = Rejection(EACCES, f"access beyond struct {_word(one.name)} at off {off} size {self.size}")
        if not one.members:
            raise beyond
        last = one.members[-1]
        array = self.btf[self.btf.strip(last.type)]
        start = last.offset // 8
        if array.kind is not Kind.ARRAY or array.count or off < start:
            raise beyond
        element = self.btf[self.btf.strip(array.type)]
        if element.kind is Kind.INT:
            return NUMBER
        if element.kind not in COMPOSITE or not element.size:
            raise beyond
        return element, (off - start) % element.size

    def member(self, one: Type, off: int) -> Loaded | int | tuple[Type, int]:
        """The member at an offset: an answer, the structure that begins there, or one to look into further."""
        size = self.size
        for member in one.members:
            start = member.offset // 8
            if off + size <= start:
                break
            if member.bits:
                if off <= start and -(-(member.offset + member.bits) // 8) <= off + size:
                    return NUMBER
                continue
            if off < start:
                break
            resolved = self.resolve(member.type)
            if resolved is None:
                raise Rejection(EFAULT, f"field {_word(member.name)} doesn't have size")
            number, kind, bytes_, count = resolved
            end = start + bytes_ * count
            if off >= end:
                continue
            if count != 1 or kind is Kind.ARRAY:
                start += (off - start) // bytes_ * bytes_
            inner = self.btf[self.btf.strip(number)]
            if inner.kind in COMPOSITE:
                return number if off == start else (inner, off - start)
            if inner.kind is Kind.PTR:
                if bytes_ != size or off != start:
                    raise Rejection(
                        EACCES,
                        f"cannot access ptr member {_word(member.name)} with moff {start} in struct "
                        f"{_word(one.name)} with off {off} size {size}",
                    )
                return self.pointer(inner, member.name)
            if off + size > end and not self.flags & UNTRUSTED:
                raise Rejection(
                    EACCES,
                    f"access beyond the end of member {_word(member.name)} (mend:{end}) in struct "
                    f"{_word(one.name)} with off {off} size {size}",
                )
            return NUMBER
        raise Rejection(EINVAL, f"struct {_word(one.name)} doesn't have field at offset {off}")

    def resolve(self, number: int) -> tuple[int, Kind, int, int] | None:
        """A member's element type, whether it is an array, an element's bytes, their number; None without a size."""
        count, kind, element = 1, Kind.INT, number
        for _ in range(_DEPTH):
            one = self.btf[number]
            if one.kind in _SIZED or one.kind is Kind.PTR:
                return element, kind, POINTER if one.kind is Kind.PTR else one.size, count
            if one.kind is Kind.ARRAY:
                kind, count, element = Kind.ARRAY, count * one.count, one.type
            elif one.kind not in _MODIFIERS:
                return None
            number = one.type
            if not number:
                return None
        return None

    def pointer(self, one: Type, field: str) -> Loaded:
        """What a pointer leads to: a structure, or memory that nothing is known of."""
        tag = self.btf[one.type]
        number = self.btf.strip(one.type)
        if not number or self.btf[number].kind not in COMPOSITE:
            return MEMORY
        if tag.kind is Kind.TYPE_TAG and not tag.flag:
            self.flags |= _TAGS.get(tag.name, 0)
        return Loaded(BTF, number, field)


def _word(name: str) -> str:
    """A name as the kernel's log has it."""
    return name or "(anon)"


def trusted(type_: int, ref: int) -> bool:
    """Whether a pointer to a structure is trusted: acquired, or marked so and nothing else."""
    return bool(ref) or (bool(type_ & _TRUST) and not type_ & FLAGS & ~_TRUST)


def load(btf: Btf, number: int, type_: int, off: int, size: int, *, rcu: bool, ref: int = 0) -> Loaded:
    """What a load through a pointer to a structure gives. Raises Rejection.

    number, type_, ref  the pointer's structure, type and reference; an offset that `check` has passed
    rcu  whether the program is in an RCU read section: it cannot sleep, has taken one, or holds a lock
    """
    found = walk(btf, number, off, size)
    flags = found.type & FLAGS
    if found.type & BASE != BTF:
        return found
    if type_ & ALLOC:
        return NUMBER
    if type_ & UNTRUSTED:
        flags = UNTRUSTED
    elif trusted(type_, ref) or type_ & RCU:
        if _listed(btf, number, found, "__safe_trusted"):
            flags |= TRUSTED
        elif _listed(btf, number, found, "__safe_trusted_or_null"):
            flags |= TRUSTED | MAYBE_NULL
        elif rcu and not type_ & MAYBE_NULL:
            if _listed(btf, number, found, "__safe_rcu"):
                flags |= RCU
            elif _listed(btf, number, found, "__safe_rcu_or_null"):
                flags = (flags | RCU | MAYBE_NULL) & ~UNTRUSTED
            elif flags & RCU:
                flags |= MAYBE_NULL
            elif not flags & (PERCPU | USER):
                flags &= ~(_TRUST | RCU)
        else:
            flags = UNTRUSTED
    else:
        flags &= ~(_TRUST | RCU)
    return Loaded(BTF | flags, found.id, found.field)


def _listed(btf: Btf, number: int, found: Loaded, suffix: str) -> bool:
    """Whether the kernel names a member, by type and name, in the list of a structure's safe ones."""
    one = btf[number]
    listed = btf.find(one.name + suffix, one.kind)
    if listed is None:
        return False
    for member in btf[listed].members:
        pointer = btf[member.type]
        if pointer.kind is Kind.PTR and member.name == found.field and btf.strip(pointer.type) == found.id:
            return True
    return False


def check(
    btf: Btf, number: int, type_: int, register: int, off: int, *, variable: str, perfmon: bool, gpl: bool, kernel: bool
) -> None:
    """Whether a pointer may be followed at all. Raises Rejection.

    variable  the part of its offset that is not constant 0, as the log writes it, else ""
    kernel    whether the types are the kernel's, not the program's own
    """
    name = _word(btf[number].name)
    if not perfmon:
        raise Rejection(EPERM, f"'struct {name}' access is allowed only to CAP_PERFMON and CAP_SYS_ADMIN")
    if not gpl and kernel:
        raise Rejection(EINVAL, f"Cannot access kernel 'struct {name}' from non-GPL compatible program")
    where = f"R{register} is ptr_{name}"
    if off < 0:
        raise Rejection(EACCES, f"{where} invalid negative access: off={off}")
    if variable:
        raise Rejection(EACCES, f"{where} invalid variable offset: off={off}, var_off={variable}")
    if type_ & USER:
        raise Rejection(EACCES, f"{where} access user memory: off={off}")
    if type_ & PERCPU:
        raise Rejection(EACCES, f"{where} access percpu memory: off={off}")
