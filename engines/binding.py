"""Between a program as it was given and the one that machines run: rewriting before, translating back after.

Everything that leaves an engine speaks of the program as given. This is the one place that knows of both.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cache

from bpf.errors import CrossbpfError
from bpf.facts import Facts
from bpf.isa import Kind
from bpf.object.btf_build import content as bytes_of
from bpf.plan import Unit
from bpf.program import Program
from bpf.rewrite import convert_context
from bpf.spec.conventions import Convention
from bpf.spec.kfuncs import NEW
from engines.base import Prepared
from verifier.provenance import provenance
from vm.contexts import WORD, packet_after, read_back
from vm.cpus import Schedule
from vm.outcome import Outcome
from vm.step import Step
from vm.world import Input, Limits, World


def bind(unit: Unit) -> Unit:
    """The unit that machines run: accesses to its context are converted, probe loads are known.

    The same object for the same unit, itself where nothing is to do. Raises Refused for what the context does not
    allow.
    """
    if unit.programs[0].source is not None or not _rewrites(unit):
        return unit
    if unit.bound is None:
        programs = tuple(_rewritten(program, unit) for program in unit.programs)
        object.__setattr__(unit, "bound", Unit(programs, unit.maps, unit.convention, unit.plan))
    assert unit.bound is not None
    return unit.bound


def _rewrites(unit: Unit) -> bool:
    """Whether there is a context, or a program gets hold of a structure of the kernel's."""
    if unit.convention.view is not None:
        return True
    giving = _giving(unit.convention)
    return any(
        program.symbols
        or any(insn is not None and insn.row.kind is Kind.CALL and insn.imm in giving for insn in program.insns)
        for program in unit.programs
    )


@cache
def _giving(convention: Convention) -> frozenset[int]:
    """The helpers and kernel functions that return pointers to structures of the kernel's, or make objects."""
    calls = (*convention.helpers.values(), *convention.kfuncs.values())
    return frozenset(one.number for one in calls if one.gives or one.name == NEW)


def _rewritten(program: Program, unit: Unit) -> Program:
    view = unit.convention.view
    try:
        return convert_context(program, _facts(program, unit), view)
    except CrossbpfError as error:
        raise error.at(file=program.name if len(unit.programs) > 1 else "") from None


def _facts(program: Program, unit: Unit) -> Facts:
    """What the verifier knows of a program counts; one that it was not asked about is walked, which is quicker.

    So is one that calls kernel functions, whose constants the verifier's facts lack, and one that reads structures of
    the kernel's, which are those of the described machine here and of the running kernel there.
    """
    facts = program.facts
    asks = any(insn is not None and insn.row.op == "call_kfunc" for insn in program.insns)
    if facts is not None and not asks and not facts.probes:
        return facts
    return provenance(program, unit.convention.view, unit.calls)


def shown(prepared: Prepared, unit: Unit) -> Prepared:
    """What an engine has made of a bound unit, speaking of the programs as they were given."""
    return prepared if unit.programs[0].source is None else _Shown(prepared, unit)


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
        content = regions["context"][unit.context & 0xFFF :]
        view = unit.convention.view
        if view is not None and view.layout.open:
            content = content[: -(-len(bytes_of(entry.record, unit.order)) // WORD) * WORD]
        context = read_back(unit, content, start)
        packet = packet_after(unit, entry, content, regions.get("packet", b""))
    return replace(outcome, fault=fault, context=context, packet=packet)
