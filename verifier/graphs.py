"""Lists and trees of objects that a program allocates: their roots and nodes as arguments, and what is owned.

A node that a list or tree holds is the program's no longer: until the lock is released, pointers to it are non-owning.
Source: __process_kf_arg_ptr_to_graph_root, __process_kf_arg_ptr_to_graph_node, ref_set_non_owning of Linux 6.18.
"""

from __future__ import annotations

from typing import NamedTuple

from bpf.isa.effects import signed
from bpf.object.btf import Btf, Kind
from bpf.program import Map
from bpf.spec.errno import EINVAL
from verifier import fields, locks
from verifier.btf_match import matches
from verifier.env import Env, each_reg
from verifier.rejection import Rejection
from verifier.state import ZERO, Reg
from verifier.types import ALLOC, BTF, NON_OWNING, RCU

_NODES = {"bpf_list_head": "bpf_list_node", "bpf_rb_root": "bpf_rb_node"}
_CONTAINS = "contains:"


class Root(NamedTuple):
    """A list's head or a tree's root. kind: its struct; type: of what it holds; offset: of the node in that."""

    kind: str
    btf: Btf
    type: int
    offset: int


def _fields(env: Env, reg: Reg) -> tuple[fields.Field, ...]:
    if isinstance(reg.of, Map):
        return fields.of_value(reg.of, env.subject.btf)
    return fields.of_object(reg.of, reg.aux) if isinstance(reg.of, Btf) else ()


def _at(env: Env, number: int, reg: Reg, kind: str) -> tuple[fields.Field | None, int]:
    if reg.num.mask:
        text = f"R{number} doesn't have constant offset. {kind} has to be at the constant offset"
        raise Rejection(EINVAL, text, env.pc)
    off = reg.off + signed(reg.num.value, 64)
    return next((one for one in _fields(env, reg) if one.kind == kind and one.offset == off), None), off


def root(env: Env, number: int, reg: Reg, kind: str) -> Root:
    """A list's head or a tree's root as an argument. Raises Rejection."""
    found, off = _at(env, number, reg, kind)
    if found is None:
        raise Rejection(EINVAL, f"{kind} not found at offset={off}", env.pc)
    held = locks.holds_of(env, reg)
    if not held:
        said = "held lock and object are not in the same allocation\n" if held is None else ""
        lock = next((one.offset for one in _fields(env, reg) if one.kind in fields.LOCKS), -1)
        raise Rejection(EINVAL, f"{said}bpf_spin_lock at off={lock} must be held for {kind}", env.pc)
    btf = env.subject.btf if isinstance(reg.of, Map) else reg.of
    assert isinstance(btf, Btf)
    return _root(btf, found)


def _root(btf: Btf, found: fields.Field) -> Root:
    """What a field's tag says that it holds."""
    struct, _, member = found.contains.removeprefix(_CONTAINS).partition(":")
    number = btf.find(struct, Kind.STRUCT)
    assert number is not None
    offset = next((one.offset // 8 for one in btf[number].members if one.name == member), 0)
    return Root(found.kind, btf, number, offset)


def node(env: Env, number: int, reg: Reg, into: Root) -> None:
    """A node as an argument: one that the list or tree can hold. Raises Rejection."""
    kind = _NODES[into.kind]
    found, off = _at(env, number, reg, kind)
    if found is None:
        raise Rejection(EINVAL, f"{kind} not found at offset={off}", env.pc)
    wanted = into.btf[into.type].name
    assert isinstance(reg.of, Btf)
    if not matches(reg.of, reg.aux, 0, into.btf, into.type, strict=True)[0]:
        raise Rejection(
            EINVAL,
            f"operation on {into.kind} expects arg#1 {kind} at offset={into.offset} in struct {wanted}, "
            f"but arg is at offset={off} in struct {reg.of[reg.aux].name}",
            env.pc,
        )
    if off != into.offset:
        text = f"arg#1 offset={off}, but expected {kind} at offset={into.offset} in struct {wanted}"
        raise Rejection(EINVAL, text, env.pc)


def is_node(btf: Btf, number: int) -> bool:
    """Whether a list or tree can hold a structure."""
    return any(field.kind in _NODES.values() for field in fields.of_object(btf, number))


def element(of: Root) -> Reg:
    """A pointer to a node that a list or tree has given."""
    return Reg(BTF | ALLOC, ZERO, of.offset, 0, 0, of.btf, of.type)


def non_owning(reg: Reg) -> Reg:
    """A pointer to what a list or tree holds."""
    counted = isinstance(reg.of, Btf) and any(
        field.kind == "bpf_refcount" for field in fields.of_object(reg.of, reg.aux)
    )
    type_ = reg.type | NON_OWNING | (RCU if counted else 0)
    return Reg(type_, reg.num, reg.off, reg.id, 0, reg.of, reg.aux)


def given(env: Env, ref: int) -> None:
    """What a reference is of now belongs to a list or tree."""
    each_reg(env.state, lambda reg: non_owning(reg) if reg.ref == ref else reg)


def in_callback(env: Env) -> bool:
    """Whether the running function compares nodes for a tree, whose lock is held."""
    frame = env.state.frames[-1]
    return frame.callback and env.subject.kfuncs.get(frame.callsite) == "bpf_rbtree_add_impl"
