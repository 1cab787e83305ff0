"""The s390x backend.

R0-R10 live where Linux's JIT keeps them, AX in r12. r0 and r1 are scratch inside an Op: together the register pair of
division, r1 for constants. R0's home is r14, the link register, so a function that writes R0 saves r14 first.
"""

from __future__ import annotations

from typing import ClassVar

from jit.backend import SAVED, Backend
from jit.ops import AX, NONE, Op, OpFunction
from jit.relax import Form
from jit.s390x import encode as z

HOME = (14, 2, 3, 4, 5, 6, 7, 8, 9, 10, 13, 12)
RESULT, FRAME_POINTER, LINK, SP = 2, 13, 14, 15
SAVE_AREA = 160  # bytes above sp that belong to the callee

_M64 = (1 << 64) - 1
_M32 = (1 << 32) - 1
_SHORT = (-0x1_0000, 0xFFFE)
_LONG = (-0x1_0000_0000, 0xFFFF_FFFE)

ALWAYS, NONZERO, SERIALIZE = 15, 7, 14  # masks of bc; bcr 14,0 branches nowhere and is a full barrier
_MASKS = {
    "jeq": 8, "jne": 6, "jgt": 2, "jge": 10, "jlt": 4, "jle": 12, "jsgt": 2, "jsge": 10, "jslt": 4, "jsle": 12,
}  # fmt: skip
_EITHER = ("jeq", "jne")  # the same as a signed or an unsigned comparison
_LOGICAL = ("jgt", "jge", "jlt", "jle")
_COMPARE = (z.crj, z.clrj, z.cgrj, z.clgrj, z.cij, z.clij, z.cgij, z.clgij)  # [4 immediate + 2 wide + logical]

_ARITH = {  # three-address at 64 bits; two-address and three-address at 32 bits
    "add": (z.agrk, z.ar, z.ark),
    "sub": (z.sgrk, z.sr, z.srk),
    "or": (z.ogrk, z.or_, z.ork),
    "and": (z.ngrk, z.nr, z.nrk),
    "xor": (z.xgrk, z.xr, z.xrk),
}
_CUTS = {0xFF: z.llgcr, 0xFFFF: z.llghr, 0x7FFFFFFF: z.llgtr, _M32: z.llgfr}  # masks that have an instruction
_EXTEND = {(8, 64): z.lgbr, (16, 64): z.lghr, (32, 64): z.lgfr, (8, 32): z.lbr, (16, 32): z.lhr}
_SHIFTS = {"lsh": (z.sllg, z.sllk, z.sll), "rsh": (z.srlg, z.srlk, z.srl), "arsh": (z.srag, z.srak, z.sra)}

_LOADS = {
    (8, False): z.llgc, (16, False): z.llgh, (32, False): z.llgf, (64, False): z.lg,
    (8, True): z.lgb, (16, True): z.lgh, (32, True): z.lgf,
}  # fmt: skip
_STORES = {8: (z.stc, z.stcy), 16: (z.sth, z.sthy), 32: (z.st, z.sty), 64: (z.stg, z.stg)}
_STORES_OF_IMMEDIATES = {16: z.mvhhi, 32: z.mvhi, 64: z.mvghi}
_FETCH = {
    ("add", 64): z.laag, ("and", 64): z.lang, ("or", 64): z.laog, ("xor", 64): z.laxg,
    ("add", 32): z.laa, ("and", 32): z.lan, ("or", 32): z.lao, ("xor", 32): z.lax,
}  # fmt: skip


def _single(register: int, value: int) -> bytes:
    """The one instruction that loads an unsigned 64-bit number; empty where none does."""
    signed = value - (1 << 64) if value >> 63 else value
    if -0x8000 <= signed <= 0x7FFF:
        return z.lghi(register, signed)
    for shift, load in ((0, z.llill), (16, z.llilh), (32, z.llihl), (48, z.llihh)):
        if value & ~(0xFFFF << shift) == 0:
            return load(register, value >> shift)
    if -0x80000000 <= signed <= 0x7FFFFFFF:
        return z.lgfi(register, signed)
    if value <= _M32:
        return z.llilf(register, value)
    return b"" if value & _M32 else z.llihf(register, value >> 32)


def constant(register: int, value: int) -> bytes:
    """The shortest code, one or two instructions, that loads an unsigned 64-bit number."""
    code = _single(register, value)
    if code:
        return code
    high, low = value >> 32, value & _M32
    # Load the high word and insert the low one ...
    code = _single(register, high << 32)
    if low >> 16 == 0:
        code += z.iill(register, low)
    elif low & 0xFFFF == 0:
        code += z.iilh(register, low >> 16)
    else:
        code += z.iilf(register, low)
    if low >> 31 == 0 or len(code) == 8:
        return code
    # ... or load the low word, which brings ones into the high one, and insert there.
    other = _single(register, low | _M32 << 32)
    if high >> 16 == 0xFFFF:
        other += z.iihl(register, high & 0xFFFF)
    elif high & 0xFFFF == 0xFFFF:
        other += z.iihh(register, high >> 16)
    else:
        other += z.iihf(register, high)
    return min(code, other, key=len)


def bit_range(mask: int) -> tuple[int, int] | None:
    """(first, last) of the run of ones that a 64-bit mask is, counted from the left, as risbg takes them.

    A run may wrap around: then last < first. None for other masks, and for no ones at all.
    """
    lowest = mask & -mask
    if mask & (mask + lowest) == 0:
        return (64 - mask.bit_length(), 64 - lowest.bit_length()) if mask else None
    gap = ~mask & _M64
    lowest = gap & -gap
    if gap & (gap + lowest) == 0:
        return 65 - lowest.bit_length(), 63 - gap.bit_length()
    return None


class S390X(Backend):
    """Ops to s390x."""

    unit = 1
    forms: ClassVar = {
        "compare": (Form(6, *_SHORT), Form(12, _LONG[0] + 6, _LONG[1])),
        "cond": (Form(4, *_SHORT), Form(6, *_LONG)),
        "goto": (Form(4, *_SHORT), Form(6, *_LONG)),
        "call": (Form(6, *_LONG),),
    }

    @staticmethod
    def _saved(function: OpFunction) -> tuple[int, int] | None:
        """The first and last register that the function saves.

        A function that calls saves from r6 on, which calls destroy though the ABI has it preserved, and r15, whose
        restoring also frees the frame.
        """
        if function.calls:
            return 6, SP
        changed = [HOME[r] for r in (5, *SAVED, AX, 0) if function.written >> r & 1]
        return (changed[0], changed[-1]) if changed else None

    def prologue(self, function: OpFunction) -> None:
        """Save registers into the caller's register save area; allocate one where the function calls."""
        saved = self._saved(function)
        if saved:
            first, last = saved
            save = z.stg(first, SP, 8 * first) if first == last else z.stmg(first, last, SP, 8 * first)
            self.emit(save)
        if function.calls:
            self.emit(z.aghi(SP, -SAVE_AREA))

    def epilogue(self, function: OpFunction) -> None:
        """Undo the prologue and return R0 in r2."""
        self.emit(z.lgr(RESULT, HOME[0]))
        self._leave(function)
        self.emit(z.bcr(ALWAYS, LINK))

    def lower_tail_jump(self, op: Op) -> None:
        """Undo the prologue and jump. AX's home is preserved, and so is that of R5, so nobody hands it on."""
        self.emit(z.lgr(1, HOME[op.a]))
        self._leave(self.function)
        self.emit(z.bcr(ALWAYS, 1))

    def _leave(self, function: OpFunction) -> None:
        saved = self._saved(function)
        if saved:
            first, last = saved
            disp = 8 * first + (SAVE_AREA if function.calls else 0)
            self.emit(z.lg(first, SP, disp) if first == last else z.lmg(first, last, SP, disp))

    def encode_fixup(self, kind: str, args: tuple[int, ...], form: int, distance: int) -> bytes:
        """See Backend."""
        if kind == "compare":
            number, a, b, mask = args
            if form == 0:
                return _COMPARE[number](a, b, mask, distance)
            return _COMPARE[number](a, b, mask ^ 14, 12) + z.brcl(ALWAYS, distance - 6)
        if kind == "call":
            return z.brasl(LINK, distance)
        mask = args[0] if kind == "cond" else ALWAYS
        return z.brc(mask, distance) if form == 0 else z.brcl(mask, distance)

    def move(self, dst: int, src: int) -> None:
        """See Backend."""
        if dst != src:
            self.emit(z.lgr(HOME[dst], HOME[src]))

    def zero_extend(self, dst: int, src: int, bits: int) -> None:
        """See Backend."""
        self.emit(z.llgfr(HOME[dst], HOME[src]) if bits == 32 else z.llghr(HOME[dst], HOME[src]))

    def swap_bytes(self, dst: int, src: int, bits: int) -> None:
        """See Backend."""
        d, s = HOME[dst], HOME[src]
        if bits == 32:
            self.emit(z.lrvr(d, s) + z.llgfr(d, d))
        else:
            self.emit(z.lrvgr(d, s))
            if bits == 16:
                self.emit(z.srlg(d, d, 0, 48))

    def move_frame(self, amount: int) -> None:
        """See Backend."""
        self.emit(z.aghi(FRAME_POINTER, amount))

    def after_call(self) -> None:
        """See Backend."""
        self.emit(z.lgr(HOME[0], RESULT))

    # ALU -------------------------------------------------------------------------------------------

    def lower_mov(self, op: Op) -> None:
        """dst = b or imm."""
        d = HOME[op.dst]
        if op.b == NONE:
            self.emit(constant(d, op.imm & (_M64 if op.width == 64 else _M32)))
        elif op.width == 32:
            self.emit(z.llgfr(d, HOME[op.b]))
        elif op.dst != op.b:
            self.emit(z.lgr(d, HOME[op.b]))

    def lower_const(self, op: Op) -> None:
        """dst = 64-bit number."""
        self.emit(constant(HOME[op.dst], op.imm))

    def lower_neg(self, op: Op) -> None:
        """dst = -a."""
        d, a = HOME[op.dst], HOME[op.a]
        self.emit(z.lcgr(d, a) if op.width == 64 else z.lcr(d, a) + z.llgfr(d, d))

    def lower_movsx(self, op: Op) -> None:
        """dst = sign-extended low bits of b."""
        d = HOME[op.dst]
        self.emit(_EXTEND[op.bits, op.width](d, HOME[op.b]))
        if op.width == 32:
            self.emit(z.llgfr(d, d))

    def _registers(self, op: Op, b: int) -> None:
        """dst = a op native register b."""
        d, a = HOME[op.dst], HOME[op.a]
        wide, short, distinct = _ARITH[op.name]
        if op.width == 64:
            self.emit(wide(d, a, b))
            return
        if d == a:
            self.emit(short(d, b))
        elif d == b and op.name != "sub":
            self.emit(short(d, a))
        else:
            self.emit(distinct(d, a, b))
        self.emit(z.llgfr(d, d))

    def _add(self, op: Op) -> None:
        if op.b != NONE:
            self._registers(op, HOME[op.b])
            return
        d, a = HOME[op.dst], HOME[op.a]
        imm = op.imm if op.name == "add" else -op.imm
        if d == a and -0x8000 <= imm <= 0x7FFF:
            self.emit(z.aghi(d, imm))
        elif d != a and 0 <= imm < 4096:
            self.emit(z.la(d, a, imm))  # an address is a 64-bit sum
        elif d != a and -0x80000 <= imm <= 0x7FFFF:
            self.emit(z.lay(d, a, imm))
        else:
            self.move(op.dst, op.a)
            self.emit(z.agfi(d, imm) if imm <= 0x7FFFFFFF else z.algfi(d, imm))  # -(-2**31) is unsigned
        if op.width == 32:
            self.emit(z.llgfr(d, d))

    lower_add = lower_sub = _add

    def lower_mul(self, op: Op) -> None:
        """Two-address."""
        wide = op.width == 64
        d, a = HOME[op.dst], HOME[op.a]
        multiply = z.msgr if wide else z.msr
        if op.b != NONE and op.dst == op.b:
            self.emit(multiply(d, a))
        else:
            self.move(op.dst, op.a)
            if op.b != NONE:
                self.emit(multiply(d, HOME[op.b]))
            elif -0x8000 <= op.imm <= 0x7FFF:
                self.emit(z.mghi(d, op.imm) if wide else z.mhi(d, op.imm))
            else:
                self.emit(z.msgfi(d, op.imm) if wide else z.msfi(d, op.imm))
        if not wide:
            self.emit(z.llgfr(d, d))

    def lower_and(self, op: Op) -> None:
        """Many masks are one instruction that needs no further zero extension."""
        if op.b != NONE:
            self._registers(op, HOME[op.b])
            return
        d, a = HOME[op.dst], HOME[op.a]
        mask = op.imm & (_M64 if op.width == 64 else _M32)
        if mask == 0:
            self.emit(z.lghi(d, 0))
        elif mask in _CUTS:
            self.emit(_CUTS[mask](d, a))
        elif d == a and mask >> 16 == _M64 >> 16:
            self.emit(z.nill(d, mask & 0xFFFF))
        elif run := bit_range(mask):
            self.emit(z.risbg(d, a, *run, 0))
        elif mask >> 16 == 0:
            self.emit(z.llghr(d, a) + z.nill(d, mask))
        else:
            if mask <= _M32:
                self.emit(z.llgfr(d, a))
            else:
                self.move(op.dst, op.a)
            if mask >> 16 & 0xFFFF == 0xFFFF:
                self.emit(z.nill(d, mask & 0xFFFF))
            elif mask & 0xFFFF == 0xFFFF:
                self.emit(z.nilh(d, mask >> 16 & 0xFFFF))
            else:
                self.emit(z.nilf(d, mask & _M32))

    def _or(self, op: Op) -> None:
        if op.b != NONE:
            self._registers(op, HOME[op.b])
            return
        d = HOME[op.dst]
        if op.width == 32:
            self.emit(z.llgfr(d, HOME[op.a]))
        elif op.imm < 0:  # ones in the upper half, which no immediate form reaches
            self.emit(constant(1, op.imm & _M64))
            self._registers(op, 1)
            return
        else:
            self.move(op.dst, op.a)
        mask = op.imm & _M32
        if op.name == "xor":
            self.emit(z.xilf(d, mask))
        elif mask >> 16 == 0:
            self.emit(z.oill(d, mask))
        elif mask & 0xFFFF == 0:
            self.emit(z.oilh(d, mask >> 16))
        else:
            self.emit(z.oilf(d, mask))

    lower_or = lower_xor = _or

    def _shift(self, op: Op) -> None:
        d, a = HOME[op.dst], HOME[op.a]
        wide, distinct, short = _SHIFTS[op.name]
        if op.b == NONE:
            count = op.imm & (op.width - 1)
            if op.width == 64 and count:
                self.emit(wide(d, a, 0, count))
            elif op.width == 64:
                self.move(op.dst, op.a)
            elif count == 0:
                self.emit(z.llgfr(d, a))
            elif op.name == "lsh":
                self.emit(z.risbg(d, a, 32, 63 - count, count))
            elif op.name == "rsh":
                self.emit(z.risbg(d, a, 32 + count, 63, 64 - count))
            else:
                self.emit(short(d, 0, count) if d == a else distinct(d, a, 0, count))
                self.emit(z.llgfr(d, d))
        elif op.width == 64:
            self.emit(wide(d, a, HOME[op.b], 0))
        else:  # the machine counts modulo 64
            self.emit(z.risbg(1, HOME[op.b], 59, 63, 0))
            self.emit(short(d, 1, 0) if d == a else distinct(d, a, 1, 0))
            self.emit(z.llgfr(d, d))

    lower_lsh = lower_rsh = lower_arsh = _shift

    def _divide(self, op: Op) -> None:
        """r0 = a % b, r1 = a / b; what b = 0 and MIN / -1 give is put there without dividing."""
        wide = op.width == 64
        is_signed, quotient = op.name.startswith("s"), op.name.endswith("div")
        d, a = HOME[op.dst], HOME[op.a]
        finish = z.lgr if wide else z.llgfr
        if is_signed:
            divide = z.dsgr if wide else z.dsgfr  # dsgfr divides 64 bits by 32, so MIN / -1 has room
            setup = z.lgr(1, a) if wide else z.lgfr(1, a)
        else:
            divide = z.dlgr if wide else z.dlr
            setup = z.lgr(1, a) + z.lghi(0, 0) if wide else z.lr(1, a) + z.xr(0, 0)
        if op.b == NONE:
            if wide and is_signed and op.imm == -1:
                self.emit(z.lcgr(d, a) if quotient else z.lghi(d, 0))
                return
            # a is in r1, so dst is free to hold the divisor.
            divisor = constant(d, op.imm & (_M64 if wide else _M32))
            self.emit(setup + divisor + divide(0, d) + finish(d, 1 if quotient else 0))
            return
        b = HOME[op.b]
        if wide and is_signed:
            # b + 1 in r0 is at most 1 for b = -1 and b = 0. There a * b is the quotient and a * (b + 1) the remainder.
            special = z.msgr(1, b) if quotient else z.msgr(0, 1)
            self.emit(setup + z.aghik(0, b, 1) + z.clgij(0, 1, 12, 14) + divide(0, b))
            self.emit(z.brc(ALWAYS, 4 + len(special)) + special + finish(d, 1 if quotient else 0))
            return
        # b = 0 leaves 0 in r0 and a in r1, so read the quotient from r0 and the remainder from r1.
        if quotient and is_signed:
            setup += z.lghi(0, 0)
        swap = z.lgr if wide else z.lr
        core = divide(0, b) + (swap(0, 1) if quotient else swap(1, 0))
        skip = z.cgij(b, 0, 8, 6 + len(core)) if wide else z.cij(b, 0, 8, 6 + len(core))
        self.emit(setup + skip + core + finish(d, 0 if quotient else 1))

    lower_div = lower_sdiv = lower_mod = lower_smod = _divide

    # Memory ----------------------------------------------------------------------------------------

    def lower_load(self, op: Op) -> None:
        """dst = [a + off]. Ordered ones are like any other: every load acquires and every store releases."""
        self.emit(_LOADS[op.width, op.signed](HOME[op.dst], HOME[op.a], op.off))

    def lower_store(self, op: Op) -> None:
        """[a + off] = b or imm."""
        base, off = HOME[op.a], op.off
        near = 0 <= off < 4096
        if op.b != NONE:
            register = HOME[op.b]
        elif op.width == 8:
            self.emit((z.mvi if near else z.mviy)(base, off, op.imm & 0xFF))
            return
        else:
            imm = (op.imm & 0xFFFF ^ 0x8000) - 0x8000 if op.width == 16 else op.imm
            if near and -0x8000 <= imm <= 0x7FFF:
                self.emit(_STORES_OF_IMMEDIATES[op.width](base, off, imm))
                return
            self.emit(constant(1, imm & _M64))
            register = 1
        self.emit(_STORES[op.width][not near](register, base, off))

    def lower_atomic(self, op: Op) -> None:
        """Load-and-operate does all but the exchanges, which compare and swap (serializing both before and after)."""
        wide = op.width == 64
        base, b, off = HOME[op.a], HOME[op.b], op.off
        if op.cond in ("xchg", "cmpxchg"):
            swap = z.csg if wide else z.cs if 0 <= off < 4096 else z.csy
            if op.cond == "cmpxchg":
                self.emit(swap(HOME[0], b, base, off))
                if not wide:
                    self.emit(z.llgfr(HOME[0], HOME[0]))
            else:
                turn = swap(0, b, base, off)
                self.emit((z.lg if wide else z.llgf)(0, base, off) + turn + z.brc(4, -len(turn)))
                self.emit(z.lgr(b, 0) if wide else z.llgfr(b, 0))
        elif op.fetch:
            self.emit(_FETCH[op.cond, op.width](b, b, base, off) + z.bcr(SERIALIZE, 0))
            if not wide:
                self.emit(z.llgfr(b, b))
        else:
            self.emit(_FETCH[op.cond, op.width](0, b, base, off))

    # Control ---------------------------------------------------------------------------------------

    def lower_branch(self, op: Op) -> None:
        """A compare-and-branch where the operand fits, else a comparison and a branch."""
        cond, imm, a = op.cond, op.imm, HOME[op.a]
        if cond == "jset":
            self._test(op)
            return
        wide, logical, mask = op.width == 64, cond in _LOGICAL, _MASKS[cond]
        number = 2 * wide + logical
        if op.b != NONE:
            self.jump("compare", (number, a, HOME[op.b], mask), op.target)
        elif not logical:
            if -128 <= imm < 128:
                self.jump("compare", (4 + number, a, imm, mask), op.target)
            elif cond in _EITHER and 128 <= imm < 256:
                self.jump("compare", (5 + number, a, imm, mask), op.target)
            else:
                if -0x8000 <= imm <= 0x7FFF:
                    self.emit(z.cghi(a, imm) if wide else z.chi(a, imm))
                else:
                    self.emit(z.cgfi(a, imm) if wide else z.cfi(a, imm))
                self.jump("cond", (mask,), op.target)
        elif 0 <= imm < 256:
            self.jump("compare", (4 + number, a, imm, mask), op.target)
        elif wide and imm < 0:
            self.emit(constant(1, imm & _M64))
            self.jump("compare", (number, a, 1, mask), op.target)
        else:
            self.emit(z.clgfi(a, imm) if wide else z.clfi(a, imm & _M32))
            self.jump("cond", (mask,), op.target)

    def _test(self, op: Op) -> None:
        """jset: condition code 0 says that no bit is set."""
        a, wide = HOME[op.a], op.width == 64
        mask = op.imm & (_M64 if wide else _M32)
        if op.b != NONE:
            self.emit(z.ngrk(0, a, HOME[op.b]) if wide else z.nrk(0, a, HOME[op.b]))
        elif mask >> 16 == 0:
            self.emit(z.tmll(a, mask))
        elif mask & ~0xFFFF0000 == 0:
            self.emit(z.tmlh(a, mask >> 16))
        elif run := bit_range(mask):
            self.emit(z.risbg(0, a, *run, 0))
        else:
            self.emit(constant(1, mask))
            self.emit(z.ngrk(0, a, 1) if wide else z.nrk(0, a, 1))
        self.jump("cond", (NONZERO,), op.target)


LOWER = S390X
