"""What every backend is.

A backend lowers one Op at a time by the method `lower_NAME` and says how its machine encodes branches. This class
owns the rest: order of the code, labels, relaxation, source map, exits, entry slots.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

from bpf.plan import FRAME, STUB_SIZE
from jit.image import Image, Rescue, SourceMap
from jit.ops import Front, Op, OpFunction
from jit.relax import Fixup, Form, Labels, Layout, relax
from jit.target import Target

OP_NAMES = (
    *("add", "sub", "mul", "div", "sdiv", "mod", "smod", "or", "and", "xor", "lsh", "rsh", "arsh"),
    *("mov", "neg", "movsx", "to_le", "to_be", "bswap", "const", "load", "store", "atomic"),
    *("branch", "goto", "call_helper", "call_local", "exit", "tail_jump"),
)
SAVED = (6, 7, 8, 9)  # the BPF registers that a callee preserves


class Backend(ABC):
    """Compiles one Front for one target; made anew for each compilation.

    Machine code is collected in `out`, a list of instruction words (`unit` 4) or a bytearray (`unit` 1), through
    `emit`. Branches go through `jump` and `call`, which leave a Fixup. A subclass sets `forms` and implements the
    abstract methods and one `lower_NAME` for each name in OP_NAMES that is not implemented here.

    Rules for a lowering:
    - an Op is three-address: dst, a and b may be any registers, equal or not; b is NONE for an immediate;
    - a 32-bit result is zero-extended into its home; operands' upper halves may hold anything;
    - only dst changes (and b or R0 for a fetching atomic); other homes, AX among them, keep their values;
    - the access itself is the only instruction that can fault, and happens before any home changes.
    """

    unit: ClassVar[int]
    forms: ClassVar[Mapping[str, Sequence[Form]]]

    def __init__(self, target: Target, front: Front, features: frozenset[str]) -> None:
        self.target = target
        self.front = front
        self.features = features
        self.out: Any = [] if self.unit == 4 else bytearray()
        self.emit: Callable[[Any], None] = self.out.append if self.unit == 4 else self.out.extend
        self.fixups: list[Fixup] = []
        self.labels = Labels()
        self.function: OpFunction
        self._epilogue = -1  # label of the current function's epilogue, -1 until an exit has placed it

    # What a machine says of itself ----------------------------------------------------------------

    @abstractmethod
    def prologue(self, function: OpFunction) -> None:
        """Save what the function must preserve; leave sp as a call needs it. R10 is in its home already."""

    @abstractmethod
    def epilogue(self, function: OpFunction) -> None:
        """Undo the prologue, move R0 to the C result register, return."""

    @abstractmethod
    def encode_fixup(self, kind: str, args: tuple[int, ...], form: int, distance: int) -> bytes:
        """The code of a branch whose target is `distance` bytes from its first byte."""

    @abstractmethod
    def zero_extend(self, dst: int, src: int, bits: int) -> None:
        """dst = the low 16 or 32 bits of src; both are numbers of BPF registers."""

    @abstractmethod
    def swap_bytes(self, dst: int, src: int, bits: int) -> None:
        """dst = the low 16, 32 or 64 bits of src with their bytes reversed, zero above."""

    @abstractmethod
    def move(self, dst: int, src: int) -> None:
        """dst = src, 64 bits; both are numbers of BPF registers and may be equal (then nothing is emitted)."""

    @abstractmethod
    def move_frame(self, amount: int) -> None:
        """R10 += amount (-512 or 512)."""

    @abstractmethod
    def after_call(self) -> None:
        """Move the C result register to R0's home, where they differ."""

    # Byte order conversions and calls: the same for all --------------------------------------------

    def lower_to_le(self, op: Op) -> None:
        """Convert to little-endian: a swap on a big-endian machine, else a cut."""
        self._convert(op, swap=self.target.order == "big")

    def lower_to_be(self, op: Op) -> None:
        """Convert to big-endian: a swap on a little-endian machine, else a cut."""
        self._convert(op, swap=self.target.order == "little")

    def lower_bswap(self, op: Op) -> None:
        """Swap on any machine."""
        self._convert(op, swap=True)

    def _convert(self, op: Op, swap: bool) -> None:
        if swap:
            self.swap_bytes(op.dst, op.a, op.bits)
        elif op.bits < 64:
            self.zero_extend(op.dst, op.a, op.bits)
        else:
            self.move(op.dst, op.a)

    def lower_goto(self, op: Op) -> None:
        """An unconditional jump."""
        self.jump("goto", (), op.target)

    def lower_call_helper(self, op: Op) -> None:
        """Call a helper's stub; the arguments are where C wants them."""
        self.fixups.append(Fixup(self.position(), "call", (), -1, self.front.unit.plan.stub(op.imm)))
        self.after_call()

    def lower_call_local(self, op: Op) -> None:
        """Call a function of the program on a frame of its own."""
        self.move_frame(-FRAME)
        self.jump("call", (), len(self.front.ops) + op.target)
        self.move_frame(FRAME)
        self.after_call()

    def lower_exit(self, op: Op) -> None:
        """The first exit of a function holds the epilogue, the others jump there."""
        if self._epilogue < 0:
            self._epilogue = self.labels.add(self.position(), len(self.fixups))
            self.epilogue(self.function)
        else:
            self.jump("goto", (), self._epilogue)

    # For lowerings ---------------------------------------------------------------------------------

    def position(self) -> int:
        """Bytes of straight code so far (fixups not counted)."""
        return len(self.out) * self.unit

    def jump(self, kind: str, args: tuple[int, ...], label: int) -> None:
        """Leave a fixup: a branch to the Op of that index (or to a label of this class)."""
        self.fixups.append(Fixup(len(self.out) * self.unit, kind, args, label))

    # The whole -------------------------------------------------------------------------------------

    def compile(self) -> Image:
        """Lower every Op, settle the branches, put the code together."""
        ops, functions, fixups, out, unit = self.front.ops, self.front.functions, self.fixups, self.out, self.unit
        self.labels = labels = Labels(len(ops) + len(functions))
        straight, before = labels.straight, labels.before
        lowerings = {name: getattr(self, "lower_" + name) for name in OP_NAMES}
        for index, function in enumerate(functions):
            self.function = function
            self._epilogue = -1
            straight[len(ops) + index] = len(out) * unit
            before[len(ops) + index] = len(fixups)
            self.prologue(function)
            for number in range(function.start, function.end):
                straight[number] = len(out) * unit
                before[number] = len(fixups)
                op = ops[number]
                lowerings[op.name](op)
        plan = self.front.unit.plan
        layout = relax(fixups, labels, self.forms, plan.code)
        first = range(len(ops), len(ops) + len(functions))
        starts = [straight[label] + layout.prefix[before[label]] for label in first]
        probes = [number for number, op in enumerate(ops) if op.probe]
        return Image(
            target=self.target,
            program=self.front.program,
            base=plan.code,
            code=self._assemble(layout.distances),
            entry_base=plan.entries,
            entries=b"".join(self._entry(plan.entry(i), plan.code + start) for i, start in enumerate(starts)),
            functions=tuple(starts),
            source_map=SourceMap(self.front, labels, layout),
            rescues=tuple(self.rescue(number, layout) for number in probes),
        )

    def rescue(self, number: int, layout: Layout) -> Rescue:
        """The entry of the exception table for a load: any instruction of the Op may fault, it goes on behind it."""
        straight, before, op = self.labels.straight, self.labels.before, self.front.ops[number]
        start, end = (
            self.front.unit.plan.code + straight[label] + layout.prefix[before[label]] for label in (number, number + 1)
        )
        return Rescue(start, end, op.dst, op.a, op.off, op.width, op.signed)

    def _assemble(self, distances: Sequence[int]) -> bytes:
        straight = self.straight()
        pieces = []
        done = 0
        for fixup, distance in zip(self.fixups, distances, strict=True):
            pieces.append(straight[done : fixup.at])
            pieces.append(self.encode_fixup(fixup.kind, fixup.args, fixup.form, distance))
            done = fixup.at
        pieces.append(straight[done:])
        return b"".join(pieces)

    def straight(self) -> bytes:
        """The straight code as bytes. A machine with instruction words overrides this to pack them."""
        return bytes(self.out)

    def _entry(self, slot: int, address: int) -> bytes:
        """A jump from an entry slot to a function, padded to the slot's size."""
        distance = address - slot
        for number, form in enumerate(self.forms["goto"]):
            if form.low <= distance <= form.high and form.size <= STUB_SIZE:
                return self.encode_fixup("goto", (), number, distance).ljust(STUB_SIZE, b"\0")
        raise AssertionError("no jump reaches a function from its entry slot")
