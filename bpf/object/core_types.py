"""When a type of a program and one of the target count as the same, for CO-RE."""

from __future__ import annotations

from bpf.object.btf import COMPOSITE, ENUMS, Btf, Kind, essential

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
    """Whether a type has all that the program's has: members by name and type, enumerators, sizes of integers.

    behind: it is reached through a pointer, where of a struct, union or enum only sort and name count.
    """
    mine, other = local.strip(mine), target.strip(other)
    a, b = local[mine], target[other]
    if depth > _DEEP or bool(mine) != bool(other):
        return False
    if not mine:
        return True
    if a.name and b.name and a.kind not in (Kind.INT, Kind.FLOAT) and essential(a.name) != essential(b.name):
        return False
    if behind and Kind.FWD in (a.kind, b.kind):
        return _union(a.kind, flag=a.flag) == _union(b.kind, flag=b.flag)
    if not _same_kind(a.kind, b.kind):
        return False
    if a.kind in COMPOSITE:
        return behind or all(
            any(
                member.name == there.name and matches(local, member.type, target, there.type, depth=depth + 1)
                for there in b.members
            )
            for member in a.members
        )
    if a.kind in ENUMS:
        names = {essential(value.name) for value in b.values}
        return behind or (a.size == b.size and all(essential(value.name) in names for value in a.values))
    if a.kind is Kind.INT:
        return (a.size, a.bits, a.encoding & 1) == (b.size, b.bits, b.encoding & 1)
    if a.kind is Kind.PTR:
        return matches(local, a.type, target, b.type, behind=True, depth=depth + 1)
    if a.kind is Kind.ARRAY:
        return a.count == b.count and matches(local, a.type, target, b.type, depth=depth + 1)
    if a.kind is Kind.FUNC_PROTO:
        return len(a.params) == len(b.params) and all(
            matches(local, x, target, y, depth=depth + 1)
            for x, y in [(a.type, b.type), *((p.type, q.type) for p, q in zip(a.params, b.params, strict=True))]
        )
    return a.size == b.size


def _same_kind(a: Kind, b: Kind) -> bool:
    return a is b or (a in ENUMS and b in ENUMS)


def _union(kind: Kind, *, flag: bool) -> bool | None:
    """Whether a tag is a union's; None for no struct or union."""
    if kind is Kind.FWD:
        return flag
    return kind is Kind.UNION if kind in COMPOSITE else None
