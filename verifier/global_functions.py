"""Global functions: verified on their own, for any arguments that their prototype allows.

A call of one is checked against the prototype and not followed. Source: btf_prepare_func_args, btf_check_func_arg_match
and do_check_common of Linux 6.18. One thing is refused that Linux lets through: the constant null for memory that is
tagged as never null, which the function then reads without a look. A null that is taken is marked precise.
"""

from __future__ import annotations

from collections.abc import Callable

from bpf.object.btf import LINKAGE
from bpf.spec.errno import EINVAL
from verifier import dynptr_args, dynptrs, memory, nullness, objects, precision
from verifier.env import Env
from verifier.prototype import Argument, prototype
from verifier.registers import passed
from verifier.rejection import Rejection
from verifier.state import ANY, ZERO, Dynptr, Frame, Reg, State
from verifier.types import ARENA, BTF, CTX, DYNPTR, MAYBE_NULL, MEM, RDONLY, SCALAR, TRUSTED, UNTRUSTED


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


def taken(env: Env, subprog: int) -> tuple[Argument, ...]:
    """What a function takes. Raises Rejection where its type does not say it, of a static one without a sentence."""
    found = env.prototypes.get(subprog)
    if found is None:
        try:
            found = env.prototypes[subprog] = prototype(env.subject, _number(env, subprog))
        except Rejection as refused:
            raise Rejection(refused.errno, refused.message, env.pc) from None
    return found


def note_entered(env: Env) -> None:
    """Have the log say what Linux finds wrong with the type of the program itself. Nothing comes of it."""
    if env.level and _number(env, 0):
        _noted(env, 0, lambda: taken(env, 0))


def _noted(env: Env, subprog: int, check: Callable[[], object]) -> None:
    """Have the log say why a type is not relied on, once."""
    try:
        check()
    except Rejection as doubt:
        env.unreliable[subprog] = doubt.message
        if doubt.message and env.level:
            env.log.add(doubt.message)


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
        _match(env, taken(env, subprog))
    except Rejection as inner:
        text = f"{inner.message}\nCaller passes invalid args into func#{subprog} ('{name(env, subprog)}')"
        raise Rejection(inner.errno, text, env.pc) from None
    if env.level:
        env.log.add(f"Func#{subprog} ('{name(env, subprog)}') is global and assumed valid.")


def _match(env: Env, wanted: tuple[Argument, ...], *, assumed: bool = True) -> None:
    """assumed: the function is one that is not followed."""
    regs = env.state.frames[-1].regs
    for at, argument in enumerate(wanted):
        number, reg = at + 1, regs[at + 1]
        if argument.kind == "number":
            if reg.type != SCALAR:
                raise Rejection(EINVAL, f"R{number} is not a scalar", env.pc)
        elif argument.kind == "context":
            passed(env, number, reg)
            if reg.type != CTX:
                raise Rejection(EINVAL, f"arg#{at} expects pointer to ctx", env.pc)
        elif argument.kind == "memory":
            passed(env, number, reg)
            _match_memory(env, at, argument, assumed=assumed)
        elif argument.kind == "arena":
            if reg.type not in (ARENA, SCALAR):
                raise Rejection(EINVAL, f"R{number} is not a pointer to arena or scalar.", env.pc)
        elif argument.kind == "dynptr":
            passed(env, number, reg)
            dynptr_args.use(env, number, reg, mutates=False)
            dynptrs.read(env, reg)
        elif argument.kind == "object":
            objects.match(env, number, reg, argument.number, argument.null)


def _match_memory(env: Env, at: int, argument: Argument, *, assumed: bool) -> None:
    regs = env.state.frames[-1].regs
    number, reg = at + 1, regs[at + 1]
    if reg.type == SCALAR and reg.num == ZERO:
        if argument.null:
            if assumed:
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


def note_static_call(env: Env, subprog: int) -> None:
    """Have the log say what Linux finds wrong with the arguments of a static function. The call is followed.

    Done without a log too: stack that may be written through an argument holds no known number after it.
    """
    if _number(env, subprog) and subprog not in env.unreliable:
        _noted(env, subprog, lambda: _match(env, taken(env, subprog), assumed=False))


# On their own ----------------------------------------------------------------------------------------


def entered(env: Env, subprog: int) -> State:
    """The state in which a global function is verified. Raises Rejection."""
    state = State()
    frame = Frame(0, subprog, -1)
    state.frames.append(frame)
    state.first = env.structure.starts[subprog]
    state.sleepable = env.subject.sleepable
    wanted = taken(env, subprog)
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
    if argument.kind == "untrusted memory":
        return Reg(MEM | RDONLY | UNTRUSTED, ZERO)
    if argument.kind == "untrusted object":
        return objects.of_kernel(argument.number, BTF | UNTRUSTED, env.new_id())
    null = MAYBE_NULL if argument.null else 0
    return objects.of_kernel(argument.number, BTF | TRUSTED | null, env.new_id())
