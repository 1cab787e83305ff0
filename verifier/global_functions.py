"""Global functions: verified on their own, for any arguments that their prototype allows.

A call of one is checked against the prototype and not followed. Source: btf_prepare_func_args, btf_check_func_arg_match
and do_check_common of Linux 6.18. One thing is refused that Linux lets through: the constant null for memory that is
tagged as never null, which the function then reads without a look. A null that is taken is marked precise.
"""

from __future__ import annotations

from typing import NamedTuple

from bpf.object.btf import ENUMS, LINKAGE, Btf, Kind
from bpf.spec.errno import EINVAL
from verifier import memory, nullness, objects, precision
from verifier.env import Env
from verifier.registers import passed, unmoved
from verifier.rejection import Rejection
from verifier.state import ANY, ZERO, Dynptr, Frame, Reg, State
from verifier.types import ARENA, BTF, CTX, DYNPTR, MAYBE_NULL, MEM, SCALAR, TRUSTED

_MOST = 5
_TAG = "arg:"
_OTHER_CONTEXTS = {"kprobe": "bpf_user_pt_regs_t", "perf_event": "bpf_perf_event_data", "syscall": ""}
_UNSUPPORTED = "Global function {0}() doesn't return scalar. Only those are supported."


class Argument(NamedTuple):
    """What a parameter takes. kind: "number", "context", "memory", "dynptr", "object", "arena"; size: bytes of memory;
    null: it may be null; struct: name of an object's type.
    """

    kind: str
    size: int = 0
    null: bool = False
    struct: str = ""


def linkage(env: Env, subprog: int) -> str:
    """Say "static", "global" or "extern"; "" where no BTF says it."""
    number = _number(env, subprog)
    return LINKAGE[env.subject.btf[number].linkage] if env.subject.btf is not None and number else ""


def _number(env: Env, subprog: int) -> int:
    return env.subject.types.get(env.structure.starts[subprog], 0)


def is_global(env: Env, subprog: int) -> bool:
    """Whether a function is verified on its own."""
    return subprog > 0 and linkage(env, subprog) == "global"


def name(env: Env, subprog: int) -> str:
    """A function's name, as its BTF has it."""
    number = _number(env, subprog)
    return env.subject.btf[number].name if env.subject.btf is not None and number else ""


def check_callback(env: Env, subprog: int) -> None:
    """A function whose address is taken is static. Raises Rejection."""
    kind = linkage(env, subprog)
    if not kind:
        raise Rejection(EINVAL, "missing btf func_info", env.pc)
    if kind != "static":
        raise Rejection(EINVAL, "callback function not static", env.pc)


# Prototypes ------------------------------------------------------------------------------------------


def arguments(env: Env, subprog: int) -> tuple[Argument, ...]:
    """What a global function takes. Raises Rejection where it cannot be verified on its own."""
    found = env.prototypes.get(subprog)
    if found is None:
        found = env.prototypes[subprog] = _arguments(env, subprog)
    return found


def _arguments(env: Env, subprog: int) -> tuple[Argument, ...]:
    btf = env.subject.btf
    assert btf is not None
    number = _number(env, subprog)
    function = btf[number]
    prototype = btf[function.type]
    if len(prototype.params) > _MOST:
        count = len(prototype.params)
        raise Rejection(
            EINVAL, f"Global function {function.name}() with {count} > {_MOST} args. Buggy compiler.", env.pc
        )
    returned = btf[btf.strip(prototype.type)].kind if prototype.type else None
    if returned is not Kind.INT and returned not in ENUMS:
        raise Rejection(EINVAL, _UNSUPPORTED.format(function.name), env.pc)
    tags: dict[int, set[str]] = {}
    for one in btf.types:
        if one.kind is Kind.DECL_TAG and one.type == number and one.component >= 0 and one.name.startswith(_TAG):
            tags.setdefault(one.component, set()).add(one.name.removeprefix(_TAG))
    return tuple(
        _argument(env, btf, function.name, at, parameter.type, tags.get(at, set()))
        for at, parameter in enumerate(prototype.params)
    )


def _argument(env: Env, btf: Btf, function: str, at: int, number: int, tags: set[str]) -> Argument:
    type_ = btf[btf.strip(number)]
    if type_.kind is Kind.INT or type_.kind in ENUMS:
        return Argument("number")
    if type_.kind is not Kind.PTR:
        raise Rejection(EINVAL, f"Arg#{at} type {type_.kind.name} in {function}() is not supported yet.", env.pc)
    pointed = _bare(btf, type_.type)
    struct = btf[pointed].name if pointed else ""
    if "ctx" in tags or (struct and struct == _context(env)) or _typedef(btf, type_.type) == _context(env) != "":
        return Argument("context")
    if struct in {"bpf_dynptr", "bpf_dynptr_kern"}:
        return Argument("dynptr")
    null = "nonnull" not in tags
    if "trusted" in tags:
        return Argument("object", 0, "nullable" in tags, struct.split("___")[0])
    if "arena" in tags:
        return Argument("arena")
    if "nullable" in tags:
        raise Rejection(EINVAL, f"arg#{at} has invalid combination of tags", env.pc)
    try:
        size = btf.size(pointed) if pointed else 0
    except (ValueError, KeyError, IndexError):
        size = 0
    if not size:
        kind = btf[pointed].kind.name if pointed else "VOID"
        raise Rejection(EINVAL, f"arg#{at} reference type('{kind} {struct}') size cannot be determined: -22", env.pc)
    return Argument("memory", size, null)


def _bare(btf: Btf, number: int) -> int:
    return btf.strip(number) if number else 0


def _typedef(btf: Btf, number: int) -> str:
    """The name of the typedef that a pointer is to, "" for none."""
    while number and btf[number].kind in (Kind.CONST, Kind.VOLATILE, Kind.RESTRICT, Kind.TYPE_TAG):
        number = btf[number].type
    return btf[number].name if number and btf[number].kind is Kind.TYPEDEF else ""


def _context(env: Env) -> str:
    type_ = env.subject.type
    return _OTHER_CONTEXTS.get(type_.name, type_.context)


# Calls -----------------------------------------------------------------------------------------------


def check_call(env: Env, subprog: int) -> None:
    """The arguments of a call of a global function fit. Raises Rejection."""
    state = env.state
    if state.locks:
        raise Rejection(
            EINVAL, "global function calls are not allowed while holding a lock,\nuse static function instead", env.pc
        )
    if env.structure.subprograms[subprog].might_sleep and (
        state.rcu or state.preempt or state.irq or not state.sleepable
    ):
        raise Rejection(
            EINVAL,
            "global functions that may sleep are not allowed in non-sleepable context,\n"
            "i.e., in a RCU/IRQ/preempt-disabled section, or in\na non-sleepable BPF program context",
            env.pc,
        )
    try:
        _match(env, arguments(env, subprog))
    except Rejection as inner:
        text = f"{inner.message}\nCaller passes invalid args into func#{subprog} ('{name(env, subprog)}')"
        raise Rejection(inner.errno, text, env.pc) from None
    if env.level:
        env.log.add(f"Func#{subprog} ('{name(env, subprog)}') is global and assumed valid.")


def _match(env: Env, wanted: tuple[Argument, ...]) -> None:
    regs = env.state.frames[-1].regs
    for at, argument in enumerate(wanted):
        number, reg = at + 1, regs[at + 1]
        if argument.kind == "number":
            if reg.type != SCALAR:
                raise Rejection(EINVAL, f"R{number} is not a scalar", env.pc)
        elif argument.kind == "context":
            if reg.type != CTX:
                raise Rejection(EINVAL, f"arg#{at} expects pointer to ctx", env.pc)
            unmoved(env, number, reg)
        elif argument.kind == "memory":
            _match_memory(env, at, argument)
        elif argument.kind == "arena":
            if reg.type not in (ARENA, SCALAR):
                raise Rejection(EINVAL, f"R{number} is not a pointer to arena or scalar.", env.pc)
        elif argument.kind == "dynptr":
            objects.match_dynptr(env, number, reg)
        else:
            objects.match(env, number, reg, argument.struct, argument.null)


def _match_memory(env: Env, at: int, argument: Argument) -> None:
    regs = env.state.frames[-1].regs
    number, reg = at + 1, regs[at + 1]
    passed(env, number, reg)
    if reg.type == SCALAR and reg.num == ZERO:
        if argument.null:
            precision.register(env, number)  # no other number is taken for null
            return
        raise Rejection(EINVAL, f"arg#{at} is expected to be non-NULL", env.pc)
    if reg.type & MAYBE_NULL:
        regs[number] = nullness.not_null(env, reg)
    try:
        memory.for_helper(env, number, argument.size, False, True)
        memory.for_helper(env, number, argument.size, True, True)
    except Rejection as inner:
        raise Rejection(EINVAL, inner.message, env.pc) from None
    finally:
        if reg.type & MAYBE_NULL:
            regs[number] = reg
    if reg.type & MAYBE_NULL and not argument.null:
        raise Rejection(EINVAL, f"arg#{at} is expected to be non-NULL", env.pc)


def check_static_call(env: Env, subprog: int) -> None:
    """What is asked of a call of a static function: nothing, it is followed."""


# On their own ----------------------------------------------------------------------------------------


def entered(env: Env, subprog: int) -> State:
    """The state in which a global function is verified. Raises Rejection."""
    state = State()
    frame = Frame(0, subprog, -1)
    state.frames.append(frame)
    state.first = env.structure.starts[subprog]
    state.sleepable = env.subject.sleepable
    wanted = arguments(env, subprog)
    if env.structure.subprograms[subprog].exception:
        frame.exception = True
        if [argument.kind for argument in wanted] != ["number"]:
            raise Rejection(EINVAL, "exception cb only supports single integer argument", env.pc)
    for number, argument in enumerate(wanted, 1):
        frame.regs[number] = _given(env, argument)
    return state


def _given(env: Env, argument: Argument) -> Reg:
    if argument.kind == "number":
        return ANY
    if argument.kind == "context":
        return Reg(CTX)
    if argument.kind == "memory":
        if argument.null:
            return Reg(MEM | MAYBE_NULL, ZERO, 0, env.new_id(), 0, None, argument.size)
        return Reg(MEM, ZERO, 0, 0, 0, None, argument.size)
    if argument.kind == "arena":
        return Reg(ARENA, ANY.num)
    if argument.kind == "dynptr":
        return Reg(DYNPTR, ZERO, 0, env.new_id(), 0, Dynptr("local", True))
    null = MAYBE_NULL if argument.null else 0
    return objects.kernel_object(env, argument.struct, BTF | TRUSTED | null, env.new_id() if null else 0)
