"""What one verification carries along: the state it is at, what waits, what is explored, who asks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from bpf.program import Line, Map
from bpf.spec.errno import EFAULT
from verifier import options as who
from verifier.live import Liveness
from verifier.options import Options
from verifier.rejection import Rejection
from verifier.state import ANY, FP, SPILL, Reg, Slot, State, Step
from verifier.subject import Subject
from verifier.types import SCALAR

if TYPE_CHECKING:
    from verifier.log import Log
    from verifier.prototype import Argument
    from verifier.structure import Structure


class Stored:
    """An explored state; how often another was equal to it, and was not."""

    __slots__ = ("hits", "misses", "state")

    def __init__(self, state: State) -> None:
        self.state = state
        self.hits = 0
        self.misses = 0


class Waiting:
    """A state that is still to be explored from `pc`, reached from `before`; length: of the log when it was left."""

    __slots__ = ("before", "length", "pc", "state")

    def __init__(self, state: State, pc: int, before: int, length: int) -> None:
        self.state = state
        self.pc = pc
        self.before = before
        self.length = length


class Visit:
    """One time that a cycle is walked. entry: the stored state it was entered at; back: states as an unfinished one."""

    __slots__ = ("back", "entry")

    def __init__(self) -> None:
        self.entry: State | None = None
        self.back: list[State] = []


ANYTHING, NEVER = -1, -2


class Aux:
    """What is noted of one instruction over all paths.

    pointer   type of the base of its access, -1 for none yet
    map       the map that its helper call works on: a Map, or False where paths differ
    nospec    a path that is only mispredicted ends before it; nospec_result: behind it
    alu_state, alu_limit  how a pointer's arithmetic is masked
    seen      whether a path that is not only mispredicted reaches it
    narrowed  64-bit arithmetic on an arena's pointer, of which only the low half counts
    inlined   of a call of bpf_loop: number of the function that it is compiled inline with; ANYTHING, NEVER
    """

    __slots__ = ("alu_limit", "alu_state", "inlined", "map", "narrowed", "nospec", "nospec_result", "pointer", "seen")

    def __init__(self) -> None:
        self.pointer = -1
        self.map: Map | bool | None = None
        self.nospec = False
        self.nospec_result = False
        self.alu_state = 0
        self.alu_limit = 0
        self.seen = False
        self.inlined = ANYTHING
        self.narrowed = False


class Env:
    """One verification.

    state     the state that is being explored, at `pc`, reached from `before`
    waiting   a stack of what is left; explored: key of prune.key -> Stored, the newest last
    ids       the last id given
    capable   CAP_BPF; leaks: CAP_PERFMON, pointers may become numbers; the kernel derives from it uninit (uninitialised
              stack may be read) and that paths which are only mispredicted need not be safe (spec)
    scratched, scratched_slots  bits of registers and slots to be logged
    returned  a function has just returned; checked: by slot, whether the instruction's form was found right
    lines     by slot, the source line that covers it, empty without a log; line: the one that the log shows last
    shown     slot of an lddw -> the address that the log has for its map
    observer  is shown the state before each instruction on a path that can be taken; it must not change it
    prototypes  what functions take, by number; unreliable: those where it does not hold -> what was said of it
    void      what the program is attached to returns nothing
    writes_packet  some path, which may be only mispredicted, stores through a packet pointer
    jumps, last_jumps, last_processed  jumps walked; how many when a state was last stored, and instructions
    early     of this walk, up to its first stored state: jumps, instructions walked and whether it had to be stored
    visits    cycles that are being walked, by where they are and who called (prune.py)
    """

    __slots__ = (
        "arena",
        "aux",
        "before",
        "called",
        "capable",
        "checked",
        "early",
        "entries",
        "evicted",
        "explore_limits",
        "explored",
        "frequent",
        "ids",
        "jumps",
        "last_jumps",
        "last_processed",
        "leaks",
        "level",
        "line",
        "lines",
        "live",
        "log",
        "max_states",
        "observer",
        "options",
        "pc",
        "peak_states",
        "processed",
        "prototypes",
        "recorded",
        "returned",
        "scratched",
        "scratched_slots",
        "shown",
        "spec_v1",
        "spec_v4",
        "state",
        "states",
        "stored",
        "strict",
        "structure",
        "subject",
        "total_states",
        "uninit",
        "unreliable",
        "visits",
        "void",
        "waiting",
        "writes_packet",
    )  # fmt: skip

    def __init__(self, subject: Subject, options: Options, structure: Structure, log: Log) -> None:
        self.subject = subject
        self.options = options
        self.structure = structure
        self.log = log
        self.level = options.log_level & 3
        self.state = State()
        self.pc = 0
        self.before = -1
        self.waiting: list[Waiting] = []
        self.explored: dict[int, list[Stored]] = {}
        self.ids = 0
        caps = options.caps
        self.capable = who.BPF in caps or who.SYS_ADMIN in caps
        self.leaks = self.uninit = self.spec_v1 = self.spec_v4 = who.PERFMON in caps or who.SYS_ADMIN in caps
        self.strict = options.strict and not options.any_alignment
        self.frequent = options.frequent and self.capable
        self.aux = [Aux() for _ in structure.raws]
        self.processed = 0
        self.total_states = 0
        self.peak_states = 0
        self.states = 0
        self.max_states = 0
        self.jumps = 0
        self.last_jumps = 0
        self.last_processed = 0
        self.early: list[tuple[int, int, bool]] = []
        self.scratched = 0
        self.scratched_slots = 0
        self.explore_limits = False
        self.called = {structure.exception_callback} - {0}
        self.entries = 0
        self.recorded = -1
        self.returned = False
        self.checked = [False] * len(structure.raws)
        self.lines: Sequence[Line | None] = ()
        self.line: Line | None = None
        self.shown: dict[int, int] = {}
        self.arena = any(map_.kind == "arena" for map_ in subject.maps)
        self.void = False
        self.writes_packet = False
        self.stored = 0
        self.evicted = 0
        self.observer: Callable[[int, State], None] | None = None
        self.prototypes: dict[int, tuple[Argument, ...]] = {}
        self.unreliable: dict[int, str] = {}
        self.live = Liveness(structure)
        self.visits: dict[tuple[int, ...], Visit] = {}

    # Registers ---------------------------------------------------------------------------------------

    def new_id(self) -> int:
        """A number that nothing has yet."""
        self.ids += 1
        return self.ids

    def is_pointer(self, reg: Reg) -> bool:
        """Whether it may not become a number for who asks."""
        return not self.leaks and reg.type != SCALAR

    def mark(self, number: int) -> None:
        """Have a register in the next line of the log."""
        self.scratched |= 1 << number

    def set(self, number: int, reg: Reg) -> None:
        """Give a register of the running frame another value."""
        self.state.frames[-1].regs[number] = reg
        self.scratched |= 1 << number

    def set_unknown(self, number: int) -> None:
        """Have a register hold any number."""
        self.set(number, ANY)

    def history(
        self, slot: tuple[int, int] | None = None, linked: tuple[tuple[int, int, bool], ...] = (), stacks: int = 0
    ) -> None:
        """Note this instruction in the state's history, once, and what precision.py must know of it (see Step)."""
        steps = self.state.history
        if steps and self.recorded == self.processed:
            last = steps[-1]
            steps[-1] = Step(last.pc, last.before, slot or last.slot, linked or last.linked, stacks or last.stacks)
            return
        steps.append(Step(self.pc, self.before, slot, linked, stacks))
        self.recorded = self.processed

    def push(self, pc: int, before: int, speculative: bool = False) -> State:
        """A copy of the state, to be explored from `pc` later. Raises Rejection when too many wait."""
        new = self.state.copy()
        if speculative:
            new.speculative = True
        parent = new.parent
        if parent is not None:
            parent.branches += 1
        self.waiting.append(Waiting(new, pc, before, len(self.log)))
        if len(self.waiting) > self.options.sequence:
            raise Rejection(EFAULT, f"The sequence of {len(self.waiting)} jumps is too complex.", self.pc)
        return new


def each_reg(state: State, change: Callable[[Reg], Reg]) -> None:
    """Have a state's registers and spilled registers replaced by what `change` makes of them."""
    for frame in state.frames:
        regs = frame.regs
        for number, reg in enumerate(regs):
            if number != FP and reg.type:
                new = change(reg)
                if new is not reg:
                    regs[number] = new
        stack = frame.stack
        for index, slot in enumerate(stack):
            if slot.reg.type and slot.kinds[7] == SPILL:
                new = change(slot.reg)
                if new is not slot.reg:
                    stack[index] = Slot(slot.kinds, new)
