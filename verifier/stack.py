"""The stack: what a store leaves in its slots and a load finds there.

Source: check_stack_read, check_stack_write and check_stack_range_initialized of Linux 6.18. An offset is counted from
the frame pointer and negative; byte `off` is kind number (-off - 1) % 8 of slot (-off - 1) // 8.
"""

from __future__ import annotations

from bpf.isa.effects import signed
from bpf.spec.errno import EACCES, EFAULT, EINVAL
from verifier import dynptrs, fastcall, precision
from verifier.env import Env
from verifier.log import tnum_text
from verifier.registers import with_id
from verifier.rejection import Rejection
from verifier.scalar import constant
from verifier.state import (
    ANY,
    DYNPTR_SLOT,
    INVALID,
    IRQ_FLAG,
    ITER_SLOT,
    MAX_STACK,
    MAX_VAR_OFF,
    MISC,
    SPILL,
    SPILL_KINDS,
    UNINIT,
    ZERO,
    ZEROS,
    Frame,
    Reg,
    Slot,
)  # fmt: skip
from verifier.types import NOT_INIT, SCALAR, STACK

READ, WRITE = False, True
_SPECIAL = frozenset({SPILL, DYNPTR_SLOT, ITER_SLOT, IRQ_FLAG})
_ZERO = Reg(SCALAR, ZERO)


def frame_of(env: Env, reg: Reg) -> Frame:
    """The frame that a stack pointer points into."""
    return env.state.frames[reg.aux]


def is_spilled(slot: Slot) -> bool:
    """Whether a register is saved in a slot."""
    return slot.kinds[7] == SPILL


def width(reg: Reg) -> int:
    """How many bits a register's value takes."""
    return reg.num.umax.bit_length()


def within(env: Env, number: int, off: int, size: int, write: bool) -> None:
    """An access lies in the stack, which then reaches that far down. Raises Rejection."""
    reg = env.state.frames[-1].regs[number]
    frame = frame_of(env, reg)
    way = "write to" if write else "read from"
    num = reg.num
    if num.mask == 0:
        low = signed(num.value, 64) + off
        high = low + size
    else:
        if num.smax >= MAX_VAR_OFF or num.smin <= -MAX_VAR_OFF:
            raise Rejection(EACCES, f"invalid unbounded variable-offset {way} stack R{number}", env.pc)
        low, high = num.smin + off, num.smax + off + size
    deepest = -MAX_STACK if write or env.uninit else -8 * len(frame.stack)
    errno = EACCES if not deepest <= low <= -1 else EINVAL if high > 0 else EFAULT if size < 0 else 0
    if errno:
        if num.mask == 0:
            text = f"invalid {way} stack R{number} off={low} size={size}"
        else:
            text = f"invalid variable-offset {way} stack R{number} var_off={tnum_text(num)} off={off} size={size}"
        raise Rejection(errno, text, env.pc)
    frame.grow((-low + 7) // 8)
    subprogram = env.structure.subprograms[frame.subprog]
    subprogram.stack = max(subprogram.stack, -low)


# Writing -----------------------------------------------------------------------------------------


def _touch(env: Env, frame: Frame, off: int) -> None:
    """An access reaches down to an offset."""
    subprogram = env.structure.subprograms[frame.subprog]
    if off < subprogram.fastcall_stack:
        fastcall.touched(env.structure, subprogram, env.pc)


def write(env: Env, number: int, off: int, size: int, value: int) -> None:
    """Store register `value` (-1: none, an immediate or an atomic's result) through stack pointer `number`."""
    reg = env.state.frames[-1].regs[number]
    if reg.num.mask == 0:
        write_at(env, frame_of(env, reg), off + signed(reg.num.value, 64), size, value)
    else:
        _write_somewhere(env, reg, off, size, value)


def _immediate(env: Env) -> int | None:
    """What the instruction stores, if that is an immediate."""
    raw = env.structure.raws[env.pc]
    return raw.imm if raw.code & 7 == 2 else None  # class ST


def write_at(env: Env, frame: Frame, off: int, size: int, value: int) -> None:
    """Store to a fixed offset. Raises Rejection."""
    _touch(env, frame, off)
    at = -off - 1
    index = at // 8
    slot = frame.stack[index]
    if not env.leaks and is_spilled(slot) and slot.reg.type != SCALAR and size != 8:
        raise Rejection(EACCES, "attempt to corrupt spilled pointer on stack", env.pc)
    running = env.state.frames[-1]
    reg = running.regs[value] if value >= 0 else None
    if not env.spec_v4:
        kinds = slot.kinds
        if (reg is not None and reg.type not in (SCALAR, NOT_INIT)) or any(
            kinds[(at - i) % 8] not in (MISC, ZEROS) for i in range(size)
        ):
            env.aux[env.pc].nospec_result = True
    dynptrs.destroy_slot(env, frame, index)
    if size == 8 and off % 8 == 0:
        env.live.wrote(frame.number, 1 << index)
    slot = frame.stack[index]
    env.scratched_slots |= 1 << index
    aligned = off % 8 == 0
    immediate = _immediate(env)
    if reg is not None and aligned and reg.type == SCALAR and env.capable:
        fits = width(reg) <= 8 * size
        if fits:
            reg = with_id(env, reg)
            running.regs[value] = reg
        _save(frame, index, reg if fits else reg.identified(0), size)
    elif reg is None and aligned and immediate is not None and env.capable:
        _save(frame, index, Reg(SCALAR, constant(immediate)), size)
    elif reg is not None and reg.type not in (SCALAR, NOT_INIT):
        if size != 8:
            raise Rejection(EACCES, "invalid size of register spill", env.pc)
        if frame is not running and reg.type == STACK:
            raise Rejection(EINVAL, "cannot spill pointers to stack into stack frame of the caller", env.pc)
        _save(frame, index, reg, size)
    else:
        _write_data(env, frame, index, at, size, value, immediate)
        return
    env.history(slot=(frame.number, index))


def _write_data(env: Env, frame: Frame, index: int, at: int, size: int, value: int, immediate: int | None) -> None:
    """Bytes that are no register: they destroy what was there."""
    slot = frame.stack[index]
    kinds = _scrubbed(slot.kinds)
    kind = MISC
    reg = env.state.frames[-1].regs[value] if value >= 0 else None
    if (reg is not None and reg.type == SCALAR and reg.num == ZERO) or (reg is None and immediate == 0):
        if value >= 0:
            precision.register(env, value)
        kind = ZEROS
    for i in range(size):
        kinds[(at - i) % 8] = kind
    frame.stack[index] = Slot(bytes(kinds))


def _scrubbed(kinds: bytes) -> bytearray:
    """The bytes of a slot, where what was saved there as a whole is no more."""
    if kinds[7] in _SPECIAL:
        return bytearray(MISC if kind != INVALID else INVALID for kind in kinds)
    return bytearray(kinds)


def _save(frame: Frame, index: int, reg: Reg, size: int) -> None:
    """Spill a register; the bytes above one of fewer than eight are data."""
    if size == 8:
        frame.stack[index] = Slot(SPILL_KINDS, reg)
        return
    old = frame.stack[index].kinds
    above = bytes(kind if kind in (ZEROS, INVALID) else MISC for kind in old[: 8 - size])
    frame.stack[index] = Slot(above + bytes([SPILL]) * size, reg)


def _write_somewhere(env: Env, pointer: Reg, off: int, size: int, value: int) -> None:
    """Store to an offset that is not known: every byte it may reach is data then. Raises Rejection."""
    frame = frame_of(env, pointer)
    low, high = pointer.num.smin + off, pointer.num.smax + off + size
    _touch(env, frame, low)
    reg = env.state.frames[-1].regs[value] if value >= 0 else None
    zero = (reg is not None and reg.type == SCALAR and reg.num == ZERO) or (reg is None and _immediate(env) == 0)
    used = False
    for byte in range(low, high):
        dynptrs.destroy_slot(env, frame, (-byte - 1) // 8)
    for byte in range(low, high):
        index, place = divmod(-byte - 1, 8)
        slot = frame.stack[index]
        kind = slot.kinds[place]
        env.scratched_slots |= 1 << index
        if not env.leaks and kind not in (MISC, ZEROS):
            raise Rejection(
                EINVAL, f"spilled ptr in range of var-offset stack write; insn {env.pc}, ptr off: {byte}", env.pc
            )
        if zero and kind == SPILL and slot.reg.type == SCALAR and slot.reg.num == ZERO:
            used = True
            continue
        kinds = _scrubbed(slot.kinds)
        new = MISC
        if zero and kinds[place] == ZEROS:
            new, used = ZEROS, True
        if kind == INVALID and not env.uninit:
            raise Rejection(
                EINVAL,
                f"uninit stack in range of var-offset write prohibited for !root; insn {env.pc}, off: {byte}",
                env.pc,
            )
        kinds[place] = new
        frame.stack[index] = Slot(bytes(kinds))
    if used and value >= 0:
        precision.register(env, value)


# Reading -----------------------------------------------------------------------------------------


def read(env: Env, number: int, off: int, size: int, into: int) -> None:
    """Load through stack pointer `number` into register `into` (-1: into none). Raises Rejection."""
    reg = env.state.frames[-1].regs[number]
    num = reg.num
    if num.mask == 0:
        _read_at(env, frame_of(env, reg), off + signed(num.value, 64), size, into)
        return
    if into < 0:
        raise Rejection(
            EACCES,
            "variable offset stack pointer cannot be passed into helper function; "
            f"var_off={tnum_text(num)} off={off} size={size}",
            env.pc,
        )
    initialized(env, number, off, size, False, READ)
    _touch(env, frame_of(env, reg), num.smin + off)
    _read_bytes(env, frame_of(env, reg), num.smin + off, num.smax + off + size, into)


def _read_at(env: Env, frame: Frame, off: int, size: int, into: int) -> None:
    _touch(env, frame, off)
    at = -off - 1
    index = at // 8
    slot = frame.stack[index]
    kinds, reg = slot.kinds, slot.reg
    env.scratched_slots |= 1 << index
    env.live.read(env.state, env.pc, frame.number, 1 << index)
    if kinds[7] != SPILL:
        _check_bytes(env, kinds, at, off, size)
        if into >= 0:
            _read_bytes(env, frame, off, off + size, into)
        return
    spilled = 8 - kinds.index(SPILL)
    if size == 8 and spilled == 8:
        if into >= 0:
            env.set(into, reg)
        elif env.is_pointer(reg):
            raise Rejection(EACCES, f"leaking pointer from stack off {off}", env.pc)
        env.history(slot=(frame.number, index))
        return
    if reg.type != SCALAR:
        raise Rejection(EACCES, "invalid size of register fill", env.pc)
    if into < 0:
        return
    if size <= spilled and _is_low(env, off, size, spilled):
        if env.capable and size == 4 and spilled == 4 and width(reg) <= 32:
            new = with_id(env, reg)
            if new is not reg:
                frame.stack[index] = Slot(kinds, new)
                reg = new
        env.set(into, reg if width(reg) <= 8 * size else reg.identified(0))
        env.history(slot=(frame.number, index))
        return
    found = [kinds[(at - i) % 8] for i in range(size)]
    for i, kind in enumerate(found):
        if kind not in (SPILL, MISC, ZEROS) and not (kind == INVALID and env.uninit):
            raise Rejection(EACCES, f"invalid read from stack off {off}+{i} size {size}", env.pc)
    if found.count(SPILL) == size and reg.num.mask == 0 and reg.num.value == 0:
        env.set(into, _ZERO)
        env.history(slot=(frame.number, index))
    elif found.count(ZEROS) == size:
        env.set(into, _ZERO)
    else:
        env.set(into, ANY)


def _is_low(env: Env, off: int, size: int, spilled: int) -> bool:
    """Whether a load of part of a spilled register gets its low bytes."""
    return (off if env.subject.order == "little" else off - (spilled - size)) % 8 == 0


def _check_bytes(env: Env, kinds: bytes, at: int, off: int, size: int) -> None:
    for i in range(size):
        kind = kinds[(at - i) % 8]
        if kind not in (MISC, ZEROS) and not (kind == INVALID and env.uninit):
            raise Rejection(EACCES, f"invalid read from stack off {off}+{i} size {size}", env.pc)


def _read_bytes(env: Env, frame: Frame, low: int, high: int, into: int) -> None:
    """Data of the stack in a register: zero where all bytes are, else anything."""
    zeros = 0
    for byte in range(low, high):
        index, place = divmod(-byte - 1, 8)
        env.scratched_slots |= 1 << index
        if frame.slot(index).kinds[place] != ZEROS:
            break
        zeros += 1
    env.set(into, _ZERO if zeros == high - low else ANY)


# Helpers -----------------------------------------------------------------------------------------


def initialized(
    env: Env, number: int, off: int, size: int, zero_allowed: bool, write: bool, raw_mode: bool = False
) -> bool:
    """A helper reads or writes a range of stack through register `number`. Raises Rejection.

    raw_mode: the helper only writes, so nothing need be there; True is given back where that was used, and the caller
    marks the bytes as written after the call.
    """
    if size == 0 and not zero_allowed:
        raise Rejection(EACCES, "invalid zero-sized read", env.pc)
    within(env, number, off, size, write)
    reg = env.state.frames[-1].regs[number]
    frame = frame_of(env, reg)
    num = reg.num
    if num.mask == 0:
        low = high = signed(num.value, 64) + off
    else:
        if not env.spec_v1:
            raise Rejection(
                EACCES, f"R{number} variable offset stack access prohibited for !root, var_off={tnum_text(num)}", env.pc
            )
        raw_mode = False
        low, high = num.smin + off, num.smax + off
    if raw_mode:
        for byte in range(low, high + size):
            index, place = divmod(-byte - 1, 8)
            if index < len(frame.stack) and frame.stack[index].kinds[place] == DYNPTR_SLOT:
                raise Rejection(EACCES, f"potential write to dynptr at off={byte} disallowed", env.pc)
        return True
    stack = frame.stack
    touched = 0
    for byte in range(low, high + size):
        index, place = divmod(-byte - 1, 8)
        if index >= len(stack):
            raise Rejection(EFAULT, "allocated_stack too small", env.pc)
        slot = stack[index]
        kind = slot.kinds[place]
        if kind == MISC:
            pass
        elif kind == ZEROS or (kind == INVALID and env.uninit):
            if write:
                kinds = bytearray(slot.kinds)
                kinds[place] = MISC
                stack[index] = Slot(bytes(kinds), slot.reg)
        elif slot.kinds[7] == SPILL and (slot.reg.type == SCALAR or env.leaks):
            if write:
                kinds = bytearray(MISC if old != INVALID else INVALID for old in slot.kinds)
                stack[index] = Slot(bytes(kinds), UNINIT)
        else:
            if num.mask == 0:
                text = f"invalid read from stack R{number} off {low}+{byte - low} size {size}"
            else:
                text = f"invalid read from stack R{number} var_off {tnum_text(num)}+{byte - low} size {size}"
            raise Rejection(EACCES, text, env.pc)
        touched |= 1 << index
    env.live.read(env.state, env.pc, frame.number, touched)
    return False


def written(env: Env, reg: Reg, size: int) -> None:
    """A helper has written `size` bytes to where a stack pointer points: they are data."""
    off = reg.off + signed(reg.num.value, 64)
    frame = frame_of(env, reg)
    for byte in range(off, off + size):
        write_at(env, frame, byte, 1, -1)
