"""What a pointer argument of a kernel function is meant to be, by its prototype and by what the register holds.

Source: get_kfunc_ptr_arg_type of Linux 6.18.
"""

from __future__ import annotations

from bpf.object.btf import ENUMS, Btf, Kind
from bpf.spec.errno import EINVAL
from bpf.spec.kfunc_signatures import KfuncSignature, Parameter
from verifier import iterators
from verifier.env import Env
from verifier.kernel_types import kernel_types
from verifier.rejection import Rejection
from verifier.state import ZERO, Reg
from verifier.types import (
    ALLOC,
    BASE,
    BTF,
    FLAGS,
    MAP_PTR,
    NON_OWNING,
    SCALAR,
    SOCK_COMMON,
    SOCKET,
    TCP_SOCK,
    TRUSTED,
)

TRUSTING = ALLOC | TRUSTED | NON_OWNING
"""Flags that leave a pointer to a structure one to be trusted."""

KERNEL = {SOCKET: "sock", SOCK_COMMON: "sock_common", TCP_SOCK: "tcp_sock", MAP_PTR: "bpf_map"}
"""Registers that are pointers to one of the kernel's structures without saying so."""
_CONTEXTS = {"kprobe": "bpf_user_pt_regs_t", "perf_event": "bpf_perf_event_data"}
_OBJECTS = {
    "bpf_list_head": "root", "bpf_rb_root": "root", "bpf_list_node": "list node", "bpf_rb_node": "tree node",
    "bpf_wq": "work", "bpf_task_work": "task work", "bpf_res_spin_lock": "lock", "bpf_dynptr": "dynptr",
}  # fmt: skip
_BY_SUFFIX = {"alloc": "object", "refcounted_kptr": "counted", "str": "string", "map": "map", "irq_flag": "irq flag"}
_SIZES = frozenset({"sz", "szk"})
_DEEPEST = 3  # structure within the outermost one
SCALARS = {
    "void": (0, "UNKNOWN", ""), "u8": (1, "INT", "unsigned char"), "char": (1, "INT", "char"),
    "u16": (2, "INT", "short unsigned int"), "__be16": (2, "INT", "short unsigned int"), "int": (4, "INT", "int"),
    "u32": (4, "INT", "unsigned int"), "u64": (8, "INT", "long long unsigned int"),
    "unsigned long": (8, "INT", "long unsigned int"), "func": (0, "FUNC_PROTO", ""),
}  # fmt: skip


def is_null(reg: Reg) -> bool:
    """Whether a register is the constant 0."""
    return reg.type == SCALAR and reg.num == ZERO


def is_trusted(reg: Reg) -> bool:
    """Whether a pointer is safe to give to any function."""
    flags = reg.type & FLAGS
    if reg.ref:
        return True
    if reg.type & BASE in KERNEL and not flags & ~TRUSTING:
        return True
    return bool(flags & TRUSTING) and not flags & ~TRUSTING


def sort(env: Env, one: KfuncSignature, at: int, parameter: Parameter, reg: Reg) -> str:
    """What a pointer argument is: the name of a check in kfunc_args.py, or "null". Raises Rejection."""
    if one.name == "bpf_cast_to_kern_ctx":
        return "context"
    behind = one.parameters[at + 1] if at + 1 < len(one.parameters) else None
    sized = behind is not None and behind.suffix in _SIZES and env.state.frames[-1].regs[at + 2].type == SCALAR
    struct = parameter.struct
    if struct and struct == context_type(env):
        return "context"
    if parameter.suffix == "nullable" and is_null(reg) and not sized:
        return "null"
    if parameter.suffix in ("alloc", "refcounted_kptr"):
        return _BY_SUFFIX[parameter.suffix]
    if struct == "bpf_dynptr":
        return "dynptr"
    if iterators.is_iterator(one, at + 1):
        return "iterator"
    if struct in ("bpf_list_head", "bpf_rb_root", "bpf_list_node", "bpf_rb_node"):
        return _OBJECTS[struct]
    if parameter.suffix in ("str", "map"):
        return _BY_SUFFIX[parameter.suffix]
    if struct in _OBJECTS:
        return _OBJECTS[struct]
    if parameter.suffix in _BY_SUFFIX:
        return _BY_SUFFIX[parameter.suffix]
    base = reg.type & BASE
    kind, word = described(parameter)
    if base == BTF or base in KERNEL:
        if kind != "STRUCT":
            text = f"kernel function {one.name} args#{at} pointer type {kind} {word} is not supported"
            raise Rejection(EINVAL, text, env.pc)
        return "struct"
    if parameter.type == "func":
        return "callback"
    if not _is_plain(env, parameter) and not (sized and parameter.type == "void"):
        void = "void, " if sized else ""
        text = f"arg#{at} pointer type {kind} {word} must point to {void}scalar, or struct with scalar"
        raise Rejection(EINVAL, text, env.pc)
    return "sized" if sized else "memory"


def described(parameter: Parameter) -> tuple[str, str]:
    """What a pointer points to, as the kernel's sentences have it: "STRUCT", "task_struct"."""
    if parameter.struct:
        return parameter.type.split()[0].upper(), parameter.struct
    if parameter.is_enum:
        return "ENUM", parameter.type.split()[1]
    _, kind, word = SCALARS[parameter.type]
    return kind, word


def context_type(env: Env) -> str:
    """The structure that a program's context is."""
    kind = env.subject.type
    return _CONTEXTS.get(kind.name, kind.context if kind.name != "syscall" else "")


def structure(parameter: Parameter) -> tuple[Btf, int] | None:
    types = kernel_types()
    number = types.find(parameter.struct, Kind.STRUCT, Kind.UNION) if types is not None else None
    return None if types is None or number is None else (types, number)


def _is_plain(env: Env, parameter: Parameter) -> bool:
    """Whether something holds numbers alone, so that any memory will do."""
    if not parameter.struct:
        return parameter.type not in ("void", "func")
    found = structure(parameter)
    return found is not None and found[0][found[1]].kind is Kind.STRUCT and plain_struct(env, *found)


def plain_struct(env: Env, btf: Btf, number: int, depth: int = 0) -> bool:
    """Whether a structure holds numbers alone, through arrays and up to four structures deep, which the log says."""
    for member in btf[number].members:
        inner = btf.strip(member.type)
        one = btf[inner]
        if one.kind in (Kind.STRUCT, Kind.UNION):
            if depth == _DEEPEST:
                if env.level:
                    env.log.add("max struct nesting depth exceeded")
                return False
            if not plain_struct(env, btf, inner, depth + 1):
                return False
            continue
        if one.kind is Kind.ARRAY:
            if not one.count:
                return False
            one = btf[btf.strip(one.type)]
        if one.kind is not Kind.INT and one.kind not in ENUMS:
            return False
    return True
