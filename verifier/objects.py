"""Pointers to the kernel's structures as registers: loads and stores through them, through maps, and its variables.

Source: check_ptr_to_btf_access, check_ptr_to_map_access and check_pseudo_btf_id of Linux 6.18.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from bpf.object.btf import COMPOSITE, Btf, Kind
from bpf.program import Map
from bpf.spec.errno import EACCES, EINVAL, ENOTSUPP, EPERM
from bpf.spec.map_structures import STRUCTURES
from bpf.spec.signatures import Kind as Argument
from verifier import btf_walk, btf_write, fields, kptr, precision
from verifier.btf_match import matches
from verifier.btf_walk import Loaded
from verifier.env import Env
from verifier.kernel_types import kernel_types
from verifier.log import tnum_text
from verifier.raw import Raw
from verifier.registers import unmoved
from verifier.rejection import Rejection
from verifier.rules import gpl_compatible
from verifier.state import ANY, ZERO, Reg
from verifier.types import ALLOC, BASE, BTF, MAYBE_NULL, MEM, PERCPU, RCU, RDONLY, SCALAR, TRUSTED, name

if TYPE_CHECKING:
    from verifier.arguments import Call


def access(env: Env, number: int, reg: Reg, off: int, size: int, write: bool, value: int) -> None:
    """An access through a BTF pointer; off: its fixed offset and the instruction's. Raises Rejection."""
    btf, structure = reg.of, reg.aux
    assert isinstance(btf, Btf)
    kernel = btf is kernel_types()
    moved = tnum_text(reg.num) if reg.num.mask or reg.num.value else ""
    gpl = gpl_compatible(env.subject.license)
    try:
        btf_walk.check(btf, structure, reg.type, number, off, variable=moved, perfmon=env.leaks, gpl=gpl, kernel=kernel)
        if reg.type & ALLOC:
            _whole(btf, structure, off, size)
        if write:
            btf_write.check_write(env.subject, btf, structure, reg.type, off, size)
            return
        found = btf_walk.load(btf, structure, reg.type, off, size, rcu=in_rcu(env), ref=reg.ref)
    except Rejection as refused:
        raise Rejection(refused.errno, refused.message, env.pc) from None
    if value >= 0:
        env.set(value, _loaded(env, found, btf))


def _whole(btf: Btf, structure: int, off: int, size: int) -> None:
    """An access of what a program has allocated leaves locks, list nodes and the like alone. Raises Rejection."""
    for field in fields.of_object(btf, structure):
        if off < field.offset + field.size and field.offset < off + size:
            raise Rejection(EACCES, f"direct access to {field.word} is disallowed")


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


def kernel_object(env: Env, struct: str, type_: int = BTF, id_: int = 0) -> Reg:
    """A pointer to one of the kernel's structures, by its name. Raises Rejection."""
    types = kernel_types()
    number = types.find(struct, Kind.STRUCT) if types is not None else None
    if number is None:
        raise Rejection(EINVAL, f"struct {struct} is not known", env.pc)
    return of_kernel(number, type_, id_)


def argument(env: Env, made: Call, number: int, reg: Reg, kind: Argument, base: str) -> None:
    """A BTF pointer as an argument of a helper: of the structure that it takes. Raises Rejection."""
    type_ = reg.type
    if type_ & (PERCPU | ALLOC):
        if type_ & ALLOC and made.name == "kptr_xchg" and number == 2:
            assert made.field is not None
            kptr.check_type(env, number, reg, made.field)
        return
    release = "OBJ_RELEASE" in kind.flags
    if type_ & MAYBE_NULL and ("PTR_MAYBE_NULL" not in kind.flags or release):
        raise Rejection(EACCES, f"Possibly NULL pointer passed to helper arg{number}", env.pc)
    if made.name == "kptr_xchg":
        if made.field is not None:
            kptr.check_type(env, number, reg, made.field)
        return
    types, wanted = kernel_types(), kind.btf or "sock_common"
    to = types.find(wanted, Kind.STRUCT) if types is not None else None
    assert isinstance(reg.of, Btf)
    if types is None or to is None:
        raise Rejection(EINVAL, f"struct {wanted} is not known", env.pc)
    strict = release and made.name != "sk_release"
    found, said = matches(reg.of, reg.aux, reg.off, types, to, strict=strict)
    if not found:
        text = f"R{number} is of type {reg.of[reg.aux].name} but {wanted} is expected"
        raise Rejection(EACCES, said + text, env.pc)


def exchange(env: Env, made: Call, number: int, reg: Reg) -> None:
    """The field of bpf_kptr_xchg's first argument. Raises Rejection."""
    made.field = kptr.exchanged(env, number, reg)


def result(env: Env, made: Call, kind: Argument, flags: int) -> Reg:
    """What a helper gives that returns an object. Raises Rejection."""
    if kind.base == "RET_PTR_TO_MEM_OR_BTF_ID":
        assert made.object is not None
        btf, number = made.object
        inner = btf[btf.strip(number)]
        if inner.kind not in COMPOSITE:
            return Reg(MEM | flags, ZERO, 0, 0, 0, None, btf.size(number))
        if btf is not kernel_types():  # the program's own, one for each CPU
            return Reg(BTF | ALLOC | RCU | flags & ~RDONLY, ZERO, 0, 0, 0, btf, number)
        return Reg(BTF | flags & ~RDONLY, ZERO, 0, 0, 0, btf, number)
    if made.field is not None:
        btf, number = kptr.pointee(env, made.field)
        if btf is not kernel_types():
            flags |= ALLOC | (PERCPU if made.field.kind == "percpu_kptr" else 0)
        return Reg(BTF | flags, ZERO, 0, 0, 0, btf, number)
    types = kernel_types()
    found = types.find(kind.btf, Kind.STRUCT) if types is not None else None
    if found is None:
        raise Rejection(EINVAL, f"invalid return type 0 of func bpf_{made.name}#{made.number}", env.pc)
    return Reg(BTF | flags, ZERO, 0, 0, 0, types, found)


def variable(env: Env, raw: Raw) -> Reg:
    """What an lddw of one of the kernel's variables or functions gives; references.py has looked whether it is one."""
    if env.pc in env.subject.kfuncs:
        return Reg(MEM | RDONLY, ZERO)
    types, number = kernel_types(), raw.imm
    assert types is not None
    one = types[number]
    if one.kind is Kind.FUNC:
        return Reg(MEM | RDONLY, ZERO)
    section = types.find(".data..percpu", Kind.DATASEC)
    if section is not None and any(placed.type == number for placed in types[section].variables):
        return Reg(BTF | PERCPU, ZERO, 0, 0, 0, types, one.type)
    if types[types.strip(one.type)].kind in COMPOSITE:
        return Reg(BTF, ZERO, 0, 0, 0, types, one.type)
    return Reg(MEM | RDONLY, ZERO, 0, 0, 0, None, types.size(one.type))


def match(env: Env, number: int, reg: Reg, to: int, null: bool) -> None:
    """An argument of a global function that takes a pointer to one of the kernel's types. Raises Rejection."""
    if null and reg.type == SCALAR and reg.num == ZERO:
        precision.register(env, number)
        return
    type_ = reg.type & ~MAYBE_NULL if null else reg.type
    if type_ not in (BTF, BTF | TRUSTED, BTF | RCU) or not isinstance(reg.of, Btf):
        words = ", ".join(name(one) for one in (BTF, BTF | TRUSTED, BTF | RCU))
        raise Rejection(EACCES, f"R{number} type={name(reg.type)} expected={words}", env.pc)
    types = kernel_types()
    assert types is not None
    found, said = matches(reg.of, reg.aux, reg.off, types, to, strict=False)
    if not found:
        text = f"R{number} is of type {reg.of[reg.aux].name} but {types[to].name} is expected"
        raise Rejection(EACCES, said + text, env.pc)
    unmoved(env, number, reg, fixed_allowed=True)
