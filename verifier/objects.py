"""Pointers to the kernel's structures as registers: loads and stores through them, through maps, and its variables.

Source: check_ptr_to_btf_access, check_ptr_to_map_access and check_pseudo_btf_id of Linux 6.18.
"""

from __future__ import annotations

from errno import EACCES, EINVAL, ENOENT, EPERM

from bpf.object.btf import COMPOSITE, Btf, Kind
from bpf.program import Map
from bpf.spec.map_structures import STRUCTURES
from verifier import btf_walk, btf_write
from verifier.btf_walk import Loaded
from verifier.env import Env
from verifier.kernel_types import kernel_types
from verifier.log import tnum_text
from verifier.raw import Raw
from verifier.rejection import Rejection
from verifier.rules import gpl_compatible
from verifier.state import ANY, ZERO, Reg
from verifier.types import BASE, BTF, MAYBE_NULL, MEM, PERCPU, RDONLY, SCALAR

ENOTSUPP = 524


def access(env: Env, number: int, reg: Reg, off: int, size: int, write: bool, value: int) -> None:
    """An access through a BTF pointer; off: its fixed offset and the instruction's. Raises Rejection."""
    btf, structure = reg.of, reg.aux
    assert isinstance(btf, Btf)
    kernel = btf is kernel_types()
    moved = tnum_text(reg.num) if reg.num.mask or reg.num.value else ""
    gpl = gpl_compatible(env.subject.license)
    try:
        btf_walk.check(btf, structure, reg.type, number, off, variable=moved, perfmon=env.leaks, gpl=gpl, kernel=kernel)
        if write:
            btf_write.check_write(env.subject, btf, structure, reg.type, off, size)
            return
        found = btf_walk.load(btf, structure, reg.type, off, size, rcu=in_rcu(env), ref=reg.ref)
    except Rejection as refused:
        raise Rejection(refused.errno, refused.message, env.pc) from None
    if value >= 0:
        env.set(value, _loaded(env, found, btf))


def in_rcu(env: Env) -> bool:
    """Whether what RCU protects stays: in a read section, under a lock, or where nobody sleeps."""
    state = env.state
    return bool(state.rcu or state.locks) or not (env.subject.sleepable or state.sleepable)


def for_helper(env: Env, number: int, reg: Reg, size: int, write: bool) -> None:
    """A helper reads `size` bytes at a BTF pointer; it may not write there. Raises Rejection."""
    access(env, number, reg, reg.off, size, False, -1)


def map_access(env: Env, number: int, reg: Reg, off: int, size: int, write: bool, value: int) -> None:
    """A load from the structure of a map itself. Raises Rejection."""
    map_, types = reg.of, kernel_types()
    assert isinstance(map_, Map)
    word = STRUCTURES.get(map_.kind, "")
    if types is None:
        raise Rejection(ENOTSUPP, "map_ptr access not supported without CONFIG_DEBUG_INFO_BTF", env.pc)
    structure = types.find(word, Kind.STRUCT)
    if not env.leaks:
        text = f"'struct {word}' access is allowed only to CAP_PERFMON and CAP_SYS_ADMIN"
        raise Rejection(EPERM, text, env.pc)
    if off < 0:
        raise Rejection(EACCES, f"R{number} is {word} invalid negative access: off={off}", env.pc)
    if write:
        raise Rejection(EACCES, f"only read from {word} is supported", env.pc)
    if structure is None:
        raise Rejection(ENOTSUPP, f"map_ptr access not supported for map type {map_.kind}", env.pc)
    try:
        found = btf_walk.walk(types, structure, off, size)
    except Rejection as refused:
        raise Rejection(refused.errno, refused.message, env.pc) from None
    if value >= 0:
        env.set(value, _loaded(env, found, types))


def _loaded(env: Env, found: Loaded, btf: Btf) -> Reg:
    """A register for what a walk has found."""
    base = found.type & BASE
    if base == SCALAR:
        return ANY
    if base == MEM:
        return Reg(found.type, ZERO)
    return Reg(found.type, ZERO, 0, env.new_id() if found.type & MAYBE_NULL else 0, 0, btf, found.id)


def of_kernel(number: int, type_: int, id_: int) -> Reg:
    """A pointer to one of the kernel's structures. number: in the kernel's types."""
    return Reg(type_, ZERO, 0, id_, 0, kernel_types(), number)


def kernel_object(env: Env, struct: str) -> Reg:
    """A pointer to one of the kernel's structures that a callback is given. Raises Rejection."""
    types = kernel_types()
    number = types.find(struct, Kind.STRUCT) if types is not None else None
    if number is None:
        raise Rejection(EINVAL, f"struct {struct} is not known", env.pc)
    return of_kernel(number, BTF, 0)


def variable(env: Env, raw: Raw) -> Reg:
    """What an lddw of one of the kernel's variables or functions gives. Raises Rejection."""
    types, number = kernel_types(), raw.imm
    if types is None or not 0 < number < len(types):
        raise Rejection(ENOENT, f"ldimm64 insn specifies invalid btf_id {number}.", env.pc)
    one = types[number]
    if one.kind not in (Kind.VAR, Kind.FUNC):
        raise Rejection(EINVAL, f"pseudo btf_id {number} in ldimm64 isn't KIND_VAR or KIND_FUNC", env.pc)
    if one.kind is Kind.FUNC:
        return Reg(MEM | RDONLY, ZERO)
    section = types.find(".data..percpu", Kind.DATASEC)
    if section is not None and any(placed.type == number for placed in types[section].variables):
        return Reg(BTF | PERCPU, ZERO, 0, 0, 0, types, one.type)
    if types[types.strip(one.type)].kind in COMPOSITE:
        return Reg(BTF, ZERO, 0, 0, 0, types, one.type)
    return Reg(MEM | RDONLY, ZERO, 0, 0, 0, None, types.size(one.type))
