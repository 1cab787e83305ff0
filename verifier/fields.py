"""What in a map's value is more than bytes: locks, timers, pointers to objects.

Source: struct btf_record of Linux 6.18.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

from bpf.object.btf import COMPOSITE, Btf, Kind
from bpf.program import Map
from bpf.spec.errno import EACCES
from verifier.env import Env
from verifier.references import SPECIAL
from verifier.rejection import Rejection
from verifier.state import Reg
from verifier.types import ALLOC, BASE, BTF, MAP_VALUE

_SIZES = {"bpf_spin_lock": 4, "bpf_res_spin_lock": 4, "bpf_timer": 16, "bpf_wq": 16, "bpf_task_work": 16}
_POINTERS = {"kptr_untrusted": "kptr", "kptr": "kptr", "percpu_kptr": "percpu_kptr", "uptr": "uptr"}
_MOST = 64  # fields that are looked for; Linux makes no map of more than 11
LOCKS = frozenset({"bpf_spin_lock", "bpf_res_spin_lock"})


class Field(NamedTuple):
    """One field.

    kind      the struct's name, or "kptr", "kptr_untrusted", "percpu_kptr", "uptr"; type: what that points to
    contains  of a list or tree its tag, `contains:struct:member`
    """

    kind: str
    offset: int
    size: int
    type: int = 0
    contains: str = ""

    @property
    def word(self) -> str:
        """As the kernel's sentences call it."""
        return _POINTERS.get(self.kind, self.kind)

    @property
    def is_pointer(self) -> bool:
        """Whether it points to an object."""
        return self.kind in _POINTERS


@lru_cache(maxsize=256)
def _of(lock: int | None, timer: int | None, value_type: int, btf: Btf | None) -> tuple[Field, ...]:
    found: dict[int, Field] = {}
    if lock is not None:
        found[lock] = Field("bpf_spin_lock", lock, 4)
    if timer is not None:
        found[timer] = Field("bpf_timer", timer, 16)
    if btf is not None and 0 < value_type < len(btf):
        _walk(btf, value_type, 0, found, 0)
    return tuple(found[offset] for offset in sorted(found))


@lru_cache(maxsize=16)
def _tags(btf: Btf) -> dict[tuple[int, int], str]:
    """Structure and number of a member, or a variable and -1 -> what its tag says that it contains."""
    return {
        (one.type, one.component): one.name
        for one in btf.types
        if one.kind is Kind.DECL_TAG and one.name.startswith("contains:")
    }


def _walk(btf: Btf, number: int, base: int, found: dict[int, Field], depth: int, tag: str = "") -> None:
    number = btf.strip(number)
    type_ = btf[number]
    if len(found) > _MOST or not _holds_fields(btf, number):
        return
    if type_.kind is Kind.ARRAY and depth < 8:
        size = btf.size(type_.type)
        for at in range(min(type_.count, 64)):
            _walk(btf, type_.type, base + at * size, found, depth + 1)
    elif type_.kind in COMPOSITE and type_.name in SPECIAL:
        found[base] = Field(type_.name, base, _SIZES.get(type_.name, type_.size), 0, tag)
    elif type_.kind is Kind.STRUCT and depth < 8:
        for at, member in enumerate(type_.members):
            _walk(btf, member.type, base + member.offset // 8, found, depth + 1, _tags(btf).get((number, at), ""))
    elif type_.kind is Kind.DATASEC:
        for placed in type_.variables:
            tag = _tags(btf).get((placed.type, -1), "")
            _walk(btf, btf[placed.type].type, base + placed.offset, found, depth + 1, tag)
    elif type_.kind is Kind.PTR:
        target = btf[type_.type]
        if target.kind is Kind.TYPE_TAG and target.name in _POINTERS:
            found[base] = Field(target.name, base, 8, btf.strip(target.type))


@lru_cache(maxsize=4096)
def _holds_fields(btf: Btf, number: int) -> bool:
    """Whether a type is worth a walk: a small one may stand for very many members."""
    type_ = btf[btf.strip(number)]
    if type_.kind is Kind.ARRAY:
        return _holds_fields(btf, type_.type)
    if type_.kind in COMPOSITE:
        return type_.name in SPECIAL or any(_holds_fields(btf, member.type) for member in type_.members)
    return type_.kind is Kind.DATASEC or (type_.kind is Kind.PTR and btf[type_.type].kind is Kind.TYPE_TAG)


def of_value(map_: Map, btf: Btf | None) -> tuple[Field, ...]:
    """The fields of a map's value, in the order of their offsets."""
    if map_.lock is None and map_.timer is None and not (map_.value_type and btf is not None):
        return ()
    return _of(map_.lock, map_.timer, map_.value_type, btf)


def find(map_: Map, btf: Btf | None, kind: str) -> Field | None:
    """The field of a kind, None where the value has none."""
    return next((field for field in of_value(map_, btf) if field.kind == kind), None)


def has_timers(map_: Map, btf: Btf | None) -> bool:
    """Whether an inner map must be told from others, because something in it calls back."""
    return any(field.kind in ("bpf_timer", "bpf_wq", "bpf_task_work") for field in of_value(map_, btf))


def may_hold_lock(reg: Reg, btf: Btf | None) -> bool:
    """Whether a pointer keeps its id, because a lock lies where it points."""
    if reg.type & BASE == MAP_VALUE and isinstance(reg.of, Map):
        return any(field.kind in LOCKS for field in of_value(reg.of, btf))
    if reg.type & BASE == BTF and reg.type & ALLOC and isinstance(reg.of, Btf):
        return any(field.kind in LOCKS for field in _of(None, None, reg.aux, reg.of))
    return False


def accessed(env: Env, reg: Reg, field: Field, off: int, size: int, direct: bool) -> None:
    """A field is loaded, stored or given to a helper. Raises Rejection unless it is a pointer, and that whole."""
    word = field.word
    if not field.is_pointer:
        raise Rejection(EACCES, f"{word} cannot be accessed directly by load/store", env.pc)
    if not direct:
        raise Rejection(EACCES, f"{word} cannot be accessed indirectly by helper", env.pc)
    if reg.num.mask:
        raise Rejection(EACCES, f"{word} access cannot have variable offset", env.pc)
    if field.offset != off + reg.num.value:
        raise Rejection(EACCES, f"{word} access misaligned expected={field.offset} off={off + reg.num.value}", env.pc)
    if size != 8:
        raise Rejection(EACCES, f"{word} access size must be BPF_DW", env.pc)


def pointer_at(map_: Map, btf: Btf | None, off: int) -> Field | None:
    """The pointer at an offset of a map's value."""
    return next((field for field in of_value(map_, btf) if field.is_pointer and field.offset == off), None)


def of_object(btf: Btf, number: int) -> tuple[Field, ...]:
    """The fields of a structure that a program allocates."""
    return _of(None, None, number, btf)
