"""Programs that mostly guard what they do, by plain random choice: most are accepted, the others nearly.

The writer (writer.py) keeps in mind, roughly, what each register holds, so that most of what it writes is meaningful:
bounds are checked before memory is reached, results before they are used. With a small chance each such care is left
out. All instructions are well-formed; what is malformed is made by malformed.py.
"""

from __future__ import annotations

from random import Random

from bpf.isa import encode
from bpf.isa.opcodes import ATOMIC_OPS
from bpf.object.btf import Btf, Kind, Member, Type
from bpf.program import Map
from bpf.spec.program_types import PROGRAM_TYPES
from fuzz.parity.shapes import VOIDS, typed
from fuzz.parity.writer import CONTEXT, EDGES, END, MAYBE, NONE, NUMBER, PACKET, STACK, VALUE, Function, Writer
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
_KINDS = {"socket_filter": 5, "sched_cls": 5, "xdp": 3, "cgroup_skb": 2, "tracepoint": 1}
_PACKET_FIELDS = {"sched_cls": (76, 80), "xdp": (0, 4), "cgroup_skb": (76, 80)}
_LOOKUP, _UPDATE, _DELETE, _TIME, _RANDOM, _TAIL_CALL, _LOAD_BYTES, _CSUM_DIFF = 1, 2, 3, 5, 7, 12, 26, 28
_LOCK, _UNLOCK, _RESERVE, _SUBMIT, _DISCARD, _LOOP = 93, 94, 131, 132, 133, 181
_LOADS_PACKET = frozenset({"socket_filter", "sched_cls"})


class _Guarded(Writer):
    """Writes a program of one type."""

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
        self.called(MAYBE)
        if not self.careless():
            self.skip("jeq64_imm", 0)
            self.function.kinds[0] = VALUE
        if rng.random() < 0.5:
            self.put("mov64_reg", rng.randrange(6, 10) if not self.context else 9, 0, holds=self.function.kinds[0])

    def direct(self) -> None:
        """The address of a value is loaded."""
        at = self.rng.choice((0, 0, 8, 32, 60))
        self.put("lddw_map_fd_value", self.free(), imm=2 | at << 32, holds=VALUE)

    def value(self) -> None:
        """The value of a map is read or written, perhaps at an offset that is not known."""
        rng = self.rng
        base = self.register(VALUE if not self.careless() else MAYBE)
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
                        self.put("mov64_reg", copy, base, holds=VALUE)
                        base = copy
                self.put(rng.choice(("add64_reg", "add64_reg", "add64_reg", "sub64_reg")), base, register)
        self.access(base, rng.choice((0, 0, 4, 8, 16, 24, 28, 40)))

    def access(self, base: int, off: int) -> None:
        """Memory behind a register is read, written or changed atomically."""
        rng = self.rng
        what = rng.random()
        if what < 0.5:
            name = rng.choice(("ldx8", "ldx16", "ldx32", "ldx64", "ldx64", "ldsx8", "ldsx32"))
            self.put(name, self.free(), base, off, holds=NUMBER)
        elif what < 0.85:
            bits = rng.choice((8, 16, 32, 64))
            if rng.random() < 0.5:
                self.put(f"st{bits}", base, off=off, imm=rng.choice(EDGES))
            else:
                self.put(f"stx{bits}", base, self.number(), off)
        else:
            self.atomic(base, off)

    def atomic(self, base: int, off: int) -> None:
        """An atomic change."""
        rng = self.rng
        op = rng.choice((*ATOMIC_OPS, *(f"fetch_{op}" for op in ATOMIC_OPS), "xchg", "cmpxchg"))
        if op == "cmpxchg" and self.function.kinds[0] != NUMBER:
            self.put("mov64_imm", 0, imm=rng.choice(EDGES), holds=NUMBER)
        self.put(f"atomic{rng.choice((32, 64))}_{op}", base, self.number(), off)

    def packet(self) -> None:
        """The packet is reached, behind a check of its length."""
        rng = self.rng
        fields = _PACKET_FIELDS.get(self.kind)
        if fields is None or not self.context:
            self.alu()
            return
        start, end, edge = rng.sample([number for number in range(10) if number != self.context], 3)
        self.put("ldx32", start, self.context, fields[0], holds=PACKET)
        self.put("ldx32", end, self.context, fields[1], holds=END)
        if rng.random() < 0.4:
            moving = self.register(NUMBER)
            if moving is not None and moving not in (start, end, edge):
                self.bound(moving, rng.choice((15, 63, 255, 0x7FFF)))
                self.put("add64_reg", start, moving)
        length = rng.choice((1, 4, 8, 14, 34, 64))
        self.put("mov64_reg", edge, start, holds=PACKET)
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
            self.put(f"ldx{bits}", self.free(), start, max(off, 0), holds=NUMBER)
        else:
            self.put(f"stx{bits}", start, self.number(), max(off, 0))

    def loop(self) -> None:
        """A loop with a counter, known or bounded."""
        rng = self.rng
        if self.depth > 1:
            self.alu()
            return
        counter = rng.choice((7, 8, 9))
        if rng.random() < 0.6 or self.register(NUMBER) is None:
            self.put("mov64_imm", counter, imm=rng.randrange(1, 6), holds=NUMBER)
        else:
            self.put("mov64_reg", counter, self.number(), holds=NUMBER)
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
        elif self.function.kinds[counter] == NUMBER:
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
            kind = rng.choice((NUMBER, NUMBER, STACK, VALUE, CONTEXT))
            source = self.register(kind)
            if kind == STACK:
                self.put("mov64_reg", number, 10, holds=STACK)
                self.put("add64_imm", number, imm=-8 * rng.randrange(1, 9))
            elif source is not None:
                self.put("mov64_reg", number, source, holds=kind)
            else:
                kind = NUMBER
                self.put("mov64_imm", number, imm=rng.choice(EDGES), holds=NUMBER)
            passed.append(kind)
        self.function.calls.append((len(self.function.insns), len(self.functions)))
        self.put("call_local")
        outer, context, depth = self.function, self.context, self.depth
        self.function, self.context, self.depth = Function(), 0, depth + 1
        self.functions.append(self.function)
        self.function.kinds[1 : arguments + 1] = passed
        self.block(rng.randrange(2, 8))
        self.finish()
        self.function, self.context, self.depth = outer, context, depth
        self.called(NUMBER)

    def through(self) -> None:
        """Memory behind a stack pointer that was passed."""
        base = self.register(STACK)
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
        self.function, self.context, self.depth = Function(), 0, 1
        self.functions.append(self.function)
        self.function.kinds[1:3] = [NUMBER, STACK]
        self.block(rng.randrange(1, 6))
        self.put("mov64_imm", 0, imm=rng.choice((0, 0, 1)))
        self.put("exit")
        self.settle()
        self.function, self.context, self.depth = outer, context, 0
        self.called(NUMBER)

    def memory(self, register: int, size: int) -> None:
        """A register gets memory of so many bytes, mostly: stack, or the value of a map."""
        rng = self.rng
        value = self.register(VALUE, 6)
        if value is not None and rng.random() < 0.3:
            self.put("mov64_reg", register, value, holds=VALUE)
            return
        at = -8 * rng.randrange(1, 9)
        if not self.careless():
            at = min(at, -8 * ((size + 7) // 8))
            for slot in range(at, at + 8 * ((size + 7) // 8), 8):
                if rng.random() < 0.8:
                    self.put("st64", 10, off=slot, imm=rng.choice(EDGES))
                    self.function.slots[slot] = NUMBER
        self.put("mov64_reg", register, 10)
        self.put("add64_imm", register, imm=at, holds=STACK)

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
        self.called(NUMBER)

    def sized(self) -> None:
        """A helper that takes memory with a size, known or bounded."""
        rng = self.rng
        skb = self.kind in ("socket_filter", "sched_cls", "cgroup_skb") and self.context
        size = rng.choice((1, 4, 8, 16, 24))
        moving = self.register(NUMBER, 6)
        if skb:
            self.memory(3, size)
            self.put("mov64_reg", 1, self.context, holds=CONTEXT)
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
            self.put("mov64_reg", length, moving, holds=NUMBER)
        else:
            self.put("mov64_imm", length, imm=size if rng.random() < 0.9 else rng.choice((0, size + 1, 512)))
        self.put("call_helper", imm=helper)
        self.called(NUMBER)

    def record(self) -> None:
        """A record of a ring buffer is reserved, written and given back, mostly."""
        rng = self.rng
        self.put("lddw_map_fd", 1, imm=_RING)
        self.put("mov64_imm", 2, imm=rng.choice((8, 16, 64)))
        self.put("mov64_imm", 3)
        self.put("call_helper", imm=_RESERVE)
        self.called(NONE)
        jump = len(self.function.insns)
        self.put("jeq64_imm", 0)
        keeper = rng.choice((7, 8, 9))
        self.put("mov64_reg", keeper, 0)
        self.function.kinds[keeper] = NONE
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
        self.called(NONE)
        self.land(jump)
        self.function.kinds[keeper] = NONE

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
        self.called(NONE)
        self.skip("jeq64_imm", 0)
        keeper = rng.choice((7, 8, 9))
        self.put("mov64_reg", keeper, 0, holds=NONE)
        for helper in (_LOCK, _UNLOCK):
            if not self.careless():
                self.put("mov64_reg", 1, keeper)
                self.put("add64_imm", 1, imm=8)
                self.put("call_helper", imm=helper)
                self.called(NONE)
            if helper == _LOCK:
                self.put("ldx32", 0, keeper, rng.choice((0, 4, 12, 60)), holds=NUMBER)
                self.put("add32_imm", 0, imm=1)
                self.put("stx32", keeper, 0, rng.choice((0, 4, 12, 60)))
        self.called(NONE)

    def tail(self) -> None:
        """A tail call."""
        context = self.register(CONTEXT)
        if context is None:
            self.alu()
            return
        self.put("mov64_reg", 1, context, holds=CONTEXT)
        self.put("lddw_map_fd", 2, imm=_PROGRAMS)
        moving = self.register(NUMBER, 6)
        if moving is not None and self.rng.random() < 0.5:
            self.put("mov64_reg", 3, moving)
        else:
            self.put("mov64_imm", 3, imm=self.rng.choice((0, 3, 9)))
        self.put("call_helper", imm=_TAIL_CALL)
        self.called(NONE)

    def absolute(self) -> None:
        """A packet load by ld_abs or ld_ind."""
        rng = self.rng
        if self.function.kinds[6] != CONTEXT or self.kind not in _LOADS_PACKET:
            self.spill()
            return
        bits = rng.choice((8, 16, 32))
        if rng.random() < 0.6:
            self.put(f"ld_abs{bits}", imm=rng.choice((0, 12, 14, 23)))
        else:
            self.put(f"ld_ind{bits}", 0, self.number(), imm=rng.choice((0, 4, 14)))
        self.called(NUMBER)

    def block(self, length: int) -> None:
        """Some gestures."""
        for _ in range(length):
            gesture = self.rng.choices(_GESTURES, _WEIGHTS)[0]
            gesture(self)


_TABLE = {
    _Guarded.alu: 14, _Guarded.change: 8, _Guarded.constant: 8, _Guarded.unknown: 8, _Guarded.branch: 12,
    _Guarded.spill: 10, _Guarded.fill: 8, _Guarded.anywhere: 3, _Guarded.lookup: 4, _Guarded.direct: 2,
    _Guarded.value: 10, _Guarded.packet: 6, _Guarded.loop: 3, _Guarded.call: 3, _Guarded.through: 4,
    _Guarded.callback: 1, _Guarded.update: 2, _Guarded.sized: 3, _Guarded.record: 2, _Guarded.locked: 1,
    _Guarded.tail: 1, _Guarded.absolute: 1,
}  # fmt: skip
_GESTURES, _WEIGHTS = tuple(_TABLE), tuple(_TABLE.values())


def subject(rng: Random, length: int = 14) -> Subject:
    """A program of about so many gestures."""
    kind = rng.choices(tuple(_KINDS), tuple(_KINDS.values()))[0]
    code = encode(_Guarded(rng, kind).whole(rng.randrange(1, length + 1)), "little")
    return typed(Subject(code, "little", PROGRAM_TYPES[kind], maps=MAPS, btf=_TYPES))
