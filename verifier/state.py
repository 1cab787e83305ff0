"""The state of a program at one instruction: registers, stack slots, frames, references, locks.

A `Reg` and a `Slot` never change, so a copy of a state shares them; a `Frame` and a `State` do. What the kernel keeps
as marks on a register (precise) is here a bit of its frame, because it says something of a stored state alone.
"""

from __future__ import annotations

from typing import NamedTuple, TypeAlias

from bpf.object.btf import Btf
from bpf.program import Map
from verifier.scalar import UNKNOWN, Scalar, constant
from verifier.types import CTX, MEM, NOT_INIT, SCALAR, STACK

MAX_STACK = 512
MAX_VAR_OFF = 1 << 29  # how far arithmetic may move a pointer
FP = 10
ADD_CONST64, ADD_CONST32 = 1 << 31, 1 << 30  # of a scalar's id: it is that of the id plus `off`, at that width
ADD_CONST = ADD_CONST64 | ADD_CONST32

ZERO = constant(0)


class Iterator(NamedTuple):
    """An open-coded iterator in its slots. state: "active" or "drained"; depth: how often next was called.

    trust: of one that RCU guards "rcu" while its read section lasts, "untrusted" after it; "" of others
    """

    kind: str
    state: str
    depth: int
    trust: str = ""


class Dynptr(NamedTuple):
    """A dynptr in its two slots. kind: "local", "ringbuf", "skb", "xdp", ...; first: whether it is the first slot."""

    kind: str
    first: bool


class Slice(NamedTuple):
    """Memory of a dynptr: its number, and the kind of one whose slices outlast it, else ""."""

    dynptr: int
    kind: str


class IrqFlag(NamedTuple):
    """What bpf_local_irq_save ("native") or bpf_res_spin_lock_irqsave ("lock") left in its slot."""

    by: str


Owner: TypeAlias = Map | Btf | Iterator | Dynptr | Slice | IrqFlag | None


class Reg:
    """What is known of a register.

    type  of verifier/types.py
    num   of a scalar its value, of a pointer the part of its offset that is not fixed
    off   fixed part of a pointer's offset; of a scalar with ADD_CONST in `id` its distance from the others
    id    equal for what was equal: scalars that move together, packet pointers with the same variable part, results
          that one null check decides, locks' map values; 0 for none
    ref   the acquired reference that it belongs to, 0 for none
    of    the map, types, dynptr, iterator or interrupt flag that it belongs to
    aux   of a packet pointer how many bytes from it may be read (range; -1, -2 for AT_PKT_END, BEYOND_PKT_END); of
          memory its size; of the stack its frame; of a map pointer or value the lookup that gave the inner map (0:
          none); of a BTF pointer the type's number; of a function the subprogram; of a dynptr its number
    """

    __slots__ = ("aux", "id", "num", "of", "off", "ref", "type")

    def __init__(
        self, type_: int, num: Scalar = ZERO, off: int = 0, id_: int = 0, ref: int = 0, of: Owner = None, aux: int = 0
    ) -> None:
        self.type = type_
        self.num = num
        self.off = off
        self.id = id_
        self.ref = ref
        self.of = of
        self.aux = aux

    def typed(self, type_: int) -> Reg:
        """The same with another type."""
        return Reg(type_, self.num, self.off, self.id, self.ref, self.of, self.aux)

    def identified(self, id_: int) -> Reg:
        """The same with another id."""
        return Reg(self.type, self.num, self.off, id_, self.ref, self.of, self.aux)

    def moved(self, num: Scalar, off: int) -> Reg:
        """The same at another offset."""
        return Reg(self.type, num, off, self.id, self.ref, self.of, self.aux)

    def ranged(self, aux: int) -> Reg:
        """The same with another `aux`."""
        return Reg(self.type, self.num, self.off, self.id, self.ref, self.of, aux)

    def same(self, other: Reg) -> bool:
        """Whether both say the same in every field."""
        return self is other or (
            self.type == other.type
            and self.off == other.off
            and self.id == other.id
            and self.ref == other.ref
            and self.aux == other.aux
            and (self.of is other.of or self.of == other.of)
            and (self.num is other.num or self.num == other.num)
        )


UNINIT = Reg(NOT_INIT, UNKNOWN)
ANY = Reg(SCALAR, UNKNOWN)


def scalar(num: Scalar) -> Reg:
    """A scalar that is linked to no other."""
    return ANY if num is UNKNOWN else Reg(SCALAR, num)


def const(value: int) -> Reg:
    """A known scalar, an unsigned 64-bit number."""
    return Reg(SCALAR, constant(value))


# What the bytes of a stack slot are.
INVALID, SPILL, MISC, ZEROS, DYNPTR_SLOT, ITER_SLOT, IRQ_FLAG = range(7)
KIND_CHARS = "?rm0dif"  # as the log writes them


class Slot:
    """Eight bytes of stack. kinds[j] says what byte -1 - j of the slot is; reg: what is spilled, or its object."""

    __slots__ = ("kinds", "reg")

    def __init__(self, kinds: bytes, reg: Reg = UNINIT) -> None:
        self.kinds = kinds
        self.reg = reg


EMPTY = Slot(bytes(8))
MISC_SLOT = Slot(bytes([MISC]) * 8)
ZERO_SLOT = Slot(bytes([ZEROS]) * 8)
SPILL_KINDS = bytes([SPILL]) * 8


class Frame:
    """One function's registers and stack.

    number    0 for the entered function; subprog: which function it is; callsite: slot of the call, -1 for none
    regs      R0-R10; stack: slots from the frame pointer down, as many as were touched
    precise   bit r: register r must be exactly that in what is compared with this state; precise_slots: bit of a slot
    callback  whether it is called by a helper; depth: how often that was; asynchronous: it is run later, on its own
    returns   what a callback may return, (low, high); None: anything
    """

    __slots__ = (
        "asynchronous",
        "callback",
        "callsite",
        "depth",
        "entry",
        "exception",
        "number",
        "precise",
        "precise_slots",
        "regs",
        "returns",
        "stack",
        "subprog",
    )  # fmt: skip

    def __init__(self, number: int, subprog: int, callsite: int) -> None:
        self.number = number
        self.subprog = subprog
        self.callsite = callsite
        self.regs: list[Reg] = [UNINIT] * 11
        self.regs[FP] = Reg(STACK, ZERO, 0, 0, 0, None, number)
        self.stack: list[Slot] = []
        self.precise = 0
        self.precise_slots = 0
        self.callback = False
        self.depth = 0
        self.asynchronous = False
        self.entry = 0
        self.returns: tuple[int, int] | None = None
        self.exception = False

    def copy(self) -> Frame:
        """One that changes apart from this."""
        new = Frame.__new__(Frame)
        new.number = self.number
        new.subprog = self.subprog
        new.callsite = self.callsite
        new.regs = self.regs[:]
        new.stack = self.stack[:]
        new.precise = self.precise
        new.precise_slots = self.precise_slots
        new.callback = self.callback
        new.depth = self.depth
        new.asynchronous = self.asynchronous
        new.entry = self.entry
        new.returns = self.returns
        new.exception = self.exception
        return new

    def slot(self, index: int) -> Slot:
        """Slot `index` (0 is the one below the frame pointer)."""
        return self.stack[index] if index < len(self.stack) else EMPTY

    def grow(self, slots: int) -> None:
        """Have at least so many slots."""
        if len(self.stack) < slots:
            self.stack.extend([EMPTY] * (slots - len(self.stack)))


class Ref(NamedTuple):
    """Something acquired. kind: "ptr", "lock", "res_lock", "res_lock_irq", "irq"; pc: where.

    what: the lock's register id or map.
    """

    kind: str
    id: int
    pc: int
    what: object = None


class Step(NamedTuple):
    """One entry of a state's history: the instruction at pc was reached from `before`.

    slot    (frame, slot index) of a stack access that a register moved through, None for none
    stacks  of a comparison which operands are stack pointers: 1 for src, 2 for dst
    linked  registers and slots that moved together at a comparison: (frame, register or slot index, is it a register)
    """

    pc: int
    before: int
    slot: tuple[int, int] | None = None
    linked: tuple[tuple[int, int, bool], ...] = ()
    stacks: int = 0


class State:
    """All frames and what the program holds.

    frames     the active functions, the entered one first
    refs       what is acquired, in that order
    lock       id of the held spin lock, 0 for none; locks: how many are held
    rcu, preempt, irq  nesting of those regions (irq: id of the innermost disable)
    pc, first, last    the instruction it is at; the first since its parent; the one before
    parent     the stored state that the path to here began at; branches: of a stored state, paths that are not finished
    history    Steps since the parent
    speculative  a path that only a misprediction takes
    """

    __slots__ = (
        "branches",
        "cleaned",
        "depth",
        "equal",
        "first",
        "frames",
        "history",
        "irq",
        "last",
        "lock",
        "locks",
        "may_goto_depth",
        "parent",
        "pc",
        "preempt",
        "rcu",
        "refs",
        "scc",
        "sleepable",
        "speculative",
        "unroll_depth",
    )  # fmt: skip

    def __init__(self) -> None:
        self.frames: list[Frame] = []
        self.refs: tuple[Ref, ...] = ()
        self.lock = 0
        self.locks = 0
        self.rcu = 0
        self.preempt = 0
        self.irq = 0
        self.pc = 0
        self.first = 0
        self.last = -1
        self.parent: State | None = None
        self.branches = 1
        self.history: list[Step] = []
        self.speculative = False
        self.sleepable = False
        self.may_goto_depth = 0
        self.unroll_depth = 0
        self.depth = 0
        self.cleaned = False
        self.equal: State | None = None
        self.scc = 0

    @property
    def frame(self) -> Frame:
        """The running function's."""
        return self.frames[-1]

    def copy(self) -> State:
        """One that changes apart from this, with the same parent and history; not yet cleaned."""
        new = State.__new__(State)
        new.frames = [frame.copy() for frame in self.frames]
        new.refs = self.refs
        new.lock = self.lock
        new.locks = self.locks
        new.rcu = self.rcu
        new.preempt = self.preempt
        new.irq = self.irq
        new.pc = self.pc
        new.first = self.first
        new.last = self.last
        new.parent = self.parent
        new.branches = 1
        new.history = self.history[:]
        new.speculative = self.speculative
        new.sleepable = self.sleepable
        new.may_goto_depth = self.may_goto_depth
        new.unroll_depth = self.unroll_depth
        new.depth = self.depth
        new.cleaned = False
        new.equal = None
        new.scc = self.scc
        return new


def entry(argument: Reg | None = None) -> State:
    """The state in which a program is entered: R1 is the context, or what is given; R10 the frame pointer."""
    state = State()
    frame = Frame(0, 0, -1)
    frame.regs[1] = argument or Reg(CTX)
    state.frames.append(frame)
    return state


def entry_with_memory(size: int) -> State:
    """The state in which a program is entered that gets an address and a length; 0 and 0 where there is no memory."""
    state = entry(Reg(MEM, ZERO, 0, 0, 0, None, size) if size else const(0))
    state.frames[0].regs[2] = const(size)
    return state
