"""The arm64 backend.

R0-R10 live where Linux's JIT keeps them. x10-x13 are scratch inside an Op. Division needs no care: x / 0 is 0 and
MIN / -1 is MIN on this machine, and a - (a / b) * b then gives BPF's remainders.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import ClassVar

from jit.arm64 import encode as e
from jit.arm64.encode import SP, ZR
from jit.arm64.immediates import constant, is_bitmask, is_imm12, is_offset
from jit.backend import SAVED, Backend
from jit.ops import NONE, Op, OpFunction
from jit.relax import Form

HOME = (7, 0, 1, 2, 3, 4, 19, 20, 21, 22, 25, 9)
RESULT, LINK = 0, 30
T0, T1, T2, T3 = 10, 11, 12, 13
MASKS = {8: 0xFF, 16: 0xFFFF, 32: 0xFFFFFFFF, 64: 0xFFFFFFFFFFFFFFFF}


def _signed_words(bits: int, at: int = 0) -> tuple[int, int]:
    """Least and greatest distance in bytes of a branch whose field has that many bits, `at` bytes after the fixup."""
    return (-4 << (bits - 1)) + at, (4 << (bits - 1)) - 4 + at


_FAR = Form(8, *_signed_words(26, at=4))  # the inverted branch over a b
_FORMS = {
    "cond": (Form(4, *_signed_words(19)), _FAR),
    "cbz": (Form(4, *_signed_words(19)), _FAR),
    "tbz": (Form(4, *_signed_words(14)), _FAR),
    "goto": (Form(4, *_signed_words(26)),),
    "call": (Form(4, *_signed_words(26)),),
}
# In the first operand of each of these, the lowest bit inverts the condition.
_CONDITIONAL: dict[str, Callable[..., int]] = {"cond": e.b_cond, "cbz": e.cbz, "tbz": e.tbz}

_CONDITIONS = {
    "jeq": e.EQ, "jne": e.NE, "jset": e.NE, "jgt": e.HI, "jge": e.HS, "jlt": e.LO, "jle": e.LS,
    "jsgt": e.GT, "jsge": e.GE, "jslt": e.LT, "jsle": e.LE,
}  # fmt: skip
_ZERO_TESTS = {  # comparisons that ask whether a register is zero -> `nonzero` of cbz
    ("jeq", 0): 0, ("jle", 0): 0, ("jlt", 1): 0, ("jne", 0): 1, ("jgt", 0): 1, ("jge", 1): 1, ("jset", -1): 1,
}  # fmt: skip
_SIGN_TESTS = {("jslt", 0): 1, ("jsle", -1): 1, ("jsge", 0): 0, ("jsgt", -1): 0}  # -> `nonzero` of tbz

# With the immediate, with the immediate negated, and the same with a register.
_ADD = (e.add_imm, e.sub_imm, e.add, e.sub)
_SUB = (e.sub_imm, e.add_imm, e.sub, e.add)
_COMPARE = (e.subs_imm, e.adds_imm, e.subs, e.adds)
# With an immediate, with a register, with a register inverted.
_LOGIC = {
    "and": (e.and_imm, e.and_, e.bic),
    "or": (e.orr_imm, e.orr, e.orn),
    "xor": (e.eor_imm, e.eor, e.eon),
    "jset": (e.ands_imm, e.ands, e.bics),
}
_SHIFTS = {"lsh": (e.lsl_imm, e.lslv), "rsh": (e.lsr_imm, e.lsrv), "arsh": (e.asr_imm, e.asrv)}
_STR, _LDR, _LDRS = (e.str_, e.str_reg), (e.ldr, e.ldr_reg), (e.ldrs, e.ldrs_reg)
_DIVISIONS = {"div": e.udiv, "mod": e.udiv, "sdiv": e.sdiv, "smod": e.sdiv}
# The LSE instruction that returns the old value, the one that does not, and the operation for a loop.
_ATOMICS = {
    "add": (e.ldaddal, e.stadd, e.add),
    "and": (e.ldclral, e.stclr, e.and_),  # they clear the bits of their operand
    "or": (e.ldsetal, e.stset, e.orr),
    "xor": (e.ldeoral, e.steor, e.eor),
}


class Arm64(Backend):
    """Ops to arm64."""

    unit = 4
    forms: ClassVar = _FORMS

    def straight(self) -> bytes:
        """Instructions are little-endian whatever the data are."""
        return struct.pack(f"<{len(self.out)}I", *self.out)

    def _pairs(self, function: OpFunction) -> tuple[int, list[tuple[int, list[int]]]]:
        """What the function must keep: bytes, a multiple of 16, and (offset, one or two registers) of each store."""
        saved = [HOME[r] for r in SAVED if function.written >> r & 1]
        if function.calls:
            saved.append(LINK)
        return (8 * len(saved) + 15) & -16, [(8 * at, saved[at : at + 2]) for at in range(0, len(saved), 2)]

    def prologue(self, function: OpFunction) -> None:
        """Store what the function must keep; the first store makes the room."""
        size, pairs = self._pairs(function)
        for at, (first, *second) in pairs:
            if second:
                self.emit(e.stp(first, second[0], SP, at) if at else e.stp_pre(first, second[0], SP, -size))
            else:
                self.emit(e.str_(64, first, SP, at) if at else e.str_pre(first, SP, -size))

    def epilogue(self, function: OpFunction) -> None:
        """The prologue backwards."""
        self._leave(function)
        self.emit(e.mov(1, RESULT, HOME[0]))
        self.emit(e.RET)

    def lower_tail_jump(self, op: Op) -> None:
        """Undo the prologue and jump; AX is caller-saved."""
        self._leave(self.function)
        self.emit(e.br(HOME[op.a]))

    def _leave(self, function: OpFunction) -> None:
        size, pairs = self._pairs(function)
        for at, (first, *second) in reversed(pairs):
            if second:
                self.emit(e.ldp(first, second[0], SP, at) if at else e.ldp_post(first, second[0], SP, size))
            else:
                self.emit(e.ldr(64, first, SP, at) if at else e.ldr_post(first, SP, size))

    def encode_fixup(self, kind: str, args: tuple[int, ...], form: int, distance: int) -> bytes:
        """See Backend."""
        if kind == "goto":
            return e.b(distance).to_bytes(4, "little")
        if kind == "call":
            return e.bl(distance).to_bytes(4, "little")
        branch = _CONDITIONAL[kind]
        if form == 0:
            return branch(*args, distance).to_bytes(4, "little")
        return struct.pack("<2I", branch(args[0] ^ 1, *args[1:], 8), e.b(distance - 4))

    def move(self, dst: int, src: int) -> None:
        """See Backend."""
        if dst != src:
            self.emit(e.mov(1, HOME[dst], HOME[src]))

    def zero_extend(self, dst: int, src: int, bits: int) -> None:
        """See Backend."""
        d, s = HOME[dst], HOME[src]
        self.emit(e.mov(0, d, s) if bits == 32 else e.ubfm(0, d, s, 0, bits - 1))

    def swap_bytes(self, dst: int, src: int, bits: int) -> None:
        """See Backend."""
        d, s = HOME[dst], HOME[src]
        if bits == 16:
            self.emit(e.rev16(0, d, s))
            self.emit(e.ubfm(0, d, d, 0, 15))
        else:
            self.emit(e.rev(bits == 64, d, s))

    def move_frame(self, amount: int) -> None:
        """See Backend."""
        self._add_imm(_ADD, 1, HOME[10], HOME[10], amount)

    def after_call(self) -> None:
        """R0's home is not the C result register, which is R1's."""
        self.emit(e.mov(1, HOME[0], RESULT))

    # Immediates ------------------------------------------------------------------------------------

    def _words(self, words: tuple[int, ...], register: int) -> None:
        """Emit what encodconstant gave, for a register."""
        for word in words:
            self.emit(word | register)

    def _number(self, value: int, register: int) -> int:
        """A register that holds a number: the zero register, or the given one, loaded."""
        if value == 0:
            return ZR
        self._words(constant(value), register)
        return register

    def _add_imm(self, forms: tuple[e.Three, e.Three, e.Three, e.Three], w: int, d: int, a: int, imm: int) -> None:
        """d = a +- imm (see _ADD, _SUB, _COMPARE)."""
        with_imm, with_minus, with_reg, with_minus_reg = forms
        if imm >= 0 and is_imm12(imm):
            self.emit(with_imm(w, d, a, imm))
        elif imm < 0 and is_imm12(-imm):
            self.emit(with_minus(w, d, a, -imm))
        elif -1 << 24 < imm < 1 << 24 and d != ZR:  # in two steps; flags would be those of the second
            encode, size = (with_imm, imm) if imm > 0 else (with_minus, -imm)
            self.emit(encode(w, d, a, size & 0xFFF000))
            self.emit(encode(w, d, d, size & 0xFFF))
        else:
            mask = MASKS[64 if w else 32]
            plus, minus = constant(imm & mask), constant(-imm & mask)
            if len(plus) <= len(minus):
                self._words(plus, T0)
                self.emit(with_reg(w, d, a, T0))
            else:
                self._words(minus, T0)
                self.emit(with_minus_reg(w, d, a, T0))

    def _logic_imm(self, name: str, width: int, d: int, a: int, imm: int) -> None:
        """d = a op imm (see _LOGIC). 0 and all-ones are no bitmasks, but the zero register holds them."""
        with_imm, with_reg, with_inverted = _LOGIC[name]
        w, value = width == 64, imm & MASKS[width]
        if is_bitmask(w, value):
            self.emit(with_imm(w, d, a, value))
        elif value == MASKS[width]:
            self.emit(with_inverted(w, d, a, ZR))
        else:
            self.emit(with_reg(w, d, a, self._number(value, T0)))

    # ALU -------------------------------------------------------------------------------------------

    def lower_mov(self, op: Op) -> None:
        """dst = b or imm."""
        if op.b == NONE:
            self._words(constant(op.imm & MASKS[op.width]), HOME[op.dst])
        elif op.width == 32:
            self.emit(e.mov(0, HOME[op.dst], HOME[op.b]))
        else:
            self.move(op.dst, op.b)

    def lower_const(self, op: Op) -> None:
        """dst = 64-bit number."""
        self._words(constant(op.imm), HOME[op.dst])

    def lower_add(self, op: Op) -> None:
        """dst = a + b."""
        if op.b == NONE:
            self._add_imm(_ADD, op.width == 64, HOME[op.dst], HOME[op.a], op.imm)
        else:
            self.emit(e.add(op.width == 64, HOME[op.dst], HOME[op.a], HOME[op.b]))

    def lower_sub(self, op: Op) -> None:
        """dst = a - b."""
        if op.b == NONE:
            self._add_imm(_SUB, op.width == 64, HOME[op.dst], HOME[op.a], op.imm)
        else:
            self.emit(e.sub(op.width == 64, HOME[op.dst], HOME[op.a], HOME[op.b]))

    def _logic(self, op: Op) -> None:
        if op.b == NONE:
            self._logic_imm(op.name, op.width, HOME[op.dst], HOME[op.a], op.imm)
        else:
            self.emit(_LOGIC[op.name][1](op.width == 64, HOME[op.dst], HOME[op.a], HOME[op.b]))

    lower_and = lower_or = lower_xor = _logic

    def _operand(self, op: Op) -> int:
        """The register of operand b, or a scratch that holds the immediate."""
        return self._number(op.imm & MASKS[op.width], T0) if op.b == NONE else HOME[op.b]

    def lower_mul(self, op: Op) -> None:
        """dst = a * b."""
        self.emit(e.mul(op.width == 64, HOME[op.dst], HOME[op.a], self._operand(op)))

    def _divide(self, op: Op) -> None:
        self.emit(_DIVISIONS[op.name](op.width == 64, HOME[op.dst], HOME[op.a], self._operand(op)))

    lower_div = lower_sdiv = _divide

    def _remainder(self, op: Op) -> None:
        w, a, b = op.width == 64, HOME[op.a], self._operand(op)
        self.emit(_DIVISIONS[op.name](w, T1, a, b))
        self.emit(e.msub(w, HOME[op.dst], T1, b, a))

    lower_mod = lower_smod = _remainder

    def lower_neg(self, op: Op) -> None:
        """dst = -a."""
        self.emit(e.sub(op.width == 64, HOME[op.dst], ZR, HOME[op.a]))

    def lower_movsx(self, op: Op) -> None:
        """dst = sign-extended low bits of b: sxtb, sxth, sxtw."""
        self.emit(e.sbfm(op.width == 64, HOME[op.dst], HOME[op.b], 0, op.bits - 1))

    def _shift(self, op: Op) -> None:
        """The machine masks a count in a register as BPF does."""
        with_imm, with_reg = _SHIFTS[op.name]
        if op.b == NONE:
            self.emit(with_imm(op.width == 64, HOME[op.dst], HOME[op.a], op.imm & (op.width - 1)))
        else:
            self.emit(with_reg(op.width == 64, HOME[op.dst], HOME[op.a], HOME[op.b]))

    lower_lsh = lower_rsh = lower_arsh = _shift

    # Memory ----------------------------------------------------------------------------------------

    def _access(self, encoders: tuple[e.Three, e.Three], bits: int, register: int, base: int, off: int) -> None:
        """Load or store a register at [base + off]; an offset that the first encoder cannot hold goes to x11."""
        if is_offset(bits, off):
            self.emit(encoders[0](bits, register, base, off))
        else:
            self.emit(encoders[1](bits, register, base, self._number(off & MASKS[64], T1)))

    def _whole_address(self, op: Op) -> int:
        """A register that holds a + off, for instructions without an offset: a's home or x10."""
        if not op.off:
            return HOME[op.a]
        self._add_imm(_ADD, 1, T0, HOME[op.a], op.off)
        return T0

    def lower_load(self, op: Op) -> None:
        """dst = [a + off]."""
        if op.ordered:
            self.emit(e.ldar(op.width, HOME[op.dst], self._whole_address(op)))
            return
        self._access(_LDRS if op.signed else _LDR, op.width, HOME[op.dst], HOME[op.a], op.off)

    def lower_store(self, op: Op) -> None:
        """[a + off] = b or imm."""
        if op.ordered:
            self.emit(e.stlr(op.width, HOME[op.b], self._whole_address(op)))
            return
        self._access(_STR, op.width, self._operand(op), HOME[op.a], op.off)

    def lower_atomic(self, op: Op) -> None:
        """One LSE instruction, or without LSE a loop. What returns a value is fully ordered, what does not is not."""
        w, base, src = op.width == 64, self._whole_address(op), HOME[op.b]
        if "lse" not in self.features:
            self._loop(op, w, base, src)
        elif op.cond == "cmpxchg":
            self.emit(e.casal(w, HOME[0], src, base))
        elif op.cond == "xchg":
            self.emit(e.swpal(w, src, src, base))
        else:
            fetching, plain, _ = _ATOMICS[op.cond]
            operand = src
            if op.cond == "and":
                operand = T1
                self.emit(e.mvn(w, T1, src))
            self.emit(fetching(w, operand, src, base) if op.fetch else plain(w, operand, base))

    def _loop(self, op: Op, w: int, base: int, src: int) -> None:
        """Load exclusive, compute, store exclusive, again until the store was done. The old value is in T1."""
        self.emit(e.ldxr(w, T1, base))
        if op.cond == "cmpxchg":
            self.emit(e.subs(w, ZR, T1, HOME[0]))
            self.emit(e.b_cond(e.NE, 12))  # to the barrier
            self.emit(e.stlxr(w, T3, src, base))
            self.emit(e.cbz(1, 0, T3, -16))
        elif op.cond == "xchg":
            self.emit(e.stlxr(w, T3, src, base))
            self.emit(e.cbz(1, 0, T3, -8))
        else:
            self.emit(_ATOMICS[op.cond][2](w, T2, T1, src))
            self.emit((e.stlxr if op.fetch else e.stxr)(w, T3, T2, base))
            self.emit(e.cbz(1, 0, T3, -12))
        if op.fetch:
            self.emit(e.DMB_ISH)
            self.emit(e.mov(w, HOME[0] if op.cond == "cmpxchg" else src, T1))

    # Control ---------------------------------------------------------------------------------------

    def lower_branch(self, op: Op) -> None:
        """A test of zero, of the sign or of one bit is part of the branch; else compare, then branch on the flags."""
        w, a, imm, cond = op.width == 64, HOME[op.a], op.imm, op.cond
        kind = "cond"
        args: tuple[int, ...] = (_CONDITIONS[cond],)
        if op.b != NONE:
            self.emit((e.ands if cond == "jset" else e.subs)(w, ZR, a, HOME[op.b]))
        elif (cond, imm) in _ZERO_TESTS:
            kind, args = "cbz", (_ZERO_TESTS[cond, imm], w, a)
        elif (cond, imm) in _SIGN_TESTS:
            kind, args = "tbz", (_SIGN_TESTS[cond, imm], op.width - 1, a)
        elif cond != "jset":
            self._add_imm(_COMPARE, w, ZR, a, imm)
        elif (bits := imm & MASKS[op.width]).bit_count() == 1:
            kind, args = "tbz", (1, bits.bit_length() - 1, a)
        else:
            self._logic_imm(cond, op.width, ZR, a, imm)
        self.jump(kind, args, op.target)


LOWER = Arm64
