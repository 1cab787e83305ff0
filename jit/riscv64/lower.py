"""The RISC-V backend: RV64GC without the bit-manipulation extensions.

R0-R10 live where Linux's JIT keeps them; t1-t4 are scratch inside an Op. A 32-bit result whose upper half an
instruction leaves wrong is cut with a pair of shifts; so only its low half must be right before, and the 64-bit form
of the instruction, which compresses more often, does as well.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

from bpf.isa.effects import signed
from jit.backend import SAVED, Backend
from jit.ops import NONE, Front, Op, OpFunction, as_unsigned
from jit.relax import Form
from jit.riscv64 import encode as x
from jit.riscv64.constants import far, li, near, split
from jit.riscv64.encode import RA, SP, T1, T2, T3, T4, ZERO
from jit.target import Target

HOME = (x.A5, x.A0, x.A1, x.A2, x.A3, x.A4, x.S1, x.S2, x.S3, x.S4, x.S5, x.T0)

# condition -> (condition code, whether the operands change places)
_CONDITIONS = {
    "jeq": (x.BEQ, False), "jne": (x.BNE, False),
    "jgt": (x.BLTU, True), "jge": (x.BGEU, False), "jlt": (x.BLTU, False), "jle": (x.BGEU, True),
    "jsgt": (x.BLT, True), "jsge": (x.BGE, False), "jslt": (x.BLT, False), "jsle": (x.BGE, True),
}  # fmt: skip
_ZERO_TESTS = {  # comparisons that are the same as one with 0, which has a register
    ("jgt", 0): "jne", ("jle", 0): "jeq", ("jge", 1): "jne", ("jlt", 1): "jeq",
    ("jsgt", -1): "jsge", ("jsle", -1): "jslt", ("jsge", 1): "jsgt", ("jslt", 1): "jsle",
}  # fmt: skip

_LOADS = {
    (8, False): x.lbu, (16, False): x.lhu, (32, False): x.lwu, (64, False): x.ld,
    (8, True): x.lb, (16, True): x.lh, (32, True): x.lw,
}  # fmt: skip
_STORES = {8: x.sb, 16: x.sh, 32: x.sw, 64: x.sd}
_BITWISE = {"or": (x.or_, x.ori), "xor": (x.xor, x.xori)}
_SHIFTS = {
    ("lsh", 64): x.sll, ("rsh", 64): x.srl, ("arsh", 64): x.sra,
    ("lsh", 32): x.sllw, ("rsh", 32): x.srlw, ("arsh", 32): x.sraw,
}  # fmt: skip
_SHIFTS_IMM = {"lsh": x.slli, "rsh": x.srli, "arsh": x.srai}
_DIVISIONS = {
    ("div", 64): x.divu, ("sdiv", 64): x.div, ("mod", 64): x.remu, ("smod", 64): x.rem,
    ("div", 32): x.divuw, ("sdiv", 32): x.divw, ("mod", 32): x.remuw, ("smod", 32): x.remw,
}  # fmt: skip
_ATOMICS = {"add": x.amoadd, "or": x.amoor, "and": x.amoand, "xor": x.amoxor, "xchg": x.amoswap}

_FULL = x.ACQUIRE + x.RELEASE
_NEAR = range(-4096, 4095)  # what two addi add up to


class RiscV(Backend):
    """Ops to RISC-V."""

    unit = 1
    forms: ClassVar = {
        "goto": (Form(4, *near(0)), Form(8, *far(0))),
        "call": (Form(4, *near(0)), Form(8, *far(0))),
        "branch": (Form(4, -0x1000, 0xFFE), Form(8, *near(4)), Form(12, *far(4))),
        # With a first form of 2 bytes: c.j; c.beqz and c.bnez.
        "c.goto": (Form(2, -0x800, 0x7FE), Form(4, *near(0)), Form(8, *far(0))),
        "c.branch": (Form(2, -0x100, 0xFE), Form(4, -0x1000, 0xFFE), Form(6, *near(2)), Form(10, *far(2))),
    }

    def __init__(self, target: Target, front: Front, features: frozenset[str]) -> None:
        super().__init__(target, front, features)
        self.compressed = "c" in features
        self.pack: Callable[[int], bytes] = x.compress if self.compressed else x.wide

    def put(self, *words: int) -> None:
        """Emit instructions."""
        emit, pack = self.emit, self.pack
        for word in words:
            emit(pack(word))

    def prologue(self, function: OpFunction) -> None:
        """Store what the function writes of R6-R9, and ra if it calls; sp stays a multiple of 16."""
        saved = _saved(function)
        if saved:
            self.put(x.addi(SP, SP, -_frame(saved)))
            self.put(*(x.sd(register, SP, 8 * slot) for slot, register in enumerate(saved)))

    def epilogue(self, function: OpFunction) -> None:
        """Undo the prologue and return R0 in a0."""
        self._leave(function)
        self.put(x.addi(x.A0, HOME[0], 0), x.jalr(ZERO, RA, 0))

    def lower_tail_jump(self, op: Op) -> None:
        """Undo the prologue and jump; not by t0, AX's home, since that counts as a return."""
        self._leave(self.function)
        self.put(x.addi(T1, HOME[op.a], 0), x.jalr(ZERO, T1, 0))

    def _leave(self, function: OpFunction) -> None:
        saved = _saved(function)
        if saved:
            self.put(*(x.ld(register, SP, 8 * slot) for slot, register in enumerate(saved)))
            self.put(x.addi(SP, SP, _frame(saved)))

    def jump(self, kind: str, args: tuple[int, ...], label: int) -> None:
        """See Backend; an unconditional jump may have its 2-byte form."""
        super().jump("c.goto" if kind == "goto" and self.compressed else kind, args, label)

    def encode_fixup(self, kind: str, args: tuple[int, ...], form: int, distance: int) -> bytes:
        """See Backend. A long conditional branch is the opposite branch over a jump."""
        size = self.forms[kind][form].size
        if kind == "call":
            return _jump(RA, RA, size, distance)
        if not args:
            return _jump(ZERO, T1, size, distance)
        condition, rs1, rs2 = args
        if size == 2:
            return x.compress(x.branch(condition, rs1, rs2, distance))
        if size == 4:
            return x.wide(x.branch(condition, rs1, rs2, distance))
        over = x.branch(condition ^ 1, rs1, rs2, size)
        head = x.compress(over) if kind == "c.branch" else x.wide(over)
        return head + _jump(ZERO, T1, size - len(head), distance - len(head))

    def move(self, dst: int, src: int) -> None:
        """See Backend."""
        if dst != src:
            self.put(x.addi(HOME[dst], HOME[src], 0))

    def zero_extend(self, dst: int, src: int, bits: int) -> None:
        """See Backend."""
        self._cut(HOME[dst], HOME[src], bits)

    def _cut(self, d: int, s: int, bits: int = 32) -> None:
        """d = the low bits of s."""
        self.put(x.slli(d, s, 64 - bits), x.srli(d, d, 64 - bits))

    def swap_bytes(self, dst: int, src: int, bits: int) -> None:
        """See Backend. Neighbouring bytes change places, then halfwords, then words."""
        d, s = HOME[dst], HOME[src]
        if bits == 16:
            self.put(x.slli(T1, s, 56), x.srli(T1, T1, 48))
            self.put(x.slli(d, s, 48), x.srli(d, d, 56), x.add(d, d, T1))
        elif bits == 32:
            self.put(x.lui(T2, 0xFF0), x.addi(T2, T2, 0xFF))  # 00ff00ff
            self._swap_neighbours(d, s, T2, 8)
            self.put(x.slli(T1, d, 32), x.add(d, d, T1))  # twice the same word: a shift turns it
            self.put(x.slli(d, d, 16), x.srli(d, d, 32))
        else:
            self.put(x.addi(T2, ZERO, -1), x.srli(T2, T2, 32))
            self.put(x.slli(T1, T2, 16), x.xor(T2, T2, T1))  # 0000ffff0000ffff
            self.put(x.slli(T1, T2, 8), x.xor(T3, T2, T1))  # 00ff00ff00ff00ff
            self._swap_neighbours(d, s, T3, 8)
            self._swap_neighbours(d, d, T2, 16)
            self.put(x.slli(T1, d, 32), x.srli(d, d, 32), x.add(d, d, T1))

    def _swap_neighbours(self, d: int, s: int, mask: int, bits: int) -> None:
        """d = s with every two neighbouring groups of bits swapped; the mask has the lower one of each two set."""
        self.put(x.and_(T1, s, mask), x.srli(d, s, bits), x.and_(d, d, mask))
        self.put(x.slli(T1, T1, bits), x.add(d, d, T1))

    def move_frame(self, amount: int) -> None:
        """See Backend."""
        self.put(x.addi(HOME[10], HOME[10], amount))

    def after_call(self) -> None:
        """See Backend."""
        self.put(x.addi(HOME[0], x.A0, 0))

    # ALU -------------------------------------------------------------------------------------------

    def lower_mov(self, op: Op) -> None:
        """dst = b or imm."""
        d = HOME[op.dst]
        if op.b == NONE:
            self.put(*li(d, op.imm if op.width == 64 else op.imm & 0xFFFFFFFF, T1))
        elif op.width == 32:
            self._cut(d, HOME[op.b])
        else:
            self.move(op.dst, op.b)

    def lower_const(self, op: Op) -> None:
        """dst = 64-bit number."""
        self.put(*li(HOME[op.dst], op.imm, T1))

    def _add_imm(self, d: int, a: int, imm: int) -> None:
        """d = a + imm; t1 is used for what two addi do not reach (d may be t1)."""
        if -2048 <= imm < 2048:
            if imm or d != a:
                self.put(x.addi(d, a, imm))
        elif imm in _NEAR:
            step = 2047 if imm > 0 else -2048
            self.put(x.addi(d, a, step), x.addi(d, d, imm - step))
        else:
            self.put(*li(T1, imm, T2), x.add(d, a, T1))

    def lower_add(self, op: Op) -> None:
        """dst = a + b."""
        d = HOME[op.dst]
        if op.b == NONE:
            self._add_imm(d, HOME[op.a], op.imm)
        else:
            self.put(x.add(d, HOME[op.a], HOME[op.b]))
        if op.width == 32:
            self._cut(d, d)

    def lower_sub(self, op: Op) -> None:
        """dst = a - b."""
        d, a = HOME[op.dst], HOME[op.a]
        if op.b != NONE:
            self.put(x.sub(d, a, HOME[op.b]))
        elif -op.imm in _NEAR:
            self._add_imm(d, a, -op.imm)
        else:
            self.put(*li(T1, op.imm, T2), x.sub(d, a, T1))
        if op.width == 32:
            self._cut(d, d)

    def _bitwise(self, op: Op) -> None:
        d, a = HOME[op.dst], HOME[op.a]
        apply, apply_imm = _BITWISE[op.name]
        if op.b != NONE:
            self.put(apply(d, a, HOME[op.b]))
        elif -2048 <= op.imm < 2048:
            self.put(apply_imm(d, a, op.imm))
        else:
            self.put(*li(T1, op.imm, T2), apply(d, a, T1))
        if op.width == 32:
            self._cut(d, d)

    lower_or = lower_xor = _bitwise

    def lower_and(self, op: Op) -> None:
        """dst = a & b."""
        d = HOME[op.dst]
        if op.b == NONE:
            self._and_imm(d, HOME[op.a], op.imm, op.width)
            return
        self.put(x.and_(d, HOME[op.a], HOME[op.b]))
        if op.width == 32:
            self._cut(d, d)

    def _and_imm(self, d: int, a: int, imm: int, width: int) -> None:
        """d = a & imm, cut to the width; ones down to bit 0 or up to the top take two shifts and no constant."""
        mask = as_unsigned(imm, width)
        if -2048 <= imm < 2048 and (width == 64 or imm >= 0):
            self.put(x.andi(d, a, imm))
        elif mask & mask + 1 == 0:
            self._cut(d, a, mask.bit_length())
        elif imm < 0 and -imm & -imm - 1 == 0:
            count = (-imm).bit_length() - 1
            self.put((x.srli if width == 64 else x.srliw)(d, a, count), x.slli(d, d, count))
        elif -2048 <= imm < 0:
            self.put(x.andi(d, a, imm))
            self._cut(d, d)
        else:
            self.put(*li(T1, mask, T2), x.and_(d, a, T1))

    def lower_mul(self, op: Op) -> None:
        """dst = a * b."""
        d, a = HOME[op.dst], HOME[op.a]
        if op.b != NONE:
            self.put(x.mul(d, a, HOME[op.b]))
        else:
            factor = as_unsigned(op.imm, op.width)
            if factor and factor & factor - 1 == 0:
                self._shift_imm("lsh", op.width, d, a, factor.bit_length() - 1)
                return
            self.put(*li(T1, op.imm, T2), x.mul(d, a, T1))
        if op.width == 32:
            self._cut(d, d)

    def lower_neg(self, op: Op) -> None:
        """dst = -a."""
        d = HOME[op.dst]
        self.put(x.sub(d, ZERO, HOME[op.a]))
        if op.width == 32:
            self._cut(d, d)

    def lower_movsx(self, op: Op) -> None:
        """dst = sign-extended low bits of b."""
        d, s, up = HOME[op.dst], HOME[op.b], 64 - op.bits
        if op.width == 32:
            self.put(x.slli(d, s, up), x.srai(d, d, up - 32), x.srli(d, d, 32))
        elif op.bits == 32:
            self.put(x.addiw(d, s, 0))
        else:
            self.put(x.slli(d, s, up), x.srai(d, d, up))

    def _shift(self, op: Op) -> None:
        d, a = HOME[op.dst], HOME[op.a]
        if op.b == NONE:
            self._shift_imm(op.name, op.width, d, a, op.imm & op.width - 1)
            return
        self.put(_SHIFTS[op.name, op.width](d, a, HOME[op.b]))
        if op.width == 32:
            self._cut(d, d)

    def _shift_imm(self, name: str, width: int, d: int, a: int, count: int) -> None:
        """d = a shifted by a number below the width; 32 bits: the cut is part of it."""
        if width == 64:
            if count or d != a:
                self.put(_SHIFTS_IMM[name](d, a, count))
        elif name == "lsh":
            self.put(x.slli(d, a, 32 + count), x.srli(d, d, 32))
        elif count == 0:
            self._cut(d, a)
        elif name == "rsh":
            self.put(x.srliw(d, a, count))
        else:
            self.put(x.slli(d, a, 32), x.srai(d, d, count), x.srli(d, d, 32))

    lower_lsh = lower_rsh = lower_arsh = _shift

    def _divide(self, op: Op) -> None:
        """The machine has BPF's remainders and MIN / -1; only x / 0 is all ones, and adding (b == 0) makes it 0."""
        d, a, width = HOME[op.dst], HOME[op.a], op.width
        if op.b == NONE:
            self._divide_imm(op.name, width, d, a, op.imm)
            return
        b = HOME[op.b]
        divide = _DIVISIONS[op.name, width](d, a, b)
        if op.name in ("mod", "smod"):
            self.put(divide)
        elif width == 64:
            self.put(x.sltiu(T1, b, 1), divide, x.add(d, d, T1))
        else:
            self.put(x.addiw(T1, b, 0), x.sltiu(T1, T1, 1), divide, x.add(d, d, T1))
        if width == 32:
            self._cut(d, d)

    def _divide_imm(self, name: str, width: int, d: int, a: int, imm: int) -> None:
        """d = a divided by a number that is not 0."""
        divisor = as_unsigned(imm, width)
        unsigned = name in ("div", "mod")
        if unsigned and divisor & divisor - 1 == 0:
            if name == "div":
                self._shift_imm("rsh", width, d, a, divisor.bit_length() - 1)
            else:
                self._and_imm(d, a, divisor - 1, width)
            return
        self.put(*li(T1, imm, T2), _DIVISIONS[name, width](d, a, T1))
        # A result below 2**31 needs no cut: divuw and remuw extend it with zeros.
        if width == 32 and not (unsigned and (name == "div" or divisor < 1 << 31)):
            self._cut(d, d)

    lower_div = lower_sdiv = lower_mod = lower_smod = _divide

    # Memory ----------------------------------------------------------------------------------------

    def _address(self, base: int, off: int) -> tuple[int, int]:
        """A register (base or t1) and a 12-bit offset that together are base + off."""
        if -2048 <= off < 2048:
            return base, off
        if off in _NEAR:
            step = 2047 if off > 0 else -2048
            self.put(x.addi(T1, base, step))
            return T1, off - step
        high, low = split(off)
        self.put(x.lui(T1, high), x.add(T1, T1, base))
        return T1, low

    def lower_load(self, op: Op) -> None:
        """dst = [a + off]."""
        base, off = self._address(HOME[op.a], op.off)
        self.put(_LOADS[op.width, op.signed](HOME[op.dst], base, off))
        if op.ordered:
            self.put(x.FENCE_R_RW)

    def lower_store(self, op: Op) -> None:
        """[a + off] = b or imm."""
        base, off = self._address(HOME[op.a], op.off)
        source = ZERO
        if op.b != NONE:
            source = HOME[op.b]
        elif op.imm:
            source = T2
            self.put(*li(T2, signed(op.imm, op.width), T3))
        if op.ordered:
            self.put(x.FENCE_RW_W)
        self.put(_STORES[op.width](source, base, off))

    def lower_atomic(self, op: Op) -> None:
        """One amo instruction; compare-and-exchange is a loop. Forms that return the old value are fully ordered."""
        base, src, width = HOME[op.a], HOME[op.b], op.width
        if op.off:
            self._add_imm(T1, base, op.off)
            base = T1
        if op.cond == "cmpxchg":
            self._compare_exchange(width, base, src)
        elif not op.fetch:
            self.put(_ATOMICS[op.cond](width, ZERO, src, base, x.RELAXED))
        else:
            self.put(_ATOMICS[op.cond](width, src, src, base, _FULL))
            if width == 32:
                self._cut(src, src)

    def _compare_exchange(self, width: int, base: int, src: int) -> None:
        """R0 = old value of [base], which becomes src if it was R0. t2: old value; t3: failure; t4: what to find.

        lr.aq with sc.aqrl is fully ordered (the manual's table of Linux's primitives).
        """
        r0 = expected = HOME[0]
        if width == 32:
            expected = T4
            self.put(x.addiw(T4, r0, 0))  # as lr.w extends what it loads
        self.put(x.lr(width, T2, base, x.ACQUIRE), x.branch(x.BNE, T2, expected, 12))
        self.put(x.sc(width, T3, src, base, _FULL), x.branch(x.BNE, T3, ZERO, -12))  # these four have no 2-byte form
        if width == 32:
            self._cut(r0, T2)
        else:
            self.put(x.addi(r0, T2, 0))

    # Control ---------------------------------------------------------------------------------------

    def lower_branch(self, op: Op) -> None:
        """Compare and jump in one; narrower operands and other numbers than 0 go through scratch registers."""
        if op.cond == "jset":
            self._branch_on(x.BLT if self._test(op) else x.BNE, T1, ZERO, op.target)
            return
        a, imm, narrow = HOME[op.a], op.imm, op.width == 32
        cond = _ZERO_TESTS.get((op.cond, imm), op.cond) if op.b == NONE else op.cond
        equality = cond in ("jeq", "jne")
        if op.b != NONE:
            b = HOME[op.b]
            if narrow and equality:
                self.put(x.subw(T1, a, b))
                a, b = T1, ZERO
            elif narrow:
                self.put(x.addiw(T1, a, 0), x.addiw(T2, b, 0))  # keeps the order of unsigned numbers too
                a, b = T1, T2
        elif imm == 0 or cond != op.cond:
            b = ZERO
            if narrow:
                self.put(x.addiw(T1, a, 0))
                a = T1
        elif narrow and equality and -2048 <= -imm < 2048:
            self.put(x.addiw(T1, a, -imm))
            a, b = T1, ZERO
        else:
            b = T2
            self.put(*li(T2, imm, T3))
            if narrow:
                self.put(x.addiw(T1, a, 0))
                a = T1
        condition, exchanged = _CONDITIONS[cond]
        self._branch_on(condition, *((b, a) if exchanged else (a, b)), op.target)

    def _branch_on(self, condition: int, rs1: int, rs2: int, label: int) -> None:
        short = self.compressed and rs2 == ZERO and condition in (x.BEQ, x.BNE) and rs1 in x.POPULAR
        self.jump("c.branch" if short else "branch", (condition, rs1, rs2), label)

    def _test(self, op: Op) -> bool:
        """Set t1 for a & b: not 0 where a bit is set; or, when this returns True, negative."""
        a, imm, narrow = HOME[op.a], op.imm, op.width == 32
        if op.b != NONE:
            self.put(x.and_(T1, a, HOME[op.b]))
            if narrow:
                self.put(x.addiw(T1, T1, 0))
            return False
        mask = as_unsigned(imm, op.width)
        small = -2048 <= imm < 2048
        if not small or (narrow and imm < 0):
            if mask & mask - 1 == 0:  # one bit: to the top
                self.put(x.slli(T1, a, 64 - mask.bit_length()))
                return True
            if mask & mask + 1 == 0:  # the lowest bits
                self.put(x.slli(T1, a, 64 - mask.bit_length()))
                return False
            if imm < 0 and -imm & -imm - 1 == 0:  # the highest bits
                self.put((x.srliw if narrow else x.srli)(T1, a, (-imm).bit_length() - 1))
                return False
        if small:
            self.put(x.andi(T1, a, imm))
        else:
            self.put(*li(T1, imm, T2), x.and_(T1, T1, a))
        if narrow and imm < 0:
            self.put(x.addiw(T1, T1, 0))
        return False


def _saved(function: OpFunction) -> list[int]:
    """The registers that a function stores: ra if it calls, and the homes it writes of R6-R9."""
    return [RA] * function.calls + [HOME[r] for r in SAVED if function.written >> r & 1]


def _frame(saved: list[int]) -> int:
    """Bytes of stack for that many registers: a multiple of 16."""
    return 8 * len(saved) + 15 & -16


def _jump(link: int, via: int, size: int, distance: int) -> bytes:
    """A jump of that size: c.j, jal, or auipc and jalr through register `via`."""
    if size == 8:
        high, low = split(distance)
        return x.wide(x.auipc(via, high)) + x.wide(x.jalr(link, via, low))
    return (x.compress if size == 2 else x.wide)(x.jal(link, distance))


LOWER = RiscV
