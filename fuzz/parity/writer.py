"""Writing a program while keeping in mind, roughly, what each register and stack slot holds: numbers, branches, stack.

What works on memory and what calls is guarded.py's.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from random import Random

from bpf.isa import ROW, Insn, make

NUMBER, CONTEXT, STACK, PACKET, END, VALUE, MAYBE, NONE = (
    "number", "context", "stack", "packet", "packet end", "value", "maybe a value", ""
)  # fmt: skip
_NUMBER_FIELDS = {
    "socket_filter": (0, 4, 8, 16, 40), "sched_cls": (0, 4, 8, 40, 68), "xdp": (12, 16), "cgroup_skb": (0, 4, 8, 16),
}  # fmt: skip
_ALU = ("add", "sub", "mul", "div", "mod", "or", "and", "xor", "lsh", "rsh", "arsh", "sdiv", "smod")
_CONDITIONS = ("jeq", "jne", "jgt", "jge", "jlt", "jle", "jsgt", "jsge", "jslt", "jsle", "jset")
EDGES = (
    0, 1, 2, 3, 4, 7, 8, 15, 16, 31, 32, 47, 48, 63, 64, 255, 256, 0x7FFF, 0xFFFF, 0x7FFFFFFF, -0x80000000,
    -1, -2, -8, -16, -64, 0x10000, 0x0FFFFFFF,
)  # fmt: skip
_WIDE = (
    0, 1, 0xFFFFFFFF, 1 << 32, (1 << 63) - 1, 1 << 63, (1 << 64) - 1, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF_80000000,
    0x100000001, 0xFFFFFFFF_00000000,
)  # fmt: skip
_TIME, _RANDOM = 5, 7
_CARELESS = 0.06


@dataclass
class Function:
    """One function being written. kinds: of R0-R9; slots: what whole stack slots hold, by offset; calls: to settle."""

    insns: list[Insn | None] = field(default_factory=list)
    kinds: list[str] = field(default_factory=lambda: [NONE] * 10)
    slots: dict[int, str] = field(default_factory=dict)
    calls: list[tuple[int, int]] = field(default_factory=list)
    leaves: list[int] = field(default_factory=list)


class Writer:
    """Writes a program of one type."""

    def __init__(self, rng: Random, kind: str) -> None:
        self.rng = rng
        self.kind = kind
        self.function = Function()
        self.functions = [self.function]
        self.depth = 0
        self.context = 0  # register that keeps the context, 0 for none

    def block(self, length: int) -> None:
        """Some gestures."""
        raise NotImplementedError

    # Choices -------------------------------------------------------------------------------------

    def careless(self) -> bool:
        """Whether a check is left out here."""
        return self.rng.random() < _CARELESS

    def register(self, kind: str, low: int = 0) -> int | None:
        """A register that holds such a thing."""
        found = [number for number, one in enumerate(self.function.kinds) if one == kind and number >= low]
        return self.rng.choice(found) if found else None

    def free(self) -> int:
        """A register to write to."""
        return self.rng.choice([number for number in range(10) if number != self.context or not self.context])

    def number(self) -> int:
        """A register that holds a number, which is made if need be."""
        found = self.register(NUMBER)
        if found is None:
            found = self.free()
            self.put("mov64_imm", dst=found, imm=self.rng.choice(EDGES), holds=NUMBER)
        return found

    # Writing -------------------------------------------------------------------------------------

    def put(self, name: str, dst: int = 0, src: int = 0, off: int = 0, imm: int = 0, holds: str | None = None) -> None:
        """An instruction. holds: what its dst has then."""
        insn = make(ROW[name], dst, src, off, imm)
        self.function.insns += (insn,) if insn.slots == 1 else (insn, None)
        if holds is not None:
            self.function.kinds[dst] = holds

    def called(self, result: str) -> None:
        """What a call leaves."""
        self.function.kinds[:6] = [result, *[NONE] * 5]

    def skip(self, name: str, dst: int, src: int = 0, imm: int = 0) -> None:
        """A jump out of the function."""
        self.function.leaves.append(len(self.function.insns))
        self.put(name, dst, src, 0, imm)

    def alu(self) -> None:
        """A computation with numbers, seldom with a pointer."""
        rng, op = self.rng, self.rng.choice(_ALU)
        bits = rng.choice((64, 64, 32))
        dst = self.number()
        if rng.random() < 0.03:
            dst = self.register(rng.choice((PACKET, STACK, VALUE, MAYBE, CONTEXT))) or dst
        if rng.random() < 0.5:
            src = self.number()
            self.put(f"{op}{bits}_reg", dst, src)
            return
        imm = rng.choice(EDGES)
        if op in ("lsh", "rsh", "arsh"):
            imm = rng.randrange(bits)
        elif op in ("div", "mod", "sdiv", "smod"):
            imm = imm or 3
        self.put(f"{op}{bits}_imm", dst, imm=imm)

    def change(self) -> None:
        """A move, an extension, a negation or a swap of a number."""
        rng = self.rng
        src, dst = self.number(), self.free()
        name = rng.choice(
            ("mov64_reg", "mov64_reg", "mov32_reg", "movsx8_64", "movsx16_64", "movsx32_64", "movsx8_32", "movsx16_32",
             "neg64", "neg32", "to_be16", "to_le32", "bswap64", "bswap16")
        )  # fmt: skip
        if name.startswith("mov"):
            self.put(name, dst, src, holds=NUMBER)
        else:
            self.put(name, src)

    def constant(self) -> None:
        """A known number."""
        rng = self.rng
        if rng.random() < 0.4:
            self.put("lddw_imm", self.free(), imm=rng.choice(_WIDE), holds=NUMBER)
        else:
            self.put(rng.choice(("mov64_imm", "mov32_imm")), self.free(), imm=rng.choice(EDGES), holds=NUMBER)

    def unknown(self) -> None:
        """A number that is not known."""
        rng = self.rng
        fields = _NUMBER_FIELDS.get(self.kind)
        if self.context and fields and rng.random() < 0.5:
            self.put("ldx32", self.free(), self.context, rng.choice(fields), holds=NUMBER)
            return
        self.put("call_helper", imm=rng.choice((_RANDOM, _TIME)))
        self.called(NUMBER)

    def bound(self, register: int, most: int) -> None:
        """Have a number be at most `most`, by one means or another."""
        if self.careless():
            return
        how = self.rng.randrange(5)
        if how == 0:
            self.put(self.rng.choice(("and64_imm", "and32_imm")), register, imm=(1 << most.bit_length() - 1) - 1)
        elif how == 1:
            self.skip(self.rng.choice(("jgt64_imm", "jgt32_imm")), register, imm=most)
        elif how == 2:
            self.skip("jsgt64_imm", register, imm=most)
            self.skip("jslt64_imm", register, imm=0)
        elif how == 3:
            self.put("mod64_imm", register, imm=most + 1)
        else:
            self.put("rsh64_imm", register, imm=max(0, 64 - most.bit_length() + 1))

    def branch(self) -> None:
        """A condition over some instructions."""
        rng = self.rng
        op, bits = rng.choice(_CONDITIONS), rng.choice((64, 64, 32))
        at = len(self.function.insns)
        dst = self.number()
        at = len(self.function.insns)
        if rng.random() < 0.35:
            self.put(f"{op}{bits}_reg", dst, self.number() if rng.random() < 0.95 else self.pointer())
            at = len(self.function.insns) - 1
        else:
            self.put(f"{op}{bits}_imm", dst, imm=rng.choice(EDGES))
        before, slots = list(self.function.kinds), dict(self.function.slots)
        self.block(rng.randrange(1, 5))
        if rng.random() < 0.3:
            jump = len(self.function.insns)
            self.put("ja")
            self.land(at)
            self.join(before, slots)
            self.block(rng.randrange(1, 4))
            self.land(jump)
        else:
            self.land(at)
        self.join(before, slots)

    def pointer(self) -> int:
        """Some pointer, or a number where there is none."""
        found = self.register(self.rng.choice((PACKET, VALUE, STACK, CONTEXT, END)))
        return self.number() if found is None else found

    def land(self, jump: int) -> None:
        """Have a jump go to what is written next."""
        insn = self.function.insns[jump]
        assert insn is not None
        self.function.insns[jump] = insn._replace(off=len(self.function.insns) - jump - 1)

    def join(self, kinds: list[str], slots: dict[int, str]) -> None:
        """Two paths meet: what they do not agree on is not counted on."""
        self.function.kinds = [
            one if one == other or self.careless() else NONE
            for one, other in zip(self.function.kinds, kinds, strict=True)
        ]
        self.function.slots = {at: one for at, one in self.function.slots.items() if slots.get(at) == one}

    def spill(self) -> None:
        """A register goes to the stack, whole or in part."""
        rng = self.rng
        at = -8 * rng.randrange(1, 9)
        register = rng.choice([number for number, kind in enumerate(self.function.kinds) if kind] or [0])
        kind = self.function.kinds[register]
        if kind == NONE:
            return
        if kind != NUMBER or rng.random() < 0.6:
            self.put("stx64", 10, register, at)
            self.function.slots[at] = kind
        elif rng.random() < 0.5:
            bits = rng.choice((8, 16, 32))
            self.put(f"stx{bits}", 10, register, at + rng.randrange(0, 8, bits // 8))
        else:
            bits = rng.choice((8, 16, 32, 64))
            self.put(f"st{bits}", 10, off=at + rng.randrange(0, 8, bits // 8), imm=rng.choice(EDGES))
            if bits == 64:
                self.function.slots[at] = NUMBER

    def fill(self) -> None:
        """What is on the stack goes to a register, whole or in part."""
        rng = self.rng
        if self.function.slots and not self.careless():
            at = rng.choice(list(self.function.slots))
            kind = self.function.slots[at]
        else:
            at, kind = -8 * rng.randrange(1, 9), NUMBER
        if kind != NUMBER or rng.random() < 0.6:
            self.put("ldx64", self.free(), 10, at, holds=kind)
        else:
            name = rng.choice(("ldx8", "ldx16", "ldx32", "ldsx8", "ldsx16", "ldsx32"))
            self.put(name, self.free(), 10, at + rng.randrange(0, 8, ROW[name].width // 8), holds=NUMBER)

    def anywhere(self) -> None:
        """The stack is reached at an offset that is not known."""
        rng = self.rng
        register, base = self.number(), self.free()
        if register == base:
            return
        self.bound(register, rng.choice((7, 8, 15, 31)))
        self.put("mov64_reg", base, 10)
        self.put("add64_imm", base, imm=rng.choice((-64, -48, -32, -8)))
        self.put("add64_reg", base, register, holds=NONE)
        bits = rng.choice((8, 8, 8, 64, 16))
        if rng.random() < 0.5:
            self.put(f"ldx{bits}", self.free(), base, 0, holds=NUMBER)
        else:
            self.put(f"stx{bits}", base, self.number(), 0)

    def finish(self) -> None:
        """The end of a function."""
        rng = self.rng
        source = self.register(NUMBER)
        if source is None or rng.random() < 0.5:
            self.put("mov64_imm", 0, imm=rng.choice((0, 0, 1, 2)))
        elif source:
            self.put("mov64_reg", 0, source)
        self.put("exit")
        self.settle()

    def settle(self) -> None:
        """Jumps out of the function go to an exit of their own."""
        if self.function.leaves:
            for jump in self.function.leaves:
                self.land(jump)
            self.put("mov64_imm", 0)
            self.put("exit")
        self.function.leaves = []

    def whole(self, length: int) -> list[Insn | None]:
        """The program."""
        self.function.kinds[1] = CONTEXT
        if self.rng.random() < 0.85:
            self.put("mov64_reg", 6, 1, holds=CONTEXT)
            self.context = 6
        self.block(length)
        self.finish()
        starts: list[int] = []
        slots: list[Insn | None] = []
        for function in self.functions:
            starts.append(len(slots))
            slots += function.insns
        for start, function in zip(starts, self.functions, strict=True):
            for slot, callee in function.calls:
                insn = slots[start + slot]
                assert insn is not None
                slots[start + slot] = insn.with_distance(starts[callee] - start - slot - 1)
        return slots
