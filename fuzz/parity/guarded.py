"""Programs that mostly guard what they do, by plain random choice: most are accepted, the others nearly.

A writer keeps in mind, roughly, what each register holds, so that most of what it writes is meaningful: bounds are
checked before memory is reached, results before they are used. With a small chance each such care is left out. All
instructions are well-formed; what is malformed is made by malformed.py.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from random import Random

from bpf.isa import ROW, Insn, encode, make
from bpf.isa.opcodes import ATOMIC_OPS
from bpf.object.btf import Btf, Kind, Member, Type
from bpf.program import Map
from bpf.spec.program_types import PROGRAM_TYPES
from fuzz.parity.shapes import VOIDS, typed
from verifier.subject import Subject

MAPS = (
    Map("values", "array", 4, 32, 4), Map("table", "hash", 8, 48, 8), Map("one", "array", 4, 64, 1),
    Map("programs", "prog_array", 4, 4, 4), Map("ring", "ringbuf", 0, 0, 4096),
    Map("locked", "array", 4, 64, 2, lock=8, value_type=3),
)  # fmt: skip
_TYPES = Btf((
    *VOIDS,
    Type(Kind.INT, "unsigned int", 4, bits=32),
    Type(Kind.STRUCT, "bpf_spin_lock", 4, members=(Member("val", 1, 0),)),
    Type(Kind.STRUCT, "locked", 64, members=(Member("lock", 2, 64),)),
))  # fmt: skip
_ELEMENTS = 3  # of the maps have plain elements
_PROGRAMS, _RING, _LOCKED = 3, 4, 5
_NUMBER, _CONTEXT, _STACK, _PACKET, _END, _VALUE, _MAYBE, _MAP, _NONE = (
    "number", "context", "stack", "packet", "packet end", "value", "maybe a value", "map", ""
)  # fmt: skip
_KINDS = {"socket_filter": 5, "sched_cls": 5, "xdp": 3, "cgroup_skb": 2, "tracepoint": 1}
_PACKET_FIELDS = {"sched_cls": (76, 80), "xdp": (0, 4), "cgroup_skb": (76, 80)}
_NUMBER_FIELDS = {
    "socket_filter": (0, 4, 8, 16, 40), "sched_cls": (0, 4, 8, 40, 68), "xdp": (12, 16), "cgroup_skb": (0, 4, 8, 16),
}  # fmt: skip
_ALU = ("add", "sub", "mul", "div", "mod", "or", "and", "xor", "lsh", "rsh", "arsh", "sdiv", "smod")
_CONDITIONS = ("jeq", "jne", "jgt", "jge", "jlt", "jle", "jsgt", "jsge", "jslt", "jsle", "jset")
_EDGES = (
    0, 1, 2, 3, 4, 7, 8, 15, 16, 31, 32, 47, 48, 63, 64, 255, 256, 0x7FFF, 0xFFFF, 0x7FFFFFFF, -0x80000000,
    -1, -2, -8, -16, -64, 0x10000, 0x0FFFFFFF,
)  # fmt: skip
_WIDE = (
    0, 1, 0xFFFFFFFF, 1 << 32, (1 << 63) - 1, 1 << 63, (1 << 64) - 1, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF_80000000,
    0x100000001, 0xFFFFFFFF_00000000,
)  # fmt: skip
_LOOKUP, _UPDATE, _DELETE, _TIME, _RANDOM, _TAIL_CALL, _LOAD_BYTES, _CSUM_DIFF = 1, 2, 3, 5, 7, 12, 26, 28
_LOCK, _UNLOCK, _RESERVE, _SUBMIT, _DISCARD, _LOOP = 93, 94, 131, 132, 133, 181
_LOADS_PACKET = frozenset({"socket_filter", "sched_cls"})
_CARELESS = 0.06


@dataclass
class _Function:
    """One function being written. kinds: of R0-R9; slots: what whole stack slots hold, by offset; calls: to settle."""

    insns: list[Insn | None] = field(default_factory=list)
    kinds: list[str] = field(default_factory=lambda: [_NONE] * 10)
    slots: dict[int, str] = field(default_factory=dict)
    calls: list[tuple[int, int]] = field(default_factory=list)
    leaves: list[int] = field(default_factory=list)


class _Writer:
    """Writes a program of one type."""

    def __init__(self, rng: Random, kind: str) -> None:
        self.rng = rng
        self.kind = kind
        self.function = _Function()
        self.functions = [self.function]
        self.depth = 0
        self.context = 0  # register that keeps the context, 0 for none

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
        found = self.register(_NUMBER)
        if found is None:
            found = self.free()
            self.put("mov64_imm", dst=found, imm=self.rng.choice(_EDGES), holds=_NUMBER)
        return found

    # Writing -------------------------------------------------------------------------------------

    def put(self, name: str, dst: int = 0, src: int = 0, off: int = 0, imm: int = 0, holds: str | None = None) -> None:
        """An instruction. holds: what its dst has then."""
        self.function.insns.append(make(ROW[name], dst, src, off, imm))
        if ROW[name].opcode & 7 == 0:
            self.function.insns.append(None)
        if holds is not None:
            self.function.kinds[dst] = holds

    def called(self, result: str) -> None:
        """What a call leaves."""
        self.function.kinds[:6] = [result, *[_NONE] * 5]

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
            dst = self.register(rng.choice((_PACKET, _STACK, _VALUE, _MAYBE, _CONTEXT))) or dst
        if rng.random() < 0.5:
            src = self.number()
            self.put(f"{op}{bits}_reg", dst, src)
            return
        imm = rng.choice(_EDGES)
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
            self.put(name, dst, src, holds=_NUMBER)
        else:
            self.put(name, src)

    def constant(self) -> None:
        """A known number."""
        rng = self.rng
        if rng.random() < 0.4:
            self.put("lddw_imm", self.free(), imm=rng.choice(_WIDE), holds=_NUMBER)
        else:
            self.put(rng.choice(("mov64_imm", "mov32_imm")), self.free(), imm=rng.choice(_EDGES), holds=_NUMBER)

    def unknown(self) -> None:
        """A number that is not known."""
        rng = self.rng
        fields = _NUMBER_FIELDS.get(self.kind)
        if self.context and fields and rng.random() < 0.5:
            self.put("ldx32", self.free(), self.context, rng.choice(fields), holds=_NUMBER)
            return
        self.put("call_helper", imm=rng.choice((_RANDOM, _TIME)))
        self.called(_NUMBER)

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
            self.put(f"{op}{bits}_imm", dst, imm=rng.choice(_EDGES))
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
        found = self.register(self.rng.choice((_PACKET, _VALUE, _STACK, _CONTEXT, _END)))
        return self.number() if found is None else found

    def land(self, jump: int) -> None:
        """Have a jump go to what is written next."""
        insn = self.function.insns[jump]
        assert insn is not None
        self.function.insns[jump] = insn._replace(off=len(self.function.insns) - jump - 1)

    def join(self, kinds: list[str], slots: dict[int, str]) -> None:
        """Two paths meet: what they do not agree on is not counted on."""
        self.function.kinds = [
            one if one == other or self.careless() else _NONE
            for one, other in zip(self.function.kinds, kinds, strict=True)
        ]
        self.function.slots = {at: one for at, one in self.function.slots.items() if slots.get(at) == one}

    def spill(self) -> None:
        """A register goes to the stack, whole or in part."""
        rng = self.rng
        at = -8 * rng.randrange(1, 9)
        register = rng.choice([number for number, kind in enumerate(self.function.kinds) if kind] or [0])
        kind = self.function.kinds[register]
        if kind == _NONE:
            return
        if kind != _NUMBER or rng.random() < 0.6:
            self.put("stx64", 10, register, at)
            self.function.slots[at] = kind
        elif rng.random() < 0.5:
            bits = rng.choice((8, 16, 32))
            self.put(f"stx{bits}", 10, register, at + rng.randrange(0, 8, bits // 8))
        else:
            bits = rng.choice((8, 16, 32, 64))
            self.put(f"st{bits}", 10, off=at + rng.randrange(0, 8, bits // 8), imm=rng.choice(_EDGES))
            if bits == 64:
                self.function.slots[at] = _NUMBER

    def fill(self) -> None:
        """What is on the stack goes to a register, whole or in part."""
        rng = self.rng
        if self.function.slots and not self.careless():
            at = rng.choice(list(self.function.slots))
            kind = self.function.slots[at]
        else:
            at, kind = -8 * rng.randrange(1, 9), _NUMBER
        if kind != _NUMBER or rng.random() < 0.6:
            self.put("ldx64", self.free(), 10, at, holds=kind)
        else:
            name = rng.choice(("ldx8", "ldx16", "ldx32", "ldsx8", "ldsx16", "ldsx32"))
            self.put(name, self.free(), 10, at + rng.randrange(0, 8, ROW[name].width // 8), holds=_NUMBER)

    def anywhere(self) -> None:
        """The stack is reached at an offset that is not known."""
        rng = self.rng
        register, base = self.number(), self.free()
        if register == base:
            return
        self.bound(register, rng.choice((7, 8, 15, 31)))
        self.put("mov64_reg", base, 10)
        self.put("add64_imm", base, imm=rng.choice((-64, -48, -32, -8)))
        self.put("add64_reg", base, register, holds=_NONE)
        bits = rng.choice((8, 8, 8, 64, 16))
        if rng.random() < 0.5:
            self.put(f"ldx{bits}", self.free(), base, 0, holds=_NUMBER)
        else:
            self.put(f"stx{bits}", base, self.number(), 0)

    def lookup(self) -> None:
        """An element of a map."""
        rng = self.rng
        number = rng.randrange(_ELEMENTS)
        size = MAPS[number].key_size
        at = -8 * rng.randrange(1, 9)
        if size == 8:
            self.put("st64", 10, off=at, imm=rng.choice((0, 1, 7)))
        else:
            self.put("st32", 10, off=at, imm=rng.choice((0, 1, 3, 9)))
        self.function.slots.pop(at, None)
        self.put("mov64_reg", 2, 10)
        self.put("add64_imm", 2, imm=at)
        self.put("lddw_map_fd", 1, imm=number)
        self.put("call_helper", imm=_LOOKUP)
        self.called(_MAYBE)
        if not self.careless():
            self.skip("jeq64_imm", 0)
            self.function.kinds[0] = _VALUE
        if rng.random() < 0.5:
            self.put("mov64_reg", rng.randrange(6, 10) if not self.context else 9, 0, holds=self.function.kinds[0])

    def direct(self) -> None:
        """The address of a value is loaded."""
        at = self.rng.choice((0, 0, 8, 32, 60))
        self.put("lddw_map_fd_value", self.free(), imm=2 | at << 32, holds=_VALUE)

    def value(self) -> None:
        """The value of a map is read or written, perhaps at an offset that is not known."""
        rng = self.rng
        base = self.register(_VALUE if not self.careless() else _MAYBE)
        if base is None:
            (self.direct if rng.random() < 0.4 else self.lookup)()
            return
        if rng.random() < 0.4:
            register = self.number()
            if register != base:
                self.bound(register, rng.choice((7, 15, 24, 31)))
                if rng.random() < 0.5:
                    copy = self.free()
                    if copy != register:
                        self.put("mov64_reg", copy, base, holds=_VALUE)
                        base = copy
                self.put(rng.choice(("add64_reg", "add64_reg", "add64_reg", "sub64_reg")), base, register)
        self.access(base, rng.choice((0, 0, 4, 8, 16, 24, 28, 40)))

    def access(self, base: int, off: int) -> None:
        """Memory behind a register is read, written or changed atomically."""
        rng = self.rng
        what = rng.random()
        if what < 0.5:
            name = rng.choice(("ldx8", "ldx16", "ldx32", "ldx64", "ldx64", "ldsx8", "ldsx32"))
            self.put(name, self.free(), base, off, holds=_NUMBER)
        elif what < 0.85:
            bits = rng.choice((8, 16, 32, 64))
            if rng.random() < 0.5:
                self.put(f"st{bits}", base, off=off, imm=rng.choice(_EDGES))
            else:
                self.put(f"stx{bits}", base, self.number(), off)
        else:
            self.atomic(base, off)

    def atomic(self, base: int, off: int) -> None:
        """An atomic change."""
        rng = self.rng
        op = rng.choice((*ATOMIC_OPS, *(f"fetch_{op}" for op in ATOMIC_OPS), "xchg", "cmpxchg"))
        if op == "cmpxchg" and self.function.kinds[0] != _NUMBER:
            self.put("mov64_imm", 0, imm=rng.choice(_EDGES), holds=_NUMBER)
        self.put(f"atomic{rng.choice((32, 64))}_{op}", base, self.number(), off)

    def packet(self) -> None:
        """The packet is reached, behind a check of its length."""
        rng = self.rng
        fields = _PACKET_FIELDS.get(self.kind)
        if fields is None or not self.context:
            self.alu()
            return
        start, end, edge = rng.sample([number for number in range(10) if number != self.context], 3)
        self.put("ldx32", start, self.context, fields[0], holds=_PACKET)
        self.put("ldx32", end, self.context, fields[1], holds=_END)
        if rng.random() < 0.4:
            moving = self.register(_NUMBER)
            if moving is not None and moving not in (start, end, edge):
                self.bound(moving, rng.choice((15, 63, 255, 0x7FFF)))
                self.put("add64_reg", start, moving)
        length = rng.choice((1, 4, 8, 14, 34, 64))
        self.put("mov64_reg", edge, start, holds=_PACKET)
        self.put("add64_imm", edge, imm=length)
        if not self.careless():
            form = rng.randrange(4)
            if form == 0:
                self.skip("jgt64_reg", edge, end)
            elif form == 1:
                self.skip("jlt64_reg", end, edge)
            elif form == 2:
                self.skip("jge64_reg", edge, end)
            else:
                self.skip("jle64_reg", end, edge)
        bits = rng.choice((8, 16, 32, 64))
        off = rng.choice((0, length - bits // 8, length - bits // 8 + (rng.random() < 0.1), length // 2))
        if rng.random() < 0.7 or self.kind == "cgroup_skb":
            self.put(f"ldx{bits}", self.free(), start, max(off, 0), holds=_NUMBER)
        else:
            self.put(f"stx{bits}", start, self.number(), max(off, 0))

    def loop(self) -> None:
        """A loop with a counter, known or bounded."""
        rng = self.rng
        if self.depth > 1:
            self.alu()
            return
        counter = rng.choice((7, 8, 9))
        if rng.random() < 0.6 or self.register(_NUMBER) is None:
            self.put("mov64_imm", counter, imm=rng.randrange(1, 6), holds=_NUMBER)
        else:
            self.put("mov64_reg", counter, self.number(), holds=_NUMBER)
            self.put("and64_imm", counter, imm=7)
        before, slots = list(self.function.kinds), dict(self.function.slots)
        start = len(self.function.insns)
        form = rng.randrange(3)
        if form == 2:
            self.put("may_goto")
        self.depth += 1
        self.block(rng.randrange(1, 5))
        self.depth -= 1
        if form == 2:
            self.put("ja", off=start - len(self.function.insns) - 1)
            self.land(start)
        elif self.function.kinds[counter] == _NUMBER:
            self.put("sub64_imm", counter, imm=1)
            name = "jne64_imm" if form == 0 else "jsgt64_imm"
            self.put(name, counter, off=start - len(self.function.insns) - 1)
        self.join(before, slots)

    def call(self) -> None:
        """A function of the program is called, with numbers and perhaps a place on the stack."""
        rng = self.rng
        if len(self.functions) > 4:
            self.alu()
            return
        arguments = rng.randrange(1, 4)
        passed = []
        for number in range(1, arguments + 1):
            kind = rng.choice((_NUMBER, _NUMBER, _STACK, _VALUE, _CONTEXT))
            source = self.register(kind)
            if kind == _STACK:
                self.put("mov64_reg", number, 10, holds=_STACK)
                self.put("add64_imm", number, imm=-8 * rng.randrange(1, 9))
            elif source is not None:
                self.put("mov64_reg", number, source, holds=kind)
            else:
                kind = _NUMBER
                self.put("mov64_imm", number, imm=rng.choice(_EDGES), holds=_NUMBER)
            passed.append(kind)
        self.function.calls.append((len(self.function.insns), len(self.functions)))
        self.put("call_local")
        outer, context, depth = self.function, self.context, self.depth
        self.function, self.context, self.depth = _Function(), 0, depth + 1
        self.functions.append(self.function)
        self.function.kinds[1 : arguments + 1] = passed
        self.block(rng.randrange(2, 8))
        self.finish()
        self.function, self.context, self.depth = outer, context, depth
        self.called(_NUMBER)

    def through(self) -> None:
        """Memory behind a stack pointer that was passed."""
        base = self.register(_STACK)
        if base is None:
            self.spill()
        else:
            self.access(base, self.rng.choice((0, 0, 0, 4, -8)))

    def callback(self) -> None:
        """bpf_loop with a function of the program."""
        rng = self.rng
        if len(self.functions) > 4 or self.depth:
            self.change()
            return
        self.put("mov64_imm", 1, imm=rng.choice((0, 1, 3, 5, 1 << 23)))
        self.function.calls.append((len(self.function.insns), len(self.functions)))
        self.put("lddw_func", 2)
        self.put("mov64_reg", 3, 10)
        self.put("add64_imm", 3, imm=-8 * rng.randrange(1, 5))
        self.put("mov64_imm", 4)
        self.put("call_helper", imm=_LOOP)
        outer, context = self.function, self.context
        self.function, self.context, self.depth = _Function(), 0, 1
        self.functions.append(self.function)
        self.function.kinds[1:3] = [_NUMBER, _STACK]
        self.block(rng.randrange(1, 6))
        self.put("mov64_imm", 0, imm=rng.choice((0, 0, 1)))
        self.put("exit")
        self.settle()
        self.function, self.context, self.depth = outer, context, 0
        self.called(_NUMBER)

    def memory(self, register: int, size: int) -> None:
        """A register gets memory of so many bytes, mostly: stack, or the value of a map."""
        rng = self.rng
        value = self.register(_VALUE, 6)
        if value is not None and rng.random() < 0.3:
            self.put("mov64_reg", register, value, holds=_VALUE)
            return
        at = -8 * rng.randrange(1, 9)
        if not self.careless():
            at = min(at, -8 * ((size + 7) // 8))
            for slot in range(at, at + 8 * ((size + 7) // 8), 8):
                if rng.random() < 0.8:
                    self.put("st64", 10, off=slot, imm=rng.choice(_EDGES))
                    self.function.slots[slot] = _NUMBER
        self.put("mov64_reg", register, 10)
        self.put("add64_imm", register, imm=at, holds=_STACK)

    def update(self) -> None:
        """An element is set or deleted."""
        rng = self.rng
        number = rng.randrange(_ELEMENTS)
        self.memory(3, MAPS[number].value_size)
        self.memory(2, MAPS[number].key_size)
        self.put("lddw_map_fd", 1, imm=number)
        if rng.random() < 0.7:
            self.put("mov64_imm", 4, imm=rng.choice((0, 1, 2)))
            self.put("call_helper", imm=_UPDATE)
        else:
            self.put("call_helper", imm=_DELETE)
        self.called(_NUMBER)

    def sized(self) -> None:
        """A helper that takes memory with a size, known or bounded."""
        rng = self.rng
        skb = self.kind in ("socket_filter", "sched_cls", "cgroup_skb") and self.context
        size = rng.choice((1, 4, 8, 16, 24))
        moving = self.register(_NUMBER, 6)
        if skb:
            self.memory(3, size)
            self.put("mov64_reg", 1, self.context, holds=_CONTEXT)
            self.put("mov64_imm", 2, imm=rng.choice((0, 14, 30)))
            length, helper = 4, _LOAD_BYTES
        elif self.kind in ("sched_cls", "xdp"):
            size = size + 3 & ~3
            self.memory(1, size)
            self.put("mov64_imm", 3)
            self.put("mov64_imm", 4)
            self.put("mov64_imm", 5)
            length, helper = 2, _CSUM_DIFF
        else:
            self.change()
            return
        if moving is not None and rng.random() < 0.5:
            self.bound(moving, size)
            self.put("mov64_reg", length, moving, holds=_NUMBER)
        else:
            self.put("mov64_imm", length, imm=size if rng.random() < 0.9 else rng.choice((0, size + 1, 512)))
        self.put("call_helper", imm=helper)
        self.called(_NUMBER)

    def record(self) -> None:
        """A record of a ring buffer is reserved, written and given back, mostly."""
        rng = self.rng
        self.put("lddw_map_fd", 1, imm=_RING)
        self.put("mov64_imm", 2, imm=rng.choice((8, 16, 64)))
        self.put("mov64_imm", 3)
        self.put("call_helper", imm=_RESERVE)
        self.called(_NONE)
        jump = len(self.function.insns)
        self.put("jeq64_imm", 0)
        keeper = rng.choice((7, 8, 9))
        self.put("mov64_reg", keeper, 0)
        self.function.kinds[keeper] = _NONE
        if rng.random() < 0.5:
            self.put("st32", keeper, off=rng.choice((0, 4, 8, 12)), imm=1)
        if rng.random() < 0.5:
            before = list(self.function.kinds)
            self.block(rng.randrange(1, 3))
            self.join(before, dict(self.function.slots))
        if not self.careless():
            self.put("mov64_reg", 1, keeper)
            self.put("mov64_imm", 2)
            self.put("call_helper", imm=rng.choice((_SUBMIT, _DISCARD)))
        self.called(_NONE)
        self.land(jump)
        self.function.kinds[keeper] = _NONE

    def locked(self) -> None:
        """Under a spin lock."""
        rng = self.rng
        if self.kind == "socket_filter":
            self.alu()
            return
        self.put("st32", 10, off=-4, imm=rng.choice((0, 1, 5)))
        self.function.slots.pop(-8, None)
        self.put("mov64_reg", 2, 10)
        self.put("add64_imm", 2, imm=-4)
        self.put("lddw_map_fd", 1, imm=_LOCKED)
        self.put("call_helper", imm=_LOOKUP)
        self.called(_NONE)
        self.skip("jeq64_imm", 0)
        keeper = rng.choice((7, 8, 9))
        self.put("mov64_reg", keeper, 0, holds=_NONE)
        for helper in (_LOCK, _UNLOCK):
            if not self.careless():
                self.put("mov64_reg", 1, keeper)
                self.put("add64_imm", 1, imm=8)
                self.put("call_helper", imm=helper)
                self.called(_NONE)
            if helper == _LOCK:
                self.put("ldx32", 0, keeper, rng.choice((0, 4, 12, 60)), holds=_NUMBER)
                self.put("add32_imm", 0, imm=1)
                self.put("stx32", keeper, 0, rng.choice((0, 4, 12, 60)))
        self.called(_NONE)

    def tail(self) -> None:
        """A tail call."""
        context = self.register(_CONTEXT)
        if context is None:
            self.alu()
            return
        self.put("mov64_reg", 1, context, holds=_CONTEXT)
        self.put("lddw_map_fd", 2, imm=_PROGRAMS)
        moving = self.register(_NUMBER, 6)
        if moving is not None and self.rng.random() < 0.5:
            self.put("mov64_reg", 3, moving)
        else:
            self.put("mov64_imm", 3, imm=self.rng.choice((0, 3, 9)))
        self.put("call_helper", imm=_TAIL_CALL)
        self.called(_NONE)

    def absolute(self) -> None:
        """A packet load by ld_abs or ld_ind."""
        rng = self.rng
        if self.function.kinds[6] != _CONTEXT or self.kind not in _LOADS_PACKET:
            self.spill()
            return
        bits = rng.choice((8, 16, 32))
        if rng.random() < 0.6:
            self.put(f"ld_abs{bits}", imm=rng.choice((0, 12, 14, 23)))
        else:
            self.put(f"ld_ind{bits}", 0, self.number(), imm=rng.choice((0, 4, 14)))
        self.called(_NUMBER)

    def block(self, length: int) -> None:
        """Some gestures."""
        for _ in range(length):
            gesture = self.rng.choices(_GESTURES, _WEIGHTS)[0]
            gesture(self)

    def finish(self) -> None:
        """The end of a function."""
        rng = self.rng
        source = self.register(_NUMBER)
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
        self.function.kinds[1] = _CONTEXT
        if self.rng.random() < 0.85:
            self.put("mov64_reg", 6, 1, holds=_CONTEXT)
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


_TABLE = {
    _Writer.alu: 14, _Writer.change: 8, _Writer.constant: 8, _Writer.unknown: 8, _Writer.branch: 12, _Writer.spill: 10,
    _Writer.fill: 8, _Writer.anywhere: 3, _Writer.lookup: 4, _Writer.direct: 2, _Writer.value: 10, _Writer.packet: 6,
    _Writer.loop: 3, _Writer.call: 3, _Writer.through: 4, _Writer.callback: 1,
    _Writer.update: 2, _Writer.sized: 3, _Writer.record: 2, _Writer.locked: 1, _Writer.tail: 1, _Writer.absolute: 1,
}  # fmt: skip
_GESTURES, _WEIGHTS = tuple(_TABLE), tuple(_TABLE.values())


def subject(rng: Random, length: int = 14) -> Subject:
    """A program of about so many gestures."""
    kind = rng.choices(tuple(_KINDS), tuple(_KINDS.values()))[0]
    code = encode(_Writer(rng, kind).whole(rng.randrange(1, length + 1)), "little")
    return typed(Subject(code, "little", PROGRAM_TYPES[kind], maps=MAPS, btf=_TYPES))
