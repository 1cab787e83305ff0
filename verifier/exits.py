"""What may be in R0 when a program, or a callback that runs on its own, ends.

Source: check_return_code of Linux 6.18.
"""

from __future__ import annotations

from bpf.spec.errno import EACCES, EINVAL
from verifier import precision, rules
from verifier.env import Env
from verifier.registers import readable
from verifier.rejection import Rejection
from verifier.rules import Range
from verifier.state import Reg
from verifier.types import SCALAR, name


def check_return(env: Env, number: int = 0) -> None:
    """R0 at the exit of the first frame, or what the register holds that is thrown. Raises Rejection."""
    frame = env.state.frames[0]
    function = frame.subprog != 0 and not frame.exception
    if not function and rules.returns_nothing(env.subject, void=env.void):
        return
    reg = readable(env, number)
    if env.is_pointer(reg):
        raise Rejection(EACCES, f"R{number} leaks addr as return value", env.pc)
    if frame.asynchronous:
        allowed = None if frame.returns is None else Range(*frame.returns)
        when = "At async callback return"
    elif function:
        if reg.type != SCALAR:
            text = f"At subprogram exit the register R{number} is not a scalar value ({name(reg.type)})"
            raise Rejection(EINVAL, text, env.pc)
        return
    else:
        allowed, when = rules.return_range(env.subject, void=env.void), "At program exit"
    if allowed is not None:
        check_range(env, reg, allowed, when, number)


def check_range(env: Env, reg: Reg, allowed: Range, when: str, number: int = 0) -> None:
    """A register lies in a range. Raises Rejection."""
    if reg.type != SCALAR:
        raise Rejection(EINVAL, f"{when} the register R{number} is not a known value ({name(reg.type)})", env.pc)
    precision.register(env, number)
    num = reg.num
    low, high = (num.s32min, num.s32max) if allowed.half else (num.smin, num.smax)
    if not allowed.low <= low <= high <= allowed.high:
        text = rules.out_of_range(num.smin, num.smax, allowed, when=when, register=f"R{number}")
        if env.void:
            text += f"\n{rules.NO_EFFECT}"
        raise Rejection(EINVAL, text, env.pc)
