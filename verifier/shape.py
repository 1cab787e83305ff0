"""The shape of a program: what is known of its slots and functions before any state is."""

from __future__ import annotations

from bpf.isa.table import Row
from verifier.options import BPF, PERFMON, Options, holds
from verifier.raw import Raw, row_of
from verifier.subject import Subject

NONE = -1 << 15  # below all that a store can reach: no part of the stack is for spills that may go


class Subprogram:
    """A function of the program: the slots from `start` to before `end`.

    postorder       where its slots start in Structure.postorder
    has_tail_call   calls bpf_tail_call itself; tail_call_reachable: it or what it calls does
    has_ld_abs      loads from the packet by ld_abs or ld_ind
    might_sleep, changes_packet   it or what it calls does
    callback, asynchronous   set when a call that takes it as callback is met: such a call now, such a call later
    exception       it is the exception callback
    stack           bytes of stack that it uses, set as stores are met
    fastcall_stack  below this offset its stack is only for spills around calls that need none (verifier/fastcall.py);
                    keep_fastcall_stack: they stay
    """

    __slots__ = (
        "asynchronous", "callback", "changes_packet", "end", "exception", "fastcall_stack", "has_ld_abs",
        "has_tail_call", "keep_fastcall_stack", "might_sleep", "number", "postorder", "stack", "start",
        "tail_call_reachable",
    )  # fmt: skip

    def __init__(self, number: int, start: int, end: int) -> None:
        self.number = number
        self.start = start
        self.end = end
        self.postorder = 0
        self.has_tail_call = self.tail_call_reachable = self.has_ld_abs = False
        self.might_sleep = self.changes_packet = False
        self.callback = self.asynchronous = self.exception = False
        self.stack = 0
        self.fastcall_stack = NONE
        self.keep_fastcall_stack = False


class Structure:
    """A program's shape. Lists are by slot unless said otherwise.

    subject           what is verified; options: how
    capable           whether the loader holds CAP_BPF; sees_pointers: CAP_PERFMON, so it may learn addresses
    raws, rows        instructions as they lie there; the row of each, None for the second slot of an lddw and for none
    starts            by number of a function: its first slot, and the program's length behind them
    subprograms       by number; subprogram_of: number of the function that a slot is in
    maps              in the order of first use, indices into Subject.maps; map_of: slot of an lddw -> index into `maps`
    values            slot of an lddw -> offset in the map's value
    jump_point        control may come here other than from the slot before; prune_point: states are compared here,
    force_checkpoint  and always kept here; calls_callback: a call that calls a function now
    successors        where control goes within the function
    postorder         slots, function after function, each behind what it leads to
    scc               number of the cycle that a slot lies on, 0 for none
    live_before       registers that may still be read, as bits
    fastcall          a call whose spills and fills may go, and these; spills: how many there are around a call
    exception_callback  number of the exception callback, 0 for none
    """

    __slots__ = (
        "calls_callback", "capable", "exception_callback", "fastcall", "force_checkpoint", "jump_point",
        "live_before", "map_of", "maps", "options", "postorder", "prune_point", "raws", "rows", "scc", "sees_pointers",
        "spills", "starts", "subject", "subprogram_of", "subprograms", "successors", "values",
    )  # fmt: skip

    def __init__(self, subject: Subject, options: Options, raws: list[Raw]) -> None:
        count = len(raws)
        self.subject = subject
        self.options = options
        self.capable = holds(options.caps, BPF)
        self.sees_pointers = holds(options.caps, PERFMON)
        self.raws = raws
        self.rows: list[Row | None] = [row_of(raw) for raw in raws]
        self.starts: list[int] = []
        self.subprograms: list[Subprogram] = []
        self.subprogram_of: list[int] = []
        self.exception_callback = 0
        self.maps: list[int] = []
        self.map_of: dict[int, int] = {}
        self.values: dict[int, int] = {}
        self.jump_point = [False] * count
        self.prune_point = [False] * count
        self.force_checkpoint = [False] * count
        self.calls_callback = [False] * count
        self.successors: list[tuple[int, ...]] = []
        self.postorder: list[int] = []
        self.scc = [0] * count
        self.live_before = [0] * count
        self.fastcall = [False] * count
        self.spills = [0] * count

    def subprogram_at(self, pc: int) -> int:
        """The number of the function that starts at a slot, -1 for none."""
        if not 0 <= pc < len(self.raws):
            return -1
        number = self.subprogram_of[pc]
        return number if self.starts[number] == pc else -1
