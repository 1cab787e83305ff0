"""Entering compiled code on an x86-64 host (System V ABI). See jit/host.py."""

from __future__ import annotations

from jit import host
from jit.host import HostCode
from jit.target import Target
from jit.x86_64 import encode as x
from jit.x86_64.encode import R11, RAX, RBX, RSP

NUMBERS = {
    name: number
    for number, name in enumerate(
        ("rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi", *(f"r{number}" for number in range(8, 16)))
    )
}
_CALLEE_SAVED = (x.RBX, x.RBP, x.R12, x.R13, x.R14, x.R15)
_CALL = 2  # /digit of the group FF
_GREGS = 40  # of ucontext_t: uc_mcontext.gregs, whose order is that of sys/ucontext.h
_SAVED = {
    "linux": {
        name: _GREGS + host.WORD * at
        for at, name in enumerate(
            (*(f"r{number}" for number in range(8, 16)), "rdi", "rsi", "rbp", "rbx", "rdx", "rax", "rcx", "rsp", "pc")
        )
    }
}


def _load(register: int, base: int, word: int) -> bytes:
    return x.load(64, False, register, base, host.WORD * word)


def _store(base: int, word: int, register: int) -> bytes:
    return x.store(64, base, host.WORD * word, register)


def host_code(target: Target, base: int, block: int) -> HostCode:
    """The trampoline, and behind it what the helper stubs share."""
    entered, checked, destroyed = host.entered(target), target.callee_saved, host.destroyed(target)
    code = b"".join(x.push(register) for register in _CALLEE_SAVED)
    code += x.arith_imm(1, x.SUB, RSP, 8)  # aligned: the return address and six registers were pushed
    code += x.mov_imm(1, R11, block) + _store(R11, host.HOST_SP, RSP)
    code += b"".join(_load(NUMBERS[name], R11, host.ENTRY + at) for at, name in enumerate(entered))
    code += _load(R11, R11, host.TARGET) + x.rr(0, 0xFF, _CALL, R11)
    code += x.mov_imm(1, R11, block) + _store(R11, host.RESULT, RAX) + _store(R11, host.FINAL_SP, RSP)
    code += b"".join(_store(R11, host.SAVED + at, NUMBERS[name]) for at, name in enumerate(checked))
    leave = base + len(code)
    code += x.mov_imm(1, R11, block) + _load(RSP, R11, host.HOST_SP) + x.arith_imm(1, x.ADD, RSP, 8)
    code += b"".join(x.pop(register) for register in reversed(_CALLEE_SAVED)) + x.RET
    common = base + len(code)
    code += x.mov_imm(1, R11, block) + _store(R11, host.NUMBER, RAX) + _store(R11, host.CALL_SP, RSP)
    code += b"".join(_store(R11, host.ARGUMENTS + at, NUMBERS[name]) for at, name in enumerate(target.arguments))
    code += _store(R11, host.AX, NUMBERS[target.homes[11]])
    code += b"".join(_store(R11, host.KEPT + at, NUMBERS[name]) for at, name in enumerate(checked))
    code += x.load(64, False, RAX, RSP, 0) + _store(R11, host.RETURN, RAX)
    # C wants an aligned stack even where the program has not kept it; rbx remembers where it was.
    code += x.push(RBX) + x.mov(1, RBX, RSP) + x.arith_imm(1, x.AND, RSP, -16)
    code += _load(RAX, R11, host.CALLBACK) + x.rr(0, 0xFF, _CALL, RAX)
    code += x.mov(1, RSP, RBX) + x.pop(RBX) + x.test(0, RAX, RAX)
    code += x.jcc(x.NE, False, leave - (base + len(code)))
    code += x.mov_imm(1, RAX, block) + b"".join(
        _load(NUMBERS[name], RAX, host.DESTROYED + at) for at, name in enumerate(destroyed)
    )
    code += _load(RAX, RAX, host.ANSWER) + x.RET
    return HostCode(code, common, entered, checked, destroyed, flush=False, saved=_SAVED)


def stub(number: int, address: int, common: int) -> bytes:
    """A helper's stub at an address."""
    code = x.mov_imm(0, RAX, number)
    return code + x.jmp(False, common - (address + len(code)))
