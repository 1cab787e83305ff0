"""When a type of a program and one of the target count as the same, for CO-RE."""

from __future__ import annotations

from bpf.object.btf import COMPOSITE, ENUMS, SIGNED, Btf, Kind, essential

_DEEP = 32


def fields_compatible(local: Btf, mine: int, target: Btf, other: int) -> bool:
    """Whether a member may be taken for one of the same name: same sort of type; integers of any size."""
    for _ in range(_DEEP):
        mine, other = local.strip(mine), target.strip(other)
        a, b = local[mine], target[other]
        if a.kind in COMPOSITE and b.kind in COMPOSITE:
            return True
        if not _same_kind(a.kind, b.kind):
            return False
        if a.kind in ENUMS or a.kind is Kind.FWD:
            return not a.name or not b.name or essential(a.name) == essential(b.name)
        if a.kind is not Kind.ARRAY:
            return a.kind in (Kind.PTR, Kind.FLOAT) or (a.kind is Kind.INT and not a.offset and not b.offset)
        mine, other = a.type, b.type
    return False


def compatible(local: Btf, mine: int, target: Btf, other: int, depth: int = 0) -> bool:
    """Whether two types are of the same sort down to the end of their pointers; names and members do not count."""
    mine, other = local.strip(mine), target.strip(other)
    a, b = local[mine], target[other]
    if depth > _DEEP or bool(mine) != bool(other):
        return False
    if not mine:
        return True
    if not _same_kind(a.kind, b.kind):
        return False
    if a.kind is Kind.INT:
        return not a.offset and not b.offset
    if a.kind in (Kind.PTR, Kind.ARRAY):
        return compatible(local, a.type, target, b.type, depth + 1)
    if a.kind is Kind.FUNC_PROTO:
        return len(a.params) == len(b.params) and all(
            compatible(local, x, target, y, depth + 1)
            for x, y in [(a.type, b.type), *((p.type, q.type) for p, q in zip(a.params, b.params, strict=True))]
        )
    return True


def matches(local: Btf, mine: int, target: Btf, other: int, *, behind: bool = False, depth: int = 0) -> bool:
    """Whether a type has all that the program's has: its name, members by name and type, enumerators, sizes.

    behind: it is reached through a pointer, where of a struct or union only sort and name count. libbpf's rules, which
    hold for names of every kind behind modifiers and typedefs, and know no floating-point numbers.
    """
    mine, other = local.strip(mine), target.strip(other)
    a, b = local[mine], target[other]
    if depth > _DEEP or bool(mine) != bool(other):
        return False
    if not mine:
        return True
    if essential(a.name) != essential(b.name):
        return False
    if Kind.FWD in (a.kind, b.kind):
        return (behind or a.kind is b.kind) and _union(a.kind, flag=a.flag) == _union(b.kind, flag=b.flag)
    if not _same_kind(a.kind, b.kind):
        return False

    def further(mine: int, other: int, *, behind: bool = behind) -> bool:
        return matches(local, mine, target, other, behind=behind, depth=depth + 1)

    if a.kind in COMPOSITE:
        return behind or (
            len(a.members) <= len(b.members)
            and all(
                any(
                    essential(member.name) == essential(there.name) and further(member.type, there.type)
                    for there in b.members
                )
                for member in a.members
            )
        )
    if a.kind in ENUMS:
        names = {essential(value.name) for value in b.values}
        known = all(essential(value.name) in names for value in a.values)
        return a.size == b.size and len(a.values) <= len(b.values) and known
    if a.kind is Kind.INT:
        return (a.size, a.encoding & SIGNED) == (b.size, b.encoding & SIGNED)
    if a.kind is Kind.PTR:
        return further(a.type, b.type, behind=True)
    if a.kind is Kind.ARRAY:
        return a.count == b.count and further(a.type, b.type)
    if a.kind is Kind.FUNC_PROTO:
        return len(a.params) == len(b.params) and all(
            further(x, y)
            for x, y in [*((p.type, q.type) for p, q in zip(a.params, b.params, strict=True)), (a.type, b.type)]
        )
    return False


def _same_kind(a: Kind, b: Kind) -> bool:
    return a is b or (a in ENUMS and b in ENUMS)


def _union(kind: Kind, *, flag: bool) -> bool | None:
    """Whether a tag is a union's; None for no struct or union."""
    if kind is Kind.FWD:
        return flag
    return kind is Kind.UNION if kind in COMPOSITE else None
