"""Between a program as it was given and the one that machines run: rewriting before, translating back after.

Everything that leaves an engine speaks of the program as given. This is the one place that knows of both.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from bpf.errors import CrossbpfError
from bpf.plan import Unit
from bpf.program import Program
from bpf.rewrite import convert_context
from engines.base import Prepared
from verifier.provenance import provenance
from vm.contexts import packet_after, read_back
from vm.cpus import Schedule
from vm.outcome import Outcome
from vm.step import Step
from vm.world import Input, Limits, World


def bind(unit: Unit) -> Unit:
    """The unit that machines run: accesses to its context are converted. The same object for the same unit.

    Raises Refused for what the context does not allow.
    """
    if unit.convention.view is None or unit.programs[0].source is not None:
        return unit
    if unit.bound is None:
        programs = tuple(_rewritten(program, unit) for program in unit.programs)
        object.__setattr__(unit, "bound", Unit(programs, unit.maps, unit.convention, unit.plan))
    assert unit.bound is not None
    return unit.bound


def _rewritten(program: Program, unit: Unit) -> Program:
    view = unit.convention.view
    assert view is not None
    try:
        return convert_context(program, provenance(program, view, unit.convention.helpers), view)
    except CrossbpfError as error:
        raise error.at(file=program.name if len(unit.programs) > 1 else "") from None


def shown(prepared: Prepared, unit: Unit) -> Prepared:
    """What an engine has made of a bound unit, speaking of the programs as they were given."""
    return prepared if unit.convention.view is None else _Shown(prepared, unit)


class _Shown(Prepared):
    """A rewritten unit."""

    def __init__(self, inner: Prepared, unit: Unit) -> None:
        self.inner = inner
        self.image = inner.image
        self._unit = unit
        self._origin = unit.whole.origin
        self._heads = {pc for pc, at in enumerate(self._origin) if pc == 0 or at != self._origin[pc - 1]}

    def run(self, entry: Input, world: World, limits: Limits) -> Outcome:
        """See Prepared."""
        return self._outcome(self.inner.run(entry, world, limits), entry)

    def run_many(self, entries: Sequence[Input], world: World, limits: Limits) -> list[Outcome]:
        """See Prepared."""
        outcomes = self.inner.run_many(entries, world, limits)
        return [self._outcome(outcome, entry) for outcome, entry in zip(outcomes, entries, strict=True)]

    def run_cpus(self, entries: Sequence[Input], world: World, limits: Limits, schedule: Schedule) -> list[Outcome]:
        """See Prepared."""
        outcomes = self.inner.run_cpus(entries, world, limits, schedule)
        return [self._outcome(outcome, entry) for outcome, entry in zip(outcomes, entries, strict=True)]

    def count(self, entry: Input, world: World, limits: Limits) -> int | None:
        """See Prepared."""
        return self.inner.count(entry, world, limits)

    def trace(self, entry: Input, world: World, limits: Limits) -> Iterator[Step]:
        """Of the instructions that stand for one of the program's, the first is its boundary."""
        writes: tuple[tuple[int, bytes], ...] = ()
        for step in self.inner.trace(entry, world, limits):
            writes += step.writes
            if step.pc in self._heads:
                yield Step(self._origin[step.pc], step.registers, writes)
                writes = ()

    def boundaries(self) -> frozenset[int] | None:
        """See Prepared."""
        inner = self.inner.boundaries()
        pcs = self._heads if inner is None else self._heads & inner
        return frozenset(self._origin[pc] for pc in pcs)

    def _outcome(self, outcome: Outcome, entry: Input) -> Outcome:
        return translated(outcome, self._unit, entry)


def translated(outcome: Outcome, unit: Unit, entry: Input) -> Outcome:
    """An outcome of a bound unit with pcs of the programs as given, and with its context and packet."""
    fault = outcome.fault
    if fault is not None:
        fault = replace(fault, pc=unit.programs[fault.program].origin_of(fault.pc))
    context, packet = None, None
    regions = outcome.regions
    if regions is not None and "context" in regions:
        start = unit.packet_start(len(entry.packet))
        at = unit.context & 0xFFF
        context = read_back(unit, regions["context"][at:], start)
        packet = packet_after(unit, entry, regions["context"][at:], regions.get("packet", b""))
    return replace(outcome, fault=fault, context=context, packet=packet)
