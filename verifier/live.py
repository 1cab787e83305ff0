"""Which stack slots are still read: slots that are not are forgotten in finished states, so that more states are equal.

What an instruction reads and surely writes is noted whenever it is walked; from reads, liveness goes backwards through
the graph of the function, at once. All is kept apart for each way a function was called. Source: kernel/bpf/liveness.c
of Linux 6.18; a callee's writes to its callers' slots are not counted here.
"""

from __future__ import annotations

from verifier.shape import Structure
from verifier.state import Frame, State

_Chain = tuple[int, ...]


class _Called:
    """A function as it was called through a chain of call sites.

    reads, live   (frame, slot of the program) -> bits of stack slots
    writes        slot of the program -> (frame, bits) that each visit has written whole
    """

    __slots__ = ("chain", "live", "reads", "start", "writes")

    def __init__(self, chain: _Chain, start: int) -> None:
        self.chain = chain
        self.start = start
        self.reads: dict[tuple[int, int], int] = {}
        self.live: dict[tuple[int, int], int] = {}
        self.writes: dict[int, tuple[int, int]] = {}


class Liveness:
    """The liveness of one verification."""

    __slots__ = ("_before", "_called", "_pending", "_shape")

    def __init__(self, shape: Structure) -> None:
        self._shape = shape
        self._called: dict[_Chain, _Called] = {}
        self._pending = (0, 0)
        self._before: list[list[int]] = [[] for _ in shape.raws]
        for pc, successors in enumerate(shape.successors):
            for after in successors:
                self._before[after].append(pc)

    def _at(self, frames: list[Frame], depth: int) -> _Called:
        chain = tuple(frame.callsite for frame in frames[: depth + 1])
        found = self._called.get(chain)
        if found is None:
            if depth:
                self._at(frames, depth - 1)  # what is read of its slots reaches a caller that touches none itself
            found = self._called[chain] = _Called(chain, self._shape.starts[frames[depth].subprog])
        return found

    def read(self, state: State, pc: int, frame: int, slots: int) -> None:
        """The instruction at pc of the running function reads slots of a frame, given as bits."""
        self._add(self._at(state.frames, len(state.frames) - 1), pc, frame, slots)

    def wrote(self, frame: int, slots: int) -> None:
        """The instruction writes whole slots of a frame; `stored` says when it is done."""
        before = self._pending
        self._pending = (frame, slots | before[1] if before is not None and before[0] == frame else slots)

    def failed(self) -> None:
        """A store was not done after all."""
        self._pending = (0, 0)

    def stored(self, state: State, pc: int) -> None:
        """A store is done: what it wrote this time and every time before is surely written."""
        now = self._pending
        self._pending = (0, 0)
        called = self._at(state.frames, len(state.frames) - 1)
        before = called.writes.get(pc)
        if before is None:
            called.writes[pc] = now
            if called.live.get((now[0], pc), 0) & now[1]:
                self._again(called)
        elif before != now:
            bits = before[1] & now[1] if before[0] == now[0] else 0
            if bits != before[1]:
                called.writes[pc] = (before[0], bits)
                self._spread(called, pc, before[0])

    def alive(self, state: State, frame: int, slot: int) -> bool:
        """Whether a slot of a finished state may still be read."""
        last = len(state.frames) - 1
        if self._at(state.frames, last).live.get((frame, state.pc), 0) >> slot & 1:
            return True
        for depth in range(frame, last):
            callsite = state.frames[depth + 1].callsite
            called = self._at(state.frames, depth)
            if called.live.get((frame, callsite + 1), 0) >> slot & 1:
                return True
            if self._shape.calls_callback[callsite] and called.live.get((frame, callsite), 0) >> slot & 1:
                return True
        return False

    def _add(self, called: _Called, pc: int, frame: int, slots: int) -> None:
        key = (frame, pc)
        old = called.reads.get(key, 0)
        if old | slots != old:
            called.reads[key] = old | slots
            self._spread(called, pc, frame)

    def _again(self, called: _Called) -> None:
        """All of it anew: something is less than was thought."""
        called.live.clear()
        for frame, pc in list(called.reads):
            self._spread(called, pc, frame)

    def _spread(self, called: _Called, first: int, frame: int) -> None:
        """From one instruction backwards, as far as anything changes."""
        live, reads, writes, successors = called.live, called.reads, called.writes, self._shape.successors
        waiting = [first]
        while waiting:
            pc = waiting.pop()
            after = 0
            for other in successors[pc]:
                after |= live.get((frame, other), 0)
            written = writes.get(pc)
            if written is not None and written[0] == frame:
                after &= ~written[1]
            after |= reads.get((frame, pc), 0)
            key = (frame, pc)
            if after & ~live.get(key, 0):
                live[key] = after
                waiting += self._before[pc]
                if pc == called.start:
                    self._outwards(called, frame, after)

    def _outwards(self, called: _Called, frame: int, slots: int) -> None:
        """What a function reads of its callers' frames, its call reads."""
        callsite = called.chain[-1]
        if frame >= len(called.chain) - 1 or callsite < 0:
            return
        self._add(self._called[called.chain[:-1]], callsite, frame, slots)
