"""The x86-64 backend.

R0-R10 live where Linux's JIT keeps them. r9 and r11 are scratch inside an Op; r12 is never touched. Division borrows
rax and rdx, variable shifts without BMI2 borrow rcx, fetching and/or/xor borrow rax: each puts back what it borrowed.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

from jit.backend import SAVED, Backend
from jit.ops import NONE, Op, OpFunction
from jit.relax import Form
from jit.x86_64 import encode as x
from jit.x86_64.encode import R9, R11, RAX, RCX, RDX, RSP

HOME = (x.RAX, x.RDI, x.RSI, x.RDX, x.RCX, x.R8, x.RBX, x.R13, x.R14, x.R15, x.RBP, x.R10)
_REACH = (1 << 31) - 16
_SHORT = Form(2, -126, 129)

_CONDITIONS = {
    "jeq": x.E, "jne": x.NE, "jset": x.NE, "jgt": x.A, "jge": x.AE, "jlt": x.B, "jle": x.BE,
    "jsgt": x.G, "jsge": x.GE, "jslt": x.L, "jsle": x.LE,
}  # fmt: skip
_SHIFTS = {"lsh": (x.SHL, 1), "rsh": (x.SHR, 3), "arsh": (x.SAR, 2)}  # (/digit, BMI2 pp)
_ARITH = {"add": x.ADD, "sub": x.SUB, "or": x.OR, "and": x.AND, "xor": x.XOR}


class X86(Backend):
    """Ops to x86-64."""

    unit = 1
    forms: ClassVar = {
        "cond": (_SHORT, Form(6, -_REACH, _REACH)),
        "goto": (_SHORT, Form(5, -_REACH, _REACH)),
        "call": (Form(5, -_REACH, _REACH),),
    }

    def prologue(self, function: OpFunction) -> None:
        """Push what the function writes of R6-R9; keep rsp 16-byte aligned at calls."""
        saved = [HOME[r] for r in SAVED if function.written >> r & 1]
        for register in saved:
            self.emit(x.push(register))
        if function.calls and len(saved) % 2 == 0:
            self.emit(x.arith_imm(1, x.SUB, RSP, 8))

    def epilogue(self, function: OpFunction) -> None:
        """Undo the prologue; R0 is in rax already."""
        self._leave(function)
        self.emit(x.RET)

    def lower_tail_jump(self, op: Op) -> None:
        """Undo the prologue and jump; AX is caller-saved."""
        self._leave(self.function)
        self.emit(x.jmp_reg(HOME[op.a]))

    def _leave(self, function: OpFunction) -> None:
        saved = [HOME[r] for r in SAVED if function.written >> r & 1]
        if function.calls and len(saved) % 2 == 0:
            self.emit(x.arith_imm(1, x.ADD, RSP, 8))
        for register in reversed(saved):
            self.emit(x.pop(register))

    def encode_fixup(self, kind: str, args: tuple[int, ...], form: int, distance: int) -> bytes:
        """See Backend."""
        if kind == "cond":
            return x.jcc(args[0], form == 0, distance)
        return x.jmp(form == 0, distance) if kind == "goto" else x.call(distance)

    def move(self, dst: int, src: int) -> None:
        """See Backend."""
        if dst != src:
            self.emit(x.mov(1, HOME[dst], HOME[src]))

    def zero_extend(self, dst: int, src: int, bits: int) -> None:
        """See Backend."""
        d, s = HOME[dst], HOME[src]
        self.emit(x.mov(0, d, s) if bits == 32 else x.rr0f(0, 0xB7, d, s))

    def swap_bytes(self, dst: int, src: int, bits: int) -> None:
        """See Backend."""
        self.move(dst, src)
        d = HOME[dst]
        if bits == 16:
            self.emit(x.ror16_8(d))
            self.emit(x.rr0f(0, 0xB7, d, d))
        else:
            self.emit(x.bswap(bits == 64, d))

    def move_frame(self, amount: int) -> None:
        """See Backend."""
        self.emit(x.arith_imm(1, x.ADD if amount > 0 else x.SUB, x.RBP, abs(amount)))

    def after_call(self) -> None:
        """The C result register is R0's home."""

    # ALU -------------------------------------------------------------------------------------------

    def lower_mov(self, op: Op) -> None:
        """dst = b or imm."""
        w = op.width == 64
        if op.b == NONE:
            self.emit(x.mov_imm(w, HOME[op.dst], op.imm & (0xFFFFFFFFFFFFFFFF if w else 0xFFFFFFFF)))
        elif not w or op.dst != op.b:
            self.emit(x.mov(w, HOME[op.dst], HOME[op.b]))

    def lower_const(self, op: Op) -> None:
        """dst = 64-bit number."""
        self.emit(x.mov_imm(1, HOME[op.dst], op.imm))

    def _two_address(self, op: Op, commutes: bool, apply: Callable[[int, int], bytes]) -> None:
        """dst = a op b with an instruction that computes dst = dst op src."""
        d, a, b = HOME[op.dst], HOME[op.a], HOME[op.b]
        w = op.width == 64
        if d == a:
            self.emit(apply(d, b))
        elif d != b:
            self.emit(x.mov(w, d, a) + apply(d, b))
        elif commutes:
            self.emit(apply(d, a))
        else:
            self.emit(x.mov(w, R11, b) + x.mov(w, d, a) + apply(d, R11))

    def _arith(self, op: Op) -> None:
        w = op.width == 64
        digit = _ARITH[op.name]
        if op.b != NONE:
            self._two_address(op, op.name != "sub", lambda d, s: x.arith(w, digit, d, s))
            return
        if op.dst != op.a:
            self.emit(x.mov(w, HOME[op.dst], HOME[op.a]))
        self.emit(x.arith_imm(w, digit, HOME[op.dst], op.imm))

    lower_add = lower_sub = lower_or = lower_and = lower_xor = _arith

    def lower_mul(self, op: Op) -> None:
        """imul has a three-operand form with an immediate."""
        w = op.width == 64
        if op.b == NONE:
            self.emit(x.imul_imm(w, HOME[op.dst], HOME[op.a], op.imm))
        else:
            self._two_address(op, True, lambda d, s: x.imul(w, d, s))

    def lower_neg(self, op: Op) -> None:
        """dst = -a."""
        w = op.width == 64
        if op.dst != op.a:
            self.emit(x.mov(w, HOME[op.dst], HOME[op.a]))
        self.emit(x.unary(w, x.NEG, HOME[op.dst]))

    def lower_movsx(self, op: Op) -> None:
        """dst = sign-extended low bits of b."""
        w = op.width == 64
        d, s = HOME[op.dst], HOME[op.b]
        if op.bits == 32:
            self.emit(x.rr(1, 0x63, d, s))
        elif op.bits == 16:
            self.emit(x.rr0f(w, 0xBF, d, s))
        else:
            self.emit(x.byte_rr0f(w, 0xBE, d, s))

    def _shift(self, op: Op) -> None:
        w = op.width == 64
        digit, pp = _SHIFTS[op.name]
        d, a = HOME[op.dst], HOME[op.a]
        if op.b == NONE:
            count = op.imm & (op.width - 1)
            if d != a or (count == 0 and not w):
                self.emit(x.mov(w, d, a))
            if count:
                self.emit(x.shift_imm(w, digit, d, count))
        elif "bmi2" in self.features:
            self.emit(x.shiftx(w, pp, d, a, HOME[op.b]))
        elif HOME[op.b] == RCX and d not in (RCX, a):
            self.emit(x.mov(w, d, a) + x.shift_cl(w, digit, d))
        elif HOME[op.b] == RCX and d == a != RCX:
            self.emit(x.shift_cl(w, digit, d))
        else:
            # Shift in r11; rcx keeps its value in r9 unless it is the destination.
            self.emit(x.mov(1, R11, a) + x.mov(1, R9, RCX) + x.mov(1, RCX, HOME[op.b]))
            self.emit(x.shift_cl(w, digit, R11) + x.mov(1, RCX, R9) + x.mov(w, d, R11))

    lower_lsh = lower_rsh = lower_arsh = _shift

    def _divide(self, op: Op) -> None:
        """Quotient in rax or remainder in rdx; x / 0 = 0, x % 0 = x, MIN / -1 = MIN, MIN % -1 = 0."""
        w = op.width == 64
        d, a = HOME[op.dst], HOME[op.a]
        is_signed, quotient = op.name.startswith("s"), op.name.endswith("div")
        if op.b != NONE:
            self.emit(x.mov(w, R11, HOME[op.b]))
        else:
            self.emit(x.mov_imm(w, R11, op.imm & (0xFFFFFFFFFFFFFFFF if w else 0xFFFFFFFF)))
        if a != d:
            self.emit(x.mov(w, d, a))
        # From here on dst = dst / r11.
        save_rax, save_rdx = d != RAX, d != RDX
        core = x.mov(1, R9, RAX) + x.mov(w, RAX, d) if save_rax else b""
        core += x.push(RDX) if save_rdx else b""
        if is_signed:
            core += (x.CQO if w else x.CDQ) + x.unary(w, x.IDIV, R11)
        else:
            core += x.arith(0, x.XOR, RDX, RDX) + x.unary(w, x.DIV, R11)
        result = RAX if quotient else RDX
        core += x.mov(w, d, result) if d != result else b""
        core += x.pop(RDX) if save_rdx else b""
        core += x.mov(1, RAX, R9) if save_rax else b""
        if is_signed and (op.b != NONE or op.imm == -1):
            minus = x.unary(w, x.NEG, d) if quotient else x.arith(0, x.XOR, d, d)
            skip = minus + x.jmp(True, 2 + len(core))
            core = x.arith_imm(w, x.CMP, R11, -1) + x.jcc(x.NE, True, 2 + len(skip)) + skip + core
        if op.b != NONE:
            zero = x.arith(0, x.XOR, d, d) if quotient else b"" if w else x.mov(0, d, d)
            skip = zero + x.jmp(True, 2 + len(core)) if zero else b""
            if skip:
                core = x.test(w, R11, R11) + x.jcc(x.NE, True, 2 + len(skip)) + skip + core
            else:
                core = x.test(w, R11, R11) + x.jcc(x.E, True, 2 + len(core)) + core
        self.emit(core)

    lower_div = lower_sdiv = lower_mod = lower_smod = _divide

    # Memory ----------------------------------------------------------------------------------------

    def lower_load(self, op: Op) -> None:
        """dst = [a + off]. Ordered ones are like any other: every load acquires and every store releases."""
        self.emit(x.load(op.width, op.signed, HOME[op.dst], HOME[op.a], op.off))

    def lower_store(self, op: Op) -> None:
        """[a + off] = b or imm."""
        if op.b == NONE:
            self.emit(x.store_imm(op.width, HOME[op.a], op.off, op.imm))
        else:
            self.emit(x.store(op.width, HOME[op.a], op.off, HOME[op.b]))

    def lower_atomic(self, op: Op) -> None:
        """One locked instruction, or a compare-and-exchange loop for the fetching forms of and, or, xor."""
        w = op.width == 64
        base, src, off = HOME[op.a], HOME[op.b], op.off
        if op.cond == "cmpxchg":
            self.emit(x.locked(w, b"\x0f\xb1", base, off, src))
            if not w:
                self.emit(x.mov(0, RAX, RAX))  # on success eax is not written, so its upper half is still there
        elif op.cond == "xchg":
            self.emit(x.xchg(w, base, off, src))
        elif not op.fetch:
            self.emit(x.locked(w, bytes((_ARITH[op.cond] << 3 | 1,)), base, off, src))
        elif op.cond == "add":
            self.emit(x.locked(w, b"\x0f\xc1", base, off, src))
        else:
            # r11 keeps rax, and stands for it where rax is an operand.
            base, operand = (R11 if r == RAX else r for r in (base, src))
            load = x.memory(b"", w << 3, b"\x8b", RAX, base, off)
            turn = (
                x.mov(w, R9, RAX) + x.arith(w, _ARITH[op.cond], R9, operand) + x.locked(w, b"\x0f\xb1", base, off, R9)
            )
            self.emit(x.mov(1, R11, RAX) + load + turn + x.jcc(x.NE, True, -len(turn)))
            if src != RAX:
                self.emit(x.mov(w, src, RAX) + x.mov(1, RAX, R11))

    # Control ---------------------------------------------------------------------------------------

    def lower_branch(self, op: Op) -> None:
        """Compare, then jump on the condition."""
        w = op.width == 64
        a = HOME[op.a]
        if op.b != NONE:
            self.emit(x.test(w, a, HOME[op.b]) if op.cond == "jset" else x.arith(w, x.CMP, a, HOME[op.b]))
        elif op.cond == "jset":
            self.emit(x.test_imm(w, a, op.imm))
        elif op.imm == 0:
            self.emit(x.test(w, a, a))  # CF = 0 and OF = 0, as cmp a, 0 leaves them
        else:
            self.emit(x.arith_imm(w, x.CMP, a, op.imm))
        self.jump("cond", (_CONDITIONS[op.cond],), op.target)


LOWER = X86
