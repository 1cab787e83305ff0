"""Pointers to objects that are kept in maps (kptr, percpu_kptr, uptr): loaded, stored, exchanged.

Source: check_map_kptr_access, map_kptr_match_type and process_kptr_func of Linux 6.18.
"""

from __future__ import annotations

from bpf.isa import opcodes
from bpf.object.btf import Btf
from bpf.program import Map
from bpf.spec.errno import EACCES, EINVAL
from verifier import fields, graphs
from verifier.btf_match import matches
from verifier.env import Env
from verifier.fields import Field
from verifier.kernel_types import kernel_types
from verifier.registers import unmoved
from verifier.rejection import Rejection
from verifier.state import ZERO, Reg
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
    SCALAR,
    TRUSTED,
    UNTRUSTED,
    name,
)

_GUARDED = frozenset({"prog_test_ref_kfunc", "cgroup", "bpf_cpumask", "task_struct", "bpf_crypto_ctx"})
"""The kernel's objects that RCU keeps while they are read."""
_MODE = 0xE0  # of a load or store
_OWNED = ("kptr", "percpu_kptr")


def pointee(env: Env, field: Field) -> tuple[Btf, int]:
    """What a field points to: one of the kernel's structures, else one that the program allocates."""
    own, types = env.subject.btf, kernel_types()
    assert own is not None
    one = own[field.type]
    number = types.find(one.name, one.kind) if types is not None else None
    return (types, number) if types is not None and number is not None else (own, field.type)


def access(env: Env, reg: Reg, field: Field, write: bool, value: int) -> None:
    """A whole pointer in a map's value is loaded into register `value` or stored from it (-1: a constant)."""
    raw = env.structure.raws[env.pc]
    if raw.code & _MODE != opcodes.MEM:
        raise Rejection(EACCES, "kptr in map can only be accessed using BPF_MEM instruction mode", env.pc)
    if not write:
        if value >= 0:
            env.set(value, _loaded(env, field))
        return
    if field.kind in _OWNED:
        raise Rejection(EACCES, "store to referenced kptr disallowed", env.pc)
    if field.kind == "uptr":
        raise Rejection(EACCES, "store to uptr disallowed", env.pc)
    if raw.code & 7 == opcodes.ST:
        if raw.imm:
            text = f"BPF_ST imm must be 0 when storing to kptr at off={field.offset}"
            raise Rejection(EACCES, text, env.pc)
        return
    stored = env.state.frames[-1].regs[value]
    if stored.type == SCALAR and stored.num.mask == 0 and stored.num.value == 0:
        return
    check_type(env, value, stored, field)


def _loaded(env: Env, field: Field) -> Reg:
    btf, number = pointee(env, field)
    if field.kind == "uptr":
        return Reg(MEM | MAYBE_NULL, ZERO, 0, env.new_id(), 0, None, btf.size(number))
    own = btf is not kernel_types()
    state = env.state
    rcu = bool(state.rcu or state.locks) or not (env.subject.sleepable or state.sleepable)
    guarded = field.kind == "percpu_kptr" or (field.kind == "kptr" and (own or btf[number].name in _GUARDED))
    flags = UNTRUSTED
    if guarded and rcu:
        flags = RCU | (PERCPU if field.kind == "percpu_kptr" else ALLOC if own else 0)
        if own and graphs.is_node(btf, number):  # a list or tree may hold it as well
            flags |= NON_OWNING
    return Reg(BTF | MAYBE_NULL | flags, ZERO, 0, env.new_id(), 0, btf, number)


def check_type(env: Env, number: int, reg: Reg, field: Field) -> None:
    """A register can be put into a field. Raises Rejection."""
    btf, wanted = pointee(env, field)
    loose = field.kind == "kptr_untrusted"
    allowed = MAYBE_NULL | ALLOC | (PERCPU if field.kind == "percpu_kptr" else 0)
    if reg.of is kernel_types():
        allowed = MAYBE_NULL | TRUSTED | RCU | (UNTRUSTED if loose else 0)
    word, said = "", ""
    if reg.type & BASE == BTF and isinstance(reg.of, Btf) and not reg.type & FLAGS & ~allowed:
        word = reg.of[reg.aux].name
        unmoved(env, number, reg, fixed_allowed=True)
        found, said = matches(reg.of, reg.aux, reg.off, btf, wanted, strict=not loose)
        if found:
            return
    expected = f"ptr_{btf[wanted].name}"
    text = f"invalid kptr access, R{number} type={name(reg.type)}{word} expected={expected}"
    text += f" or untrusted_{expected}" if loose else ""
    raise Rejection(EACCES, said + text, env.pc)


def exchanged(env: Env, number: int, reg: Reg) -> Field:
    """The field that bpf_kptr_xchg is given the address of. Raises Rejection."""
    map_, own = reg.of, env.subject.btf
    if isinstance(map_, Map):
        if own is None or not map_.value_type:
            text = f"map '{map_.name}' has to have BTF in order to use bpf_kptr_xchg"
            raise Rejection(EINVAL, text, env.pc)
        found = fields.of_value(map_, own)
    else:
        assert isinstance(map_, Btf)
        found = fields.of_object(map_, reg.aux)
    if reg.num.mask:
        text = f"R{number} doesn't have constant offset. kptr has to be at the constant offset"
        raise Rejection(EINVAL, text, env.pc)
    pointers = [field for field in found if field.is_pointer and field.kind != "uptr"]
    if not pointers:
        raise Rejection(EINVAL, f"R{number} has no valid kptr", env.pc)
    off = reg.off + reg.num.value
    field = next((one for one in pointers if one.offset == off), None)
    if field is None:
        raise Rejection(EACCES, f"off={off} doesn't point to kptr", env.pc)
    if field.kind not in _OWNED:
        raise Rejection(EACCES, f"off={off} kptr isn't referenced kptr", env.pc)
    return field
