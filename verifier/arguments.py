"""Arguments of helpers: each register is of a type that the helper takes, and what it points to can be read or written.

Source: check_func_arg and check_reg_type of Linux 6.18. One thing is done where Linux does not:
a null that is taken for a pointer is marked precise, so that a number which is no null is not pruned as covered by it.
"""

from __future__ import annotations

from functools import cache

from bpf.object.btf import Btf
from bpf.program import Map
from bpf.spec.errno import EACCES, EINVAL
from bpf.spec.signatures import EXPECTED, Kind, Signature
from verifier import dynptr_args, fields, graphs, locks, map_calls, memory, objects, precision, rules
from verifier.env import Env
from verifier.registers import passed, readable, unmoved
from verifier.rejection import Rejection
from verifier.state import ZERO, Owner, Reg
from verifier.types import (
    ALLOC,
    BASE,
    BTF,
    MAYBE_NULL,
    PACKETS,
    PERCPU,
    RDONLY,
    SCALAR,
    STACK,
    by_name,
    name,
)  # fmt: skip

_MAP_VALUES = frozenset({"ARG_PTR_TO_MAP_KEY", "ARG_PTR_TO_MAP_VALUE", "ARG_PTR_TO_MEM"})


class Call:
    """One call of a helper, as its arguments are checked.

    map, map_uid  the map it works on; key: a known key; ref: the reference of its argument
    raw           the memory argument need not be initialised; written, written_by: bytes that are marked as written
                  after the call, and the register they are at
    most          greatest size that it was given; mem_size: a constant size; function: its callback
    owner         dynptr that its result belongs to; dynptr: its initialized dynptr; makes: it makes one
    """

    __slots__ = (
        "dynptr",
        "field",
        "function",
        "key",
        "makes",
        "map",
        "map_uid",
        "mem_size",
        "most",
        "name",
        "number",
        "object",
        "owner",
        "raw",
        "ref",
        "signature",
        "written",
        "written_by",
    )  # fmt: skip

    def __init__(self, number: int, name_: str, signature: Signature) -> None:
        self.number = number
        self.name = name_
        self.signature = signature
        self.map: Map | None = None
        self.map_uid = 0
        self.key: int | None = None
        self.ref = 0
        self.raw = False
        self.written = -1
        self.written_by = 0
        self.most = -1
        self.mem_size = 0
        self.function = -1
        self.owner: Owner = None
        self.object: tuple[Btf, int] | None = None
        self.dynptr: Reg | None = None
        self.makes = False
        self.field: fields.Field | None = None


@cache
def _expected(base: str) -> tuple[int, ...]:
    return tuple(by_name(word) for word in EXPECTED[base].split(", "))


def check(env: Env, made: Call, number: int, kind: Kind) -> None:
    """One argument. Raises Rejection."""
    reg = readable(env, number)
    base, flags = kind.base, kind.flags
    if base == "ARG_ANYTHING":
        if env.is_pointer(reg):
            raise Rejection(EACCES, f"R{number} leaks addr into helper function", env.pc)
        return
    if reg.type in PACKETS and not rules.may_pass_packet(env.subject, made.signature.pkt_access):
        raise Rejection(EACCES, "helper access to the packet is not allowed", env.pc)
    if base == "ARG_PTR_TO_MAP_VALUE" and made.map is not None and map_calls.holds_sockets(made.map):
        if flags:
            raise Rejection(EINVAL, "invalid arg_type for sockmap/sockhash", env.pc)
        base = "ARG_PTR_TO_BTF_ID_SOCK_COMMON"
    null_allowed = "PTR_MAYBE_NULL" in flags
    is_null = reg.type == SCALAR and reg.num == ZERO
    if not (is_null and null_allowed):
        _type(env, made, number, reg, kind, base)
        _offset(env, number, reg, kind)
    elif base == "ARG_PTR_TO_MEM" and "MEM_FIXED_SIZE" not in flags:
        pass  # its size is 0, and marked
    elif base != "ARG_PTR_TO_STACK":  # which a callback is handed as it is
        precision.register(env, number)
    if "OBJ_RELEASE" in flags:
        if base == "ARG_PTR_TO_DYNPTR":
            dynptr_args.check_release(env, number, reg)
        elif not reg.ref and not is_null:
            raise Rejection(EINVAL, f"R{number} must be referenced when passed to release function", env.pc)
    if reg.ref and base != "ARG_KPTR_XCHG_DEST":
        if made.ref:
            raise Rejection(EACCES, f"more than one arg with ref_obj_id R{number} {reg.ref} {made.ref}", env.pc)
        made.ref = reg.ref
    handler = _ARGUMENTS.get(base)
    if handler is not None:
        handler(env, made, number, reg, kind)


def _type(env: Env, made: Call, number: int, reg: Reg, kind: Kind, base: str) -> None:
    """The register is of a type that the argument may have. Raises Rejection."""
    types = _expected(base)
    type_ = reg.type
    if "MEM_RDONLY" in kind.flags:
        type_ &= ~RDONLY
    if "PTR_MAYBE_NULL" in kind.flags:
        type_ &= ~MAYBE_NULL
    if made.name == "kptr_xchg" and number == 2:
        type_ &= ~(ALLOC | PERCPU)
    if type_ not in types:
        words = ", ".join(name(one) for one in types)
        raise Rejection(EACCES, f"R{number} type={name(reg.type)} expected={words}", env.pc)
    if reg.type & BASE == BTF:
        if base in _MAP_VALUES:
            if "MEM_RDONLY" not in kind.flags and base == "ARG_PTR_TO_MEM":
                raise Rejection(
                    EACCES,
                    f"bpf_{made.name}() may write into memory pointed by R{number} type={name(reg.type)}",
                    env.pc,
                )
            return
        objects.argument(env, made, number, reg, kind, base)


def _offset(env: Env, number: int, reg: Reg, kind: Kind) -> None:
    """The pointer may be moved as it is. Raises Rejection."""
    if "OBJ_RELEASE" in kind.flags:
        if kind.base == "ARG_PTR_TO_DYNPTR" and reg.type == STACK:
            return
        if reg.off:
            raise Rejection(
                EINVAL, f"R{number} must have zero offset when passed to release func or trusted arg to kfunc", env.pc
            )
        unmoved(env, number, reg)
    else:
        passed(env, number, reg)


def _map(env: Env, made: Call, number: int, reg: Reg, kind: Kind) -> None:
    map_ = reg.of
    assert isinstance(map_, Map)
    if made.map is not None and (made.map is not map_ or made.map_uid != reg.aux):
        raise Rejection(
            EINVAL,
            f"timer pointer in R1 map_uid={made.map_uid} doesn't match map pointer in R2 map_uid={reg.aux}",
            env.pc,
        )
    made.map, made.map_uid = map_, reg.aux


def _key(env: Env, made: Call, number: int, reg: Reg, kind: Kind) -> None:
    assert made.map is not None
    memory.for_helper(env, number, made.map.key_size, False, False)
    if map_calls.has_all_keys(made.map):
        made.key = map_calls.constant_key(env, env.state.frames[-1].regs[number], made.map.key_size)


def _value(env: Env, made: Call, number: int, reg: Reg, kind: Kind) -> None:
    if map_calls.holds_sockets(made.map):
        return
    if reg.type == SCALAR:  # a null that is allowed
        return
    assert made.map is not None
    only_read = made.map.kind == "bloom_filter" and made.name == "map_peek_elem"  # it asks for what is there
    made.raw = "MEM_UNINIT" in kind.flags and not only_read
    write = "MEM_WRITE" in kind.flags and not only_read
    if memory.for_helper(env, number, made.map.value_size, write, False, made.raw):
        made.written, made.written_by = made.map.value_size, number


def _memory(env: Env, made: Call, number: int, reg: Reg, kind: Kind) -> None:
    made.raw = "MEM_UNINIT" in kind.flags
    if "MEM_FIXED_SIZE" in kind.flags:
        write = "MEM_WRITE" in kind.flags
        if memory.for_helper(env, number, kind.size, write, False, made.raw):
            made.written, made.written_by = kind.size, number
        if "MEM_ALIGNED" in kind.flags:
            memory.aligned_access(env, env.state.frames[-1].regs[number], 0, kind.size, True)


def _size(env: Env, made: Call, number: int, reg: Reg, kind: Kind) -> None:
    before = made.signature.arguments[number - 2]
    made.most = reg.num.umax
    marked = memory.sized(
        env, number - 1, number, "MEM_WRITE" in before.flags, kind.base == "ARG_CONST_SIZE_OR_ZERO", made.raw
    )
    if marked >= 0:
        made.written, made.written_by = marked, number - 1


def _constant(env: Env, made: Call, number: int, reg: Reg, kind: Kind) -> None:
    if reg.num.mask:
        raise Rejection(EACCES, f"R{number} is not a known constant'", env.pc)
    made.mem_size = reg.num.value
    precision.register(env, number)


def _function(env: Env, made: Call, number: int, reg: Reg, kind: Kind) -> None:
    made.function = reg.aux


def _string(env: Env, made: Call, number: int, reg: Reg, kind: Kind) -> None:
    string(env, number, reg)


def string(env: Env, number: int, reg: Reg) -> None:
    """A constant string in a map that nobody writes. Raises Rejection."""
    map_ = reg.of
    assert isinstance(map_, Map)
    if not map_.readonly:
        raise Rejection(EACCES, f"R{number} does not point to a readonly map'", env.pc)
    if reg.num.mask:
        raise Rejection(EACCES, f"R{number} is not a constant address'", env.pc)
    if map_.kind != "array":
        raise Rejection(EACCES, "no direct value access support for this map type", env.pc)
    memory.map_access(env, number, reg, reg.off, map_.value_size - reg.off, False, direct=False)
    at = reg.off + reg.num.value
    if b"\0" not in map_.initial.ljust(map_.value_size, b"\0")[at:]:
        raise Rejection(EINVAL, "string is not zero-terminated", env.pc)


def _lock(env: Env, made: Call, number: int, reg: Reg, kind: Kind) -> None:
    if graphs.in_callback(env):
        raise Rejection(EACCES, "can't spin_{lock,unlock} in rbtree cb", env.pc)
    locks.process(env, number, reg, made.name == "spin_lock", "bpf_spin")


def _timer(env: Env, made: Call, number: int, reg: Reg, kind: Kind) -> None:
    made.map, made.map_uid = locks.work(env, number, reg, "bpf_timer")


def _dynptr(env: Env, made: Call, number: int, reg: Reg, kind: Kind) -> None:
    dynptr_args.check(env, made, number, reg, kind)


def _per_cpu(env: Env, made: Call, number: int, reg: Reg, kind: Kind) -> None:
    if not isinstance(reg.of, Btf):
        raise Rejection(EACCES, f"Helper has invalid btf_id in R{number}", env.pc)
    made.object = reg.of, reg.aux


def _exchange(env: Env, made: Call, number: int, reg: Reg, kind: Kind) -> None:
    objects.exchange(env, made, number, reg)


_ARGUMENTS = {
    "ARG_CONST_MAP_PTR": _map, "ARG_PTR_TO_MAP_KEY": _key, "ARG_PTR_TO_MAP_VALUE": _value, "ARG_PTR_TO_MEM": _memory,
    "ARG_CONST_SIZE": _size, "ARG_CONST_SIZE_OR_ZERO": _size, "ARG_CONST_ALLOC_SIZE_OR_ZERO": _constant,
    "ARG_PTR_TO_FUNC": _function, "ARG_PTR_TO_CONST_STR": _string, "ARG_PTR_TO_SPIN_LOCK": _lock,
    "ARG_PTR_TO_TIMER": _timer, "ARG_PTR_TO_DYNPTR": _dynptr, "ARG_PTR_TO_PERCPU_BTF_ID": _per_cpu,
    "ARG_KPTR_XCHG_DEST": _exchange,
}  # fmt: skip
