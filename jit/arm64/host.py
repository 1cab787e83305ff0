"""Entering compiled code on an arm64 host (AAPCS64). See jit/host.py.

x18 belongs to the platform (macOS changes it at any time): it is neither set nor looked at.
"""

from __future__ import annotations

import struct

from jit import host
from jit.arm64 import encode as e
from jit.arm64.encode import SP, ZR
from jit.arm64.immediates import constant
from jit.host import HostCode
from jit.target import Target

_BLOCK, _SCRATCH, LINK = 16, 17, 30
_ROOM = 96  # x19-x30
_PAIRS = tuple((register, register + 1, 16 * at) for at, register in enumerate(range(19, 30, 2)))
_BLR = 0xD63F0000
_PLATFORM = frozenset({"x18"})
_REGS, _PC = 184, 440  # of ucontext_t: uc_mcontext.regs and .pc
_SAVED = {"linux": {"pc": _PC, **{f"x{number}": _REGS + host.WORD * number for number in range(31)}}}


def _number(name: str) -> int:
    return int(name[1:])


def _words(*words: int) -> bytes:
    return struct.pack(f"<{len(words)}I", *words)


def _constant(register: int, value: int) -> list[int]:
    return [word | register for word in constant(value)]


def _load(register: int, word: int) -> int:
    return e.ldr(64, register, _BLOCK, host.WORD * word)


def _store(word: int, register: int) -> int:
    return e.str_(64, register, _BLOCK, host.WORD * word)


def host_code(target: Target, base: int, block: int) -> HostCode:
    """The trampoline, and behind it what the helper stubs share."""
    entered = host.entered(target, _PLATFORM)
    checked = tuple(name for name in target.callee_saved if name not in _PLATFORM)
    destroyed = tuple(name for name in host.destroyed(target) if _number(name) not in (_BLOCK, _SCRATCH))
    to_block = _constant(_BLOCK, block)
    out = [e.sub_imm(1, SP, SP, _ROOM)]
    out += [e.stp(first, second, SP, at) for first, second, at in _PAIRS]
    out += [*to_block, e.add_imm(1, _SCRATCH, SP, 0), _store(host.HOST_SP, _SCRATCH)]
    out += [_load(_number(name), host.ENTRY + at) for at, name in enumerate(entered)]
    out += [_load(_SCRATCH, host.TARGET), _BLR | _SCRATCH << 5]
    out += [*to_block, _store(host.RESULT, 0), e.add_imm(1, _SCRATCH, SP, 0), _store(host.FINAL_SP, _SCRATCH)]
    out += [_store(host.SAVED + at, _number(name)) for at, name in enumerate(checked)]
    leave = base + 4 * len(out)
    out += [*to_block, _load(_SCRATCH, host.HOST_SP), e.add_imm(1, SP, _SCRATCH, 0)]
    out += [e.ldp(first, second, SP, at) for first, second, at in _PAIRS]
    out += [e.add_imm(1, SP, SP, _ROOM), e.RET]
    common = base + 4 * len(out)
    # x17 holds the number. The return address and the program's sp survive the callback in x19 and x20, which go
    # to the stack first; C wants an aligned stack even where the program has not kept it.
    out += [*to_block, _store(host.NUMBER, _SCRATCH), e.add_imm(1, _SCRATCH, SP, 0), _store(host.CALL_SP, _SCRATCH)]
    out += [_store(host.RETURN, LINK), _store(host.AX, _number(target.homes[11]))]
    out += [_store(host.KEPT + at, _number(name)) for at, name in enumerate(checked)]
    out += [_store(host.ARGUMENTS + at, _number(name)) for at, name in enumerate(target.arguments)]
    out += [e.and_imm(1, SP, _SCRATCH, -16 & (1 << 64) - 1), e.stp_pre(19, 20, SP, -16)]
    out += [e.mov(1, 19, LINK), e.mov(1, 20, _SCRATCH), _load(_SCRATCH, host.CALLBACK), _BLR | _SCRATCH << 5]
    out += [e.mov(1, LINK, 19), e.mov(1, _SCRATCH, 20), e.ldp(19, 20, SP, 0), e.add_imm(1, SP, _SCRATCH, 0)]
    out.append(e.cbz(1, 0, 0, leave - (base + 4 * len(out))))
    out += [*to_block, *(_load(_number(name), host.DESTROYED + at) for at, name in enumerate(destroyed))]
    out += [_load(0, host.ANSWER), e.mov(1, _SCRATCH, ZR), e.RET]
    return HostCode(_words(*out), common, entered, checked, destroyed, flush=True, saved=_SAVED)


def stub(number: int, address: int, common: int) -> bytes:
    """A helper's stub at an address."""
    words = _constant(_SCRATCH, number)
    return _words(*words, e.b(common - (address + 4 * len(words))))
