"""The POWER backend, for both byte orders.

R0-R10 and AX live where Linux's JIT keeps them; R0 is in r8, so a result moves between r8 and r3. r0, r9, r11 and CR0
are scratch inside an Op (r0 is the number 0 as a base, see encode.py); r10, r2, r13 and CR1-CR7 are never touched.
Divisions, atomics and byte swaps have no branch for a special case: isel and the protected zone below sp do.
"""

from __future__ import annotations

import struct
from typing import ClassVar

from bpf.errors import Refused
from bpf.isa.effects import M32, M64, signed
from jit.backend import SAVED, Backend
from jit.ops import NONE, Front, Op, OpFunction
from jit.ppc64 import encode as p
from jit.ppc64.constants import halves, number, one_run, trailing_zeros
from jit.ppc64.encode import EQ, GT, IF_FALSE, IF_TRUE, LT, recording
from jit.relax import Form
from jit.target import Target

HOME = (8, 3, 4, 5, 6, 7, 27, 28, 29, 30, 31, 12)
R0, SP, RESULT, R9, R11 = 0, 1, 3, 9, 11

HEADER = 32  # bytes of a frame's header
SAVED_LR = 16  # offset of the LR save doubleword in the caller's header
SWAP = -40  # offset from sp of a doubleword in the protected zone, below the registers that a leaf function saves

_REACH = 0x1FF_FFFC  # of b, forward; 4 more backward
_FAR = 0x7FFF_0000
_NEAR = Form(4, -0x200_0000, _REACH)
_INVERT = IF_FALSE ^ IF_TRUE

_ZERO_EXTEND = tuple(p.clrldi(home, home, 32) for home in HOME)
_BITWISE = {"or": (p.or_, p.ori, p.oris), "xor": (p.xor, p.xori, p.xoris)}
_SHIFTS = {  # (name, width) -> by a register
    ("lsh", 64): p.sld, ("rsh", 64): p.srd, ("arsh", 64): p.srad,
    ("lsh", 32): p.slw, ("rsh", 32): p.srw, ("arsh", 32): p.sraw,
}  # fmt: skip
_DIVIDES = {  # (signed, width) -> quotient, remainder
    (False, 64): (p.divdu, p.modud), (True, 64): (p.divd, p.modsd),
    (False, 32): (p.divwu, p.moduw), (True, 32): (p.divw, p.modsw),
}  # fmt: skip
_EXTENDS = {8: p.extsb, 16: p.extsh, 32: p.extsw}
_LOADS = {
    (8, False): p.lbz, (16, False): p.lhz, (32, False): p.lwz, (64, False): p.ld,
    (8, True): p.lbz, (16, True): p.lha, (32, True): p.lwa,
}  # fmt: skip
_STORES = {8: p.stb, 16: p.sth, 32: p.stw, 64: p.std}
_INDEXED = {p.ld: p.ldx, p.lwa: p.lwax, p.std: p.stdx}  # those whose offset must be a multiple of 4
_ATOMICS = {"add": p.add, "or": p.or_, "and": p.and_, "xor": p.xor}
_CONDITIONS = {
    "jeq": (IF_TRUE, EQ), "jne": (IF_FALSE, EQ), "jset": (IF_FALSE, EQ),
    "jgt": (IF_TRUE, GT), "jge": (IF_FALSE, LT), "jlt": (IF_TRUE, LT), "jle": (IF_FALSE, GT),
    "jsgt": (IF_TRUE, GT), "jsge": (IF_FALSE, LT), "jslt": (IF_TRUE, LT), "jsle": (IF_FALSE, GT),
}  # fmt: skip
_UNSIGNED = frozenset({"jgt", "jge", "jlt", "jle"})


class Power(Backend):
    """Ops to POWER."""

    unit = 4
    forms: ClassVar = {
        "cond": (Form(4, -0x8000, 0x7FFC), Form(8, 4 - 0x200_0000, 4 + _REACH), Form(20, -_FAR, _FAR)),
        "goto": (_NEAR, Form(16, -_FAR, _FAR)),
        "call": (_NEAR, Form(16, -_FAR, _FAR)),
    }

    def __init__(self, target: Target, front: Front, features: frozenset[str]) -> None:
        super().__init__(target, front, features)
        self._order = ">" if target.order == "big" else "<"
        self._isa3 = "isa3.0" in features

    # Functions -------------------------------------------------------------------------------------

    def prologue(self, function: OpFunction) -> None:
        """Save what the function writes of R6-R9 below sp; a function that calls saves LR and makes a frame."""
        if function.calls:
            self.emit(p.mflr(R0))
            self.emit(p.std(R0, SAVED_LR, SP))
        for offset, register in _saved(function):
            self.emit(p.std(register, offset, SP))
        if function.calls:
            self.emit(p.stdu(SP, -_frame(function), SP))

    def epilogue(self, function: OpFunction) -> None:
        """Undo the prologue, move R0 to r3, return."""
        self._leave(function)
        self.emit(p.mr(RESULT, HOME[0]))
        self.emit(p.BLR)

    def lower_tail_jump(self, op: Op) -> None:
        """Undo the prologue and jump; AX is caller-saved."""
        self._leave(self.function)
        self.out += (p.mtctr(HOME[op.a]), p.BCTR)

    def _leave(self, function: OpFunction) -> None:
        if function.calls:
            self.emit(p.addi(SP, SP, _frame(function)))
            self.emit(p.ld(R0, SAVED_LR, SP))
        for offset, register in _saved(function):
            self.emit(p.ld(register, offset, SP))
        if function.calls:
            self.emit(p.mtlr(R0))

    def encode_fixup(self, kind: str, args: tuple[int, ...], form: int, distance: int) -> bytes:
        """See Backend. A far branch goes through CTR; a conditional one that is not near skips it on the inverse."""
        if kind == "cond":
            if form == 0:
                return self._bytes(p.bc(args[0], args[1], distance))
            if form == 1:
                return self._bytes(p.bc(args[0] ^ _INVERT, args[1], 8), p.b(distance - 4))
            return self._bytes(p.bc(args[0] ^ _INVERT, args[1], 20), *self._far(distance - 4, p.BCTR))
        if kind == "goto":
            return self._bytes(*((p.b(distance),) if form == 0 else self._far(distance, p.BCTR)))
        return self._bytes(*((p.bl(distance),) if form == 0 else self._far(distance, p.BCTRL)))

    def _far(self, distance: int, branch: int) -> tuple[int, ...]:
        if not self._isa3:
            raise Refused(f"a branch over {distance} bytes needs addpcis", remedy="POWER9 and later have it (isa3.0)")
        high, low = halves(distance - 4)  # addpcis counts from the next instruction
        return p.addpcis(R11, high), p.addi(R11, R11, low), p.mtctr(R11), branch

    def _bytes(self, *words: int) -> bytes:
        return struct.pack(f"{self._order}{len(words)}I", *words)

    def straight(self) -> bytes:
        """See Backend."""
        return self._bytes(*self.out)

    def move_frame(self, amount: int) -> None:
        """See Backend."""
        self.emit(p.addi(HOME[10], HOME[10], amount))

    def after_call(self) -> None:
        """See Backend."""
        self.emit(p.mr(HOME[0], RESULT))

    # Moves and numbers -----------------------------------------------------------------------------

    def move(self, dst: int, src: int) -> None:
        """See Backend."""
        if dst != src:
            self.emit(p.mr(HOME[dst], HOME[src]))

    def zero_extend(self, dst: int, src: int, bits: int) -> None:
        """See Backend."""
        self.emit(p.clrldi(HOME[dst], HOME[src], 64 - bits))

    def swap_bytes(self, dst: int, src: int, bits: int) -> None:
        """See Backend. 16 bits in registers; 32 and 64 through memory, with the load that reverses."""
        d, s = HOME[dst], HOME[src]
        if bits == 16 and d == s:
            self.emit(p.rlwimi(d, s, 16, 8, 15))  # bytes a b c d become a d c d
            self.emit(p.rlwinm(d, d, 24, 16, 31))  # 0 0 d c
        elif bits == 16:
            self.emit(p.rlwinm(d, s, 24, 24, 31))
            self.emit(p.rlwimi(d, s, 8, 16, 23))
        else:
            self.emit(p.li(R0, SWAP))
            self.emit(p.stw(s, SWAP, SP) if bits == 32 else p.std(s, SWAP, SP))
            self.emit(p.lwbrx(d, SP, R0) if bits == 32 else p.ldbrx(d, SP, R0))

    def lower_mov(self, op: Op) -> None:
        """dst = b or imm."""
        if op.b == NONE:
            self._number(HOME[op.dst], op.imm if op.width == 64 else op.imm & M32)
        elif op.width == 32:
            self.zero_extend(op.dst, op.b, 32)
        else:
            self.move(op.dst, op.b)

    def lower_const(self, op: Op) -> None:
        """dst = 64-bit number."""
        self._number(HOME[op.dst], signed(op.imm, 64))

    def _number(self, register: int, value: int) -> None:
        """The shortest code for a signed 64-bit number."""
        if -0x8000 <= value < 0x8000:
            self.emit(p.li(register, value))
        else:
            self.out.extend(number(register, value))

    # ALU -------------------------------------------------------------------------------------------

    def lower_add(self, op: Op) -> None:
        """dst = a + b or imm."""
        d, a = HOME[op.dst], HOME[op.a]
        if op.b != NONE:
            self.emit(p.add(d, a, HOME[op.b]))
        else:
            self._add_immediate(d, a, op.imm, op.width)
        if op.width == 32:
            self.emit(_ZERO_EXTEND[op.dst])

    def lower_sub(self, op: Op) -> None:
        """dst = a - b or imm."""
        d, a = HOME[op.dst], HOME[op.a]
        if op.b != NONE:
            self.emit(p.subf(d, HOME[op.b], a))
        else:
            self._add_immediate(d, a, -op.imm, op.width)  # up to 2**31, which still is a number of its own
        if op.width == 32:
            self.emit(_ZERO_EXTEND[op.dst])

    def _add_immediate(self, d: int, a: int, value: int, width: int) -> None:
        """d = a + value; value may be 2**31; at width 32 only the low half of d means something."""
        if -0x8000 <= value < 0x8000:
            self.emit(p.addi(d, a, value))
            return
        high, low = halves(value)
        if high == 0x8000 and width == 32:
            high = -0x8000
        if high == 0x8000:  # addis does not hold it
            self._number(R0, value)
            self.emit(p.add(d, a, R0))
            return
        self.emit(p.addis(d, a, high))
        if low:
            self.emit(p.addi(d, d, low))

    def lower_mul(self, op: Op) -> None:
        """dst = a * b or imm."""
        d, a = HOME[op.dst], HOME[op.a]
        if op.b == NONE and -0x8000 <= op.imm < 0x8000:
            self.emit(p.mulli(d, a, op.imm))
        else:
            self.emit((p.mulld if op.width == 64 else p.mullw)(d, a, self._operand(op)))
        if op.width == 32:
            self.emit(_ZERO_EXTEND[op.dst])

    def _operand(self, op: Op) -> int:
        """The register that holds b; r0 for an immediate."""
        if op.b != NONE:
            return HOME[op.b]
        self._number(R0, op.imm)
        return R0

    def lower_neg(self, op: Op) -> None:
        """dst = -a."""
        self.emit(p.neg(HOME[op.dst], HOME[op.a]))
        if op.width == 32:
            self.emit(_ZERO_EXTEND[op.dst])

    def lower_movsx(self, op: Op) -> None:
        """dst = sign-extended low bits of b."""
        self.emit(_EXTENDS[op.bits](HOME[op.dst], HOME[op.b]))
        if op.width == 32:
            self.emit(_ZERO_EXTEND[op.dst])

    def _or_xor(self, op: Op) -> None:
        d, a, imm = HOME[op.dst], HOME[op.a], op.imm
        combine, with_low, with_high = _BITWISE[op.name]
        if op.b != NONE:
            # `or rX,rX,rX` would be no operation but, for some X, a scheduling hint.
            if not op.dst == op.a == op.b or op.name == "xor":
                self.emit(combine(d, a, HOME[op.b]))
        elif imm == 0:
            self.move(op.dst, op.a)
        elif imm == -1 and op.name == "xor":
            self.emit(p.nor(d, a, a))
        elif imm > 0 or op.width == 32:
            if imm & 0xFFFF:
                self.emit(with_low(d, a, imm & 0xFFFF))
                a = d
            if imm >> 16:
                self.emit(with_high(d, a, imm >> 16 & 0xFFFF))
        else:
            self._number(R0, imm)
            self.emit(combine(d, a, R0))
        if op.width == 32:
            self.emit(_ZERO_EXTEND[op.dst])

    lower_or = lower_xor = _or_xor

    def lower_and(self, op: Op) -> None:
        """dst = a & b or imm."""
        if op.b == NONE:
            self._mask(HOME[op.dst], HOME[op.a], op.imm, op.width, record=False)
        else:
            self.emit(p.and_(HOME[op.dst], HOME[op.a], HOME[op.b]))
            if op.width == 32:
                self.emit(_ZERO_EXTEND[op.dst])

    def _mask(self, d: int, a: int, imm: int, width: int, record: bool) -> None:
        """d = a & imm, zero-extended at width 32; with record, compared with 0 into CR0 too. d is not r0."""
        mask = imm & (M64 if width == 64 else M32)
        low, high = mask & 0xFFFF, mask >> 16
        if not high:
            self.emit(p.andi(d, a, low))
        elif mask > M32:
            zeros = trailing_zeros(mask)
            if imm == -1 << zeros:
                self.emit(recording(p.rldicr(d, a, 0, 63 - zeros), record))
            else:
                self._number(R0, imm)
                self.emit(recording(p.and_(d, a, R0), record))
        elif not low:
            self.emit(p.andis(d, a, high))
        elif one_run(mask):
            self.emit(recording(p.rlwinm(d, a, 0, 32 - mask.bit_length(), 31 - trailing_zeros(mask)), record))
        elif not record and one_run(mask ^ M32):
            # A mask that wraps around leaves a copy of the word in the upper half.
            hole = mask ^ M32
            self.emit(p.rlwinm(d, a, 0, 32 - trailing_zeros(hole), 31 - hole.bit_length()))
            self.emit(p.clrldi(d, d, 32))
        else:
            self.emit(p.andis(R0, a, high))
            self.emit(p.andi(d, a, low))
            self.emit(recording(p.or_(d, d, R0), record))

    def _shift(self, op: Op) -> None:
        d, a, name, wide = HOME[op.dst], HOME[op.a], op.name, op.width == 64
        count = op.imm & (op.width - 1)
        if op.b != NONE:
            self.emit(p.clrldi(R0, HOME[op.b], 58 if wide else 59))  # the machine reads one bit more
            self.emit(_SHIFTS[name, op.width](d, a, R0))
        elif name == "lsh":
            self.emit(p.rldicr(d, a, count, 63 - count) if wide else p.rlwinm(d, a, count, 0, 31 - count))
        elif name == "rsh":
            self.emit(p.rldicl(d, a, -count & 63, count) if wide else p.rlwinm(d, a, -count & 31, count, 31))
        else:
            self.emit(p.sradi(d, a, count) if wide else p.srawi(d, a, count))
        if name == "arsh" and not wide:
            self.emit(_ZERO_EXTEND[op.dst])

    lower_lsh = lower_rsh = lower_arsh = _shift

    def _divide(self, op: Op) -> None:
        """x / 0 = 0, x % 0 = x, MIN / -1 = MIN, MIN % -1 = 0: the machine leaves all four undefined, without a trap.

        A remainder without modulo instructions is a - a / b * b. Unsigned, that is a for b = 0, whatever the quotient.
        """
        is_signed, wants_quotient = op.name[0] == "s", op.name.endswith("div")
        quotient, remainder = _DIVIDES[is_signed, op.width]
        d, a = HOME[op.dst], HOME[op.a]
        if op.b == NONE and op.imm == -1 and is_signed:
            self.emit(p.neg(d, a) if wants_quotient else p.li(d, 0))
            if op.width == 32 and wants_quotient:
                self.emit(_ZERO_EXTEND[op.dst])
            return
        b = self._operand(op)
        direct = wants_quotient or self._isa3
        divide = quotient if wants_quotient or not direct else remainder
        into = d if direct else R11
        if op.b == NONE:
            self.emit(divide(into, a, b))
        elif is_signed:
            self._divide_signed(op, divide, into)
        elif direct:
            self.emit((p.cmpdi if op.width == 64 else p.cmpwi)(b, 0))
            self.emit(divide(R11, a, b))
            self.emit(p.isel(d, 0 if wants_quotient else a, R11, EQ))
        else:
            self.emit(divide(R11, a, b))
        if not direct:
            self.emit((p.mulld if op.width == 64 else p.mullw)(R11, R11, b))
            self.emit(p.subf(d, R11, a))
        if op.width == 32:
            self.emit(_ZERO_EXTEND[op.dst])

    lower_div = lower_sdiv = lower_mod = lower_smod = _divide

    def _divide_signed(self, op: Op, divide: p.Three, into: int) -> None:
        """A signed quotient or remainder by a register; b + 1 <= 1, unsigned, picks out 0 and -1.

        For those two a / b is a * b, and a % b is a & ~b.
        """
        a, b = HOME[op.a], HOME[op.b]
        wide = op.width == 64
        self.emit(p.addi(R11, b, 1))
        self.emit((p.cmpldi if wide else p.cmplwi)(R11, 1))
        if divide in (p.divd, p.divw):
            self.emit((p.mulld if wide else p.mullw)(R0, a, b))
        else:
            self.emit(p.andc(R0, a, b))
        self.emit(divide(R11, a, b))
        self.emit(p.isel(into, R11, R0, GT))

    # Memory ----------------------------------------------------------------------------------------

    def _access(self, access: p.Three, register: int, offset: int, base: int) -> None:
        """One load or store; r11 holds an offset that a DS form does not, or the address where no form does."""
        low = signed(offset, 16)
        if low != offset:
            self.emit(p.addis(R11, base, (offset - low) >> 16))
            self.emit(p.addi(R11, R11, low))
            base, offset = R11, 0
        if offset & 3 and access in _INDEXED:
            self.emit(p.li(R11, offset))
            self.emit(_INDEXED[access](register, base, R11))
        else:
            self.emit(access(register, offset, base))

    def lower_load(self, op: Op) -> None:
        """dst = [a + off]."""
        self._access(_LOADS[op.width, op.signed], HOME[op.dst], op.off, HOME[op.a])
        if op.signed and op.width == 8:
            self.emit(p.extsb(HOME[op.dst], HOME[op.dst]))
        if op.ordered:
            self.emit(p.LWSYNC)

    def lower_store(self, op: Op) -> None:
        """[a + off] = b or imm."""
        if op.ordered:
            self.emit(p.LWSYNC)
        source = R0
        if op.b != NONE:
            source = HOME[op.b]
        else:
            self._number(R0, signed(op.imm, op.width))
        self._access(_STORES[op.width], source, op.off, HOME[op.a])

    def lower_atomic(self, op: Op) -> None:
        """A loop around a reservation; what fetches is fully ordered by a sync on either side."""
        wide = op.width == 64
        base, src = HOME[op.a], HOME[op.b]
        load, store = (p.ldarx, p.stdcx) if wide else (p.lwarx, p.stwcx)
        index = R11 if op.off else 0
        if op.off:
            self.emit(p.li(R11, op.off))
        if not op.fetch:
            self.emit(load(R0, index, base))
            self.emit(_ATOMICS[op.cond](R0, R0, src))
            self.emit(store(R0, index, base))
            self.emit(p.bc(IF_FALSE, EQ, -12))
            return
        self.emit(p.SYNC)
        self.emit(load(R9, index, base))
        if op.cond == "cmpxchg":
            self.emit((p.cmpd if wide else p.cmpw)(R9, HOME[0]))
            self.emit(p.bc(IF_FALSE, EQ, 12))  # to the second sync
            self.emit(store(src, index, base))
            self.emit(p.bc(IF_FALSE, EQ, -16))
        elif op.cond == "xchg":
            self.emit(store(src, index, base))
            self.emit(p.bc(IF_FALSE, EQ, -8))
        else:
            self.emit(_ATOMICS[op.cond](R0, R9, src))
            self.emit(store(R0, index, base))
            self.emit(p.bc(IF_FALSE, EQ, -12))
        self.emit(p.SYNC)
        self.emit(p.mr(HOME[0] if op.cond == "cmpxchg" else src, R9))

    # Control ---------------------------------------------------------------------------------------

    def lower_branch(self, op: Op) -> None:
        """Compare into CR0, then branch on one of its bits."""
        a, wide = HOME[op.a], op.width == 64
        if op.b == NONE:
            self._compare_immediate(op, a, wide)
        elif op.cond == "jset" and wide:
            self.emit(recording(p.and_(R0, a, HOME[op.b])))
        elif op.cond == "jset":
            self.emit(p.and_(R0, a, HOME[op.b]))
            self.emit(p.cmpwi(R0, 0))
        elif op.cond in _UNSIGNED:
            self.emit((p.cmpld if wide else p.cmplw)(a, HOME[op.b]))
        else:
            self.emit((p.cmpd if wide else p.cmpw)(a, HOME[op.b]))
        self.jump("cond", _CONDITIONS[op.cond], op.target)

    def _compare_immediate(self, op: Op, a: int, wide: bool) -> None:
        imm, cond = op.imm, op.cond
        if cond == "jset":
            self._mask(R11, a, imm, op.width, record=True)
        elif cond in _UNSIGNED:
            if 0 <= imm <= 0xFFFF:
                self.emit((p.cmpldi if wide else p.cmplwi)(a, imm))
            else:
                self._number(R0, imm)
                self.emit((p.cmpld if wide else p.cmplw)(a, R0))
        elif -0x8000 <= imm < 0x8000:
            self.emit((p.cmpdi if wide else p.cmpwi)(a, imm))
        elif cond in ("jeq", "jne") and 0 <= imm <= 0xFFFF:
            self.emit((p.cmpldi if wide else p.cmplwi)(a, imm))
        elif cond in ("jeq", "jne") and imm >= 0x8000 - 0x8000_0000:
            # a = imm where a - its high part = its low part: one instruction less than building imm
            high, low = halves(imm)
            self.emit(p.addis(R0, a, -high))
            self.emit((p.cmpdi if wide else p.cmpwi)(R0, low))
        else:
            self._number(R0, imm)
            self.emit((p.cmpd if wide else p.cmpw)(a, R0))


def _saved(function: OpFunction) -> list[tuple[int, int]]:
    """(offset from sp at entry, register) of what the function saves of R6-R9's homes."""
    homes = [HOME[number] for number in SAVED if function.written >> number & 1]
    return [(-8 * place, home) for place, home in enumerate(homes, 1)]


def _frame(function: OpFunction) -> int:
    """Bytes of a frame: the header and the saved registers, a multiple of 16."""
    return HEADER + 8 * len(_saved(function)) + 15 & -16


LOWER = Power
