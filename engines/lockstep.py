"""Two traces side by side: the first instruction at which their states part."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from engines.base import Prepared
from vm.step import Step, Writes
from vm.world import Input, Limits, World


@dataclass(frozen=True, slots=True)
class Parting:
    """Where two runs part.

    pc       slot of the instruction that did something different, -1 when the runs differ from the start
    what     the difference in words
    before   the last state that both agreed on (None at the start)
    left, right   the states after it; None for a run that has ended there
    steps    boundaries compared
    """

    pc: int
    what: str
    before: Step | None
    left: Step | None
    right: Step | None
    steps: int


_END: tuple[Step | None, list[Step]] = (None, [])


def _common(steps: Iterator[Step], visible: frozenset[int] | None) -> Iterator[tuple[Step, list[Step]]]:
    """The steps at slots that both sides stop at, and the steps before each that only this side has.

    What is written between two of them is put together.
    """
    writes: Writes = ()
    hidden: list[Step] = []
    for step in steps:
        writes += step.writes
        if visible is None or step.pc in visible:
            yield Step(step.pc, step.registers, writes), hidden
            writes, hidden = (), []
        else:
            hidden.append(step)


def _culprit(before: Step | None, hidden: list[Step], other: Step | None) -> int:
    """The slot of the instruction that was done differently.

    An instruction without machine code is no boundary of a guest. When the guest now has the state that the other
    side had before such an instruction, its effect is what is missing.
    """
    for step in reversed(hidden):
        if other is not None and step.registers == other.registers:
            return step.pc
    return before.pc if before else -1


def lockstep(
    left: Prepared, right: Prepared, entry: Input, world: World, limits: Limits, stop_at: int | None = None
) -> Parting | None:
    """Run both from the same input and compare at every boundary; None when they never part.

    stop_at: also stop, with what = "", when both stand at that slot.
    """
    worlds = [world.copy() for _ in range(2)]
    a, b = left.boundaries(), right.boundaries()
    visible = b if a is None else a if b is None else a & b
    lefts = _common(left.trace(entry, worlds[0], limits), visible)
    rights = _common(right.trace(entry, worlds[1], limits), visible)
    before: Step | None = None
    for count in range(limits.instructions):
        one, hidden = next(lefts, _END)
        other, _ = next(rights, _END)
        what = describe(one, other)
        if what:
            return Parting(_culprit(before, hidden, other), what, before, one, other, count)
        if one is None or other is None:
            return None
        if one.pc == stop_at:
            return Parting(one.pc, "", before, one, other, count)
        before = one
    return None


def describe(one: Step | None, other: Step | None) -> str:
    """The first thing in which two steps differ, the left one being expected; "" for nothing."""
    if one is None or other is None:
        if one is other:
            return ""
        return "it ends here, expected to go on" if other is None else f"it goes on to insn {other.pc}, expected to end"
    if one.pc != other.pc:
        return f"it goes to insn {other.pc}, expected {one.pc}"
    for number, (left, right) in enumerate(zip(one.registers, other.registers, strict=True)):
        if left != right:
            return f"R{number} is 0x{right:x}, expected 0x{left:x}"
    if one.writes != other.writes:
        return f"it writes {_writes(other)}, expected {_writes(one)}"
    return ""


def _writes(step: Step) -> str:
    return ", ".join(f"{data.hex()} at 0x{address:x}" for address, data in step.writes) or "nothing"
