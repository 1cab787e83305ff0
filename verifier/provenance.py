"""What each access goes through: a flow-sensitive walk that follows pointers and constants and forgets other numbers.

Pointers are followed through moves, sums with constants, spills to the stack and fills, into called functions (each
call is walked with the frames it is made from) and into callbacks. Where paths meet, what they agree on is kept.
It finds which loads are context loads and proves nothing: an access that it does not understand has base OTHER.

A pointer to a structure of the kernel's is followed through its members by their types. Where no type is known, what
comes from such a structure, or from a context of such pointers, may be one too: a program that may run reads memory
through nothing else that it finds there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from bpf.errors import Refused
from bpf.facts import Base, Facts, Pointer
from bpf.isa import Insn, Kind
from bpf.isa.effects import signed
from bpf.object.attach import WORD, Word, types_of, walk, words
from bpf.object.btf import Btf
from bpf.object.btf import Kind as BtfKind
from bpf.order import Order
from bpf.program import Program
from bpf.spec.contexts import OBJECT, View
from bpf.spec.helpers import Helper
from bpf.spec.kfuncs import NEW

LIMIT = 200_000  # visits of instructions
M64 = (1 << 64) - 1


class Value(NamedTuple):
    """What a register or a slot of the stack holds.

    kind    NUMBER for whatever is followed no further
    offset  CONSTANT: the number, of 64 bits; CONTEXT: bytes from its start; STACK: bytes from its frame's R10;
            FUNCTION: its first slot; None: unknown
    frame   STACK: number of the frame, the entered function's being 0; OBJECT: its type, 0 where that is not known
    """

    kind: str
    offset: int | None = 0
    frame: int = 0


NUMBER, CONSTANT, CONTEXT, PACKET, MAP_VALUE, STACK, FUNCTION, MIXED, KERNEL = (
    "number", "constant", "context", "packet", "map value", "stack", "function", "mixed", "object"
)  # fmt: skip
UNKNOWN = Value(NUMBER)
_BASES = {PACKET: Base.PACKET, MAP_VALUE: Base.MAP_VALUE, STACK: Base.STACK, KERNEL: Base.OBJECT}
SOMETHING = Value(KERNEL)
"""A pointer to a structure of which nothing is known, or a number."""
_CALLBACKS = {"loop": {2: 3}, "for_each_map_elem": {4: 3}, "user_ringbuf_drain": {2: 3}, "find_vma": {3: 4}}
"""Helper -> register in which its callback gets what the caller has passed -> register of the caller's."""

Slots = tuple[tuple[int, Value], ...]  # offset from R10 -> value, ascending; what is absent is unknown


class Frame(NamedTuple):
    """The registers R0-R9 of an active function and what it has spilled."""

    registers: tuple[Value, ...]
    slots: Slots = ()


State = tuple[Frame, ...]
Calls = tuple[tuple[int, bool], ...]  # per active call: slot of the instruction, whether it is of a callback


def join(a: Value, b: Value) -> Value:
    """What holds of a value that is a or b."""
    if a == b:
        return a
    a, b = (UNKNOWN if one.kind == CONSTANT else one for one in (a, b))
    if a == b:
        return a
    if a.kind == b.kind == KERNEL:
        return Value(KERNEL, a.offset if a.offset == b.offset else None, a.frame if a.frame == b.frame else 0)
    if a.kind == b.kind and a.kind != FUNCTION:
        return Value(a.kind, None, a.frame) if a.frame == b.frame else UNKNOWN
    if {a.kind, b.kind} & {CONTEXT, MIXED}:
        return Value(MIXED)
    if NUMBER in (a.kind, b.kind) and KERNEL in (a.kind, b.kind):
        return b if a.kind == NUMBER else a  # the number is null
    return SOMETHING if KERNEL in (a.kind, b.kind) else UNKNOWN


def _join_frames(a: Frame, b: Frame) -> Frame:
    if a == b:
        return a
    registers = tuple(map(join, a.registers, b.registers))
    left, right = dict(a.slots), dict(b.slots)
    slots = {at: join(left.get(at, UNKNOWN), right.get(at, UNKNOWN)) for at in left.keys() | right.keys()}
    return Frame(registers, _sorted(slots))


def _sorted(slots: dict[int, Value]) -> Slots:
    return tuple(sorted((at, value) for at, value in slots.items() if value != UNKNOWN))


@dataclass(slots=True)
class _Walk:
    """One walk over a program."""

    program: Program
    view: View | None
    helpers: Mapping[int, Helper]
    found: dict[int, Pointer]
    known: dict[tuple[Calls, int], State]
    work: list[tuple[Calls, int]]
    types: Btf | None
    words: Sequence[Word] | None
    constants: dict[int, int]

    def go(self, calls: Calls, pc: int, state: State) -> None:
        """Control reaches a slot with a state."""
        key = (calls, pc)
        before = self.known.get(key)
        after = state if before is None else tuple(map(_join_frames, before, state))
        if before is None or after != before:
            self.known[key] = after
            self.work.append(key)

    def run(self) -> None:
        """Walk from the entered function's start."""
        start = Frame((UNKNOWN, UNKNOWN if self.view is None else Value(CONTEXT), *[UNKNOWN] * 8))
        self.go((), 0, (start,))
        visits = 0
        while self.work:
            visits += 1
            if visits > LIMIT:
                raise Refused(f"{self.program.name}: too many paths to tell what each access goes through")
            calls, pc = self.work.pop()
            insn = self.program.insns[pc]
            assert insn is not None
            self.step(calls, pc, insn, self.known[calls, pc])

    def step(self, calls: Calls, pc: int, insn: Insn, state: State) -> None:
        """One instruction: note its base, go on where control does."""
        kind = insn.row.kind
        if kind is Kind.EXIT or kind is Kind.PACKET:
            self.leave(calls, state)
            if kind is Kind.EXIT:
                return
        if kind is Kind.CALL:
            self.call(calls, pc, insn, state)
            return
        if insn.row.jumps:
            self.go(calls, pc + 1 + insn.distance, state)
            if kind is Kind.GOTO:
                return
        self.go(calls, pc + insn.slots, self.after(pc, insn, state))

    def leave(self, calls: Calls, state: State) -> None:
        """The active function returns."""
        if not calls:
            return
        (at, callback), rest = calls[-1], calls[:-1]
        result = UNKNOWN if callback else state[-1].registers[0]
        if result.kind == STACK:
            result = UNKNOWN
        self.go(rest, at + 1, _after_call(state[:-1], result))

    def call(self, calls: Calls, pc: int, insn: Insn, state: State) -> None:
        """A call of any sort."""
        registers = state[-1].registers
        op = insn.row.op
        if op == "call_local":
            self.enter(calls, pc, pc + 1 + insn.distance, state, registers[1:6], callback=False)
            return
        if op == "callx":
            callee = registers[insn.dst]
            starts = [self.program.functions[index].start for index in self.program.address_taken]
            for start in [callee.offset] if callee.kind == FUNCTION and callee.offset is not None else starts:
                self.enter(calls, pc, start, state, registers[1:6], callback=False)
            self.go(calls, pc + 1, _after_call(state, UNKNOWN))
            return
        helper = self.helpers.get(insn.imm)
        name = helper.name if helper else ""
        if name == NEW:
            self.constant(pc, registers[1])
        passed = _CALLBACKS.get(name, {})
        for value in registers[1:6]:
            if value.kind == FUNCTION and value.offset is not None:
                given = [registers[passed[n]] if n in passed else UNKNOWN for n in range(1, 6)]
                if name == "for_each_map_elem":
                    given[2] = Value(MAP_VALUE)
                self.enter(calls, pc, value.offset, state, tuple(given), callback=True)
        result = Value(MAP_VALUE) if name.endswith(("_lookup_elem", "_lookup_percpu_elem")) else UNKNOWN
        if helper is not None and helper.gives:
            result = self.object(helper.gives, registers[2])
        self.go(calls, pc + 1, _after_call(state, result))

    def constant(self, pc: int, value: Value) -> None:
        """A call that wants a constant, the same on every path to it. Raises Refused."""
        known = value.offset if value.kind == CONSTANT else None
        if known is None or self.constants.setdefault(pc, known) != known:
            raise Refused("R1 must be a known constant", place=f"insn {pc}")

    def object(self, name: str, second: Value) -> Value:
        """A pointer to a structure of the kernel's by name; "?" is one whose type R2 may say by its number."""
        types = self.types
        if types is None:
            return SOMETHING
        if name != "?":
            return Value(KERNEL, 0, types.find(name, BtfKind.STRUCT) or 0)
        number = second.offset if second.kind == CONSTANT and second.offset else 0
        known = number < len(types) and types[number].kind is BtfKind.STRUCT
        return Value(KERNEL, 0, number) if known else SOMETHING

    def enter(
        self, calls: Calls, pc: int, start: int, state: State, arguments: tuple[Value, ...], *, callback: bool
    ) -> None:
        """A function is called; what calls itself, or too deep, is refused elsewhere."""
        if len(calls) < 8:
            frame = Frame((UNKNOWN, *arguments, *[UNKNOWN] * 4))
            self.go((*calls, (pc, callback)), start, (*state, frame))

    def after(self, pc: int, insn: Insn, state: State) -> State:
        """The state behind an instruction that falls through."""
        kind, frame = insn.row.kind, state[-1]
        if kind in (Kind.LOAD, Kind.STORE, Kind.ATOMIC):
            base = _read(frame, insn.src if kind is Kind.LOAD else insn.dst, len(state) - 1)
            self.note(pc, insn, base)
            if kind is Kind.LOAD:
                return _with(state, insn.dst, self.loaded(pc, insn, base, state))
            if base.kind == STACK:
                stored = _read(frame, insn.src, len(state) - 1) if insn.row.name == "stx64" else UNKNOWN
                state = _stored(state, base, insn, stored)
            if insn.row.fetch:
                state = _with(state, insn.src if insn.row.writes_src else 0, UNKNOWN)
            return state
        if kind is Kind.PACKET:
            return _after_call(state, UNKNOWN)
        if kind is Kind.WIDE:
            value = Value(CONSTANT, insn.imm) if insn.row.op == "imm" else UNKNOWN
            if insn.row.op == "func":
                value = Value(FUNCTION, pc + 1 + insn.distance)
            elif insn.row.op.endswith("_value"):
                value = Value(MAP_VALUE)
            elif pc in self.program.symbols:
                value = Value(KERNEL, 0, self.program.symbols[pc])
            return _with(state, insn.dst, value)
        if kind is Kind.ALU:
            return _with(state, insn.dst, _computed(insn, frame, len(state) - 1, self.program.order))
        return _with(state, insn.dst, UNKNOWN) if insn.row.writes_dst else state

    def note(self, pc: int, insn: Insn, base: Value) -> None:
        """Write down the base of an access."""
        register = insn.src if insn.row.kind is Kind.LOAD else insn.dst
        if base.kind == MIXED:
            raise _different(pc)
        if base.kind == CONTEXT and base.offset is None:
            raise Refused(f"variable ctx access through R{register}", place=f"insn {pc}")
        if base.kind == KERNEL and insn.row.kind is not Kind.LOAD and base.frame:
            raise Refused("only read is supported", place=f"insn {pc}")
        pointer = Pointer(_BASES.get(base.kind, Base.OTHER))
        if pointer.base is Base.OBJECT and (insn.row.kind is not Kind.LOAD or insn.row.ordered):
            pointer = Pointer(Base.OTHER)
        if base.kind == CONTEXT and base.offset is not None:
            pointer = Pointer(Base.CONTEXT, base.offset)
        before = self.found.setdefault(pc, pointer)
        if before != pointer:
            if Base.CONTEXT in (before.base, pointer.base):
                raise _different(pc)
            self.found[pc] = Pointer(Base.OTHER)

    def loaded(self, pc: int, insn: Insn, base: Value, state: State) -> Value:
        """What a load gives."""
        if base.kind == CONTEXT and base.offset is not None:
            assert self.view is not None
            if self.view.objects:
                return self.word(pc, insn, base.offset + insn.off)
            one = self.view.layout.at(base.offset + insn.off)
            return Value(PACKET) if one is not None and one.pointer not in ("", OBJECT) else UNKNOWN
        if base.kind == STACK and base.offset is not None and insn.row.width == 64:
            return dict(state[base.frame].slots).get(base.offset + insn.off, UNKNOWN)
        if base.kind == KERNEL and insn.row.width == 64:
            known = self.types is not None and base.frame and base.offset is not None
            inner = walk(self.types, base.frame, base.offset + insn.off) if known else None  # type: ignore[arg-type, operator]
            return SOMETHING if inner is None else Value(KERNEL, 0, inner) if inner else UNKNOWN
        return UNKNOWN

    def word(self, pc: int, insn: Insn, offset: int) -> Value:
        """A word of a context that holds pointers to structures. Raises Refused for one that is not there."""
        assert self.view is not None
        at, inside = divmod(offset, WORD)
        if self.words is None or offset < 0:  # before its start nothing is allowed, which the pass says
            return SOMETHING if insn.row.width == 64 else UNKNOWN
        what = self.program.section.partition("/")[2] or self.view.layout.name
        if at >= len(self.words):
            raise Refused(f"func '{what}' doesn't have {at + 1}-th argument", place=f"insn {pc}")
        found = self.words[at].type
        if found and (inside or insn.row.width != 64):
            raise Refused(f"func '{what}' size {insn.row.width // 8} must be 8", place=f"insn {pc}")
        return Value(KERNEL, 0, found) if found else UNKNOWN


def _different(pc: int) -> Refused:
    return Refused("same insn cannot be used with different pointers", place=f"insn {pc}")


def _read(frame: Frame, register: int, depth: int) -> Value:
    return Value(STACK, 0, depth) if register == 10 else frame.registers[register]


def _with(state: State, register: int, value: Value) -> State:
    frame = state[-1]
    if register > 9 or frame.registers[register] == value:
        return state
    registers = (*frame.registers[:register], value, *frame.registers[register + 1 :])
    return (*state[:-1], Frame(registers, frame.slots))


def _after_call(state: State, result: Value) -> State:
    frame = state[-1]
    return (*state[:-1], Frame((result, *[UNKNOWN] * 5, *frame.registers[6:]), frame.slots))


def _stored(state: State, base: Value, insn: Insn, value: Value) -> State:
    """A store to the stack: at a known place it puts a value there, elsewhere anything may have been overwritten."""
    frame = state[base.frame]
    slots = dict(frame.slots)
    if base.offset is None:
        slots = {at: join(old, UNKNOWN) for at, old in slots.items()}
    else:
        at, size = base.offset + insn.off, insn.row.width // 8
        slots = {old: kept for old, kept in slots.items() if old + 8 <= at or at + size <= old}
        slots[at] = value
    return (*state[: base.frame], Frame(frame.registers, _sorted(slots)), *state[base.frame + 1 :])


def _computed(insn: Insn, frame: Frame, depth: int, order: Order) -> Value:
    """What an ALU instruction leaves in its dst."""
    row = insn.row
    old = _read(frame, insn.dst, depth)
    other = _read(frame, insn.src, depth) if "src" in row.fields else Value(CONSTANT, insn.imm & M64)
    if row.op == "mov" and row.width == 64:
        return other
    a, b = old.offset or 0, other.offset or 0
    if other.kind == CONSTANT and (old.kind == CONSTANT or row.op in ("mov", "movsx")):
        return Value(CONSTANT, row.effect_in(order)(a, b) & M64)
    if row.width != 64 or row.op not in ("add", "sub"):
        return UNKNOWN
    if other.kind == CONSTANT:
        return _moved(old, signed(b if row.op == "add" else -b, 64))
    if row.op == "add" and old.kind in (NUMBER, CONSTANT):
        return _moved(other, signed(a, 64) if old.kind == CONSTANT else None)
    return _moved(old, None) if other.kind == NUMBER else UNKNOWN


def _moved(value: Value, distance: int | None) -> Value:
    """A pointer and a constant, or a number that is not known."""
    if value.kind == FUNCTION:
        return UNKNOWN
    if value.kind not in (CONTEXT, STACK, KERNEL):
        return value
    if distance is None or value.offset is None:
        return value._replace(offset=None)
    return value._replace(offset=value.offset + distance)


def provenance(prog: Program, view: View | None, helpers: Mapping[int, Helper]) -> Facts:
    """The bases of all accesses of a program that is entered with R1 = its context. helpers: and kernel functions.

    Raises Refused where an instruction is used with the context and with something else.
    """
    typed = view is not None and view.objects
    one = _Walk(prog, view, helpers, {}, {}, [], types_of(prog), words(prog) if typed else None, {})
    one.run()
    return Facts(dict(sorted(one.found.items())), constants=one.constants)
