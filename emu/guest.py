"""Run an image in its machine: one input at a time, in batches, or boundary by boundary."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from itertools import takewhile

from bpf.plan import Unit
from bpf.spec.kfuncs import FIRST as FIRST_KFUNC
from emu.batch import CAPACITY, compile_batch, run_batch, suits
from emu.faults import translate
from emu.machine import Machine, Stop, machine, tracer
from jit.image import Image
from vm.cpus import ALONE, Schedule, Turn, Turns
from vm.helpers import Calling, Exit, Place, entered, expire, implementations
from vm.maps.bound import Bound, named_regions
from vm.memory import Cell, Memory, OutOfReach, lay_out
from vm.outcome import Call, Fault, Outcome, located
from vm.services import CALL_TARGET, SERVICES, Packet, Trap, answer
from vm.step import Step, Watch
from vm.world import Input, Limits, World

_CHUNK = 4096  # boundaries between two stops of a traced guest


class Guest:
    """A compiled program of a unit with everything a run needs."""

    def __init__(self, unit: Unit, image: Image, *, observe: bool, features: frozenset[str] | None = None) -> None:
        self.unit = unit
        self.image = image
        self.observe = observe
        self._features = features
        self._batches = observe and suits(image.program, unit.tail_calls)
        self._batch: Image | None = None
        self._helpers = implementations(unit.convention)
        self.maps = named_regions(unit)
        self._memory: tuple[Machine, tuple[Cell, ...], Memory] | None = None

    def run(self, entry: Input, world: World, limits: Limits) -> Outcome:
        """One run from a clean state."""
        host = machine(self.image.target, self.unit.plan)
        run = _Run(self, host, entry, world, limits)
        run.end(host.start(self.unit.plan.entry(0), limits.seconds))
        return run.outcome()

    def run_cpus(self, entries: Sequence[Input], world: World, limits: Limits, schedule: Schedule) -> list[Outcome]:
        """A run on each CPU: each has a machine of its own, and all have the memory of the maps in common."""
        target, unit, turns = self.image.target, self.unit, Turns(schedule, world)
        schedule.check(unit, len(entries))
        runs: list[_Run] = []
        for cpu, entry in enumerate(entries):
            host = machine(target, unit.plan, cpu=cpu)
            host.owner = self._memory = None
            cells = lay_out(unit, entry, world)
            memory = host.memory(cells, runs[0].memory.of_maps(unit) if runs else {})  # type: ignore[arg-type]
            runs.append(_Run(self, host, entry, world, limits, memory, turns.of(cpu)))

        def stop() -> None:
            for run in runs:
                run.host.uc.emu_stop()

        def body(run: _Run) -> None:
            function = unit.mains[schedule.entered(run.turn.cpu)]
            run.end(run.host.start(unit.plan.entry(function), limits.seconds))

        turns.run([partial(body, run) for run in runs], stop)
        return turns.told([run.outcome() for run in runs])

    def run_batch(self, entries: Sequence[Input], world: World, limits: Limits) -> list[Outcome]:
        """Outcomes of the first inputs, as far as one guest run gets; may be none at all.

        Only for programs that suit batches, with Options.observe, and as far as inputs differ in registers alone.
        """
        unit, target = self.unit, self.image.target
        if not self._batches:
            return []
        first = entries[0]
        entries = list(takewhile(lambda e: replace(e, registers=first.registers) == first, entries))
        if len(entries) == 1:
            return []
        if self._batch is None:
            self._batch = compile_batch(unit, self.image.program, target, self._features)
        host = machine(target, unit.plan)
        memory = self.reusable_memory(host, lay_out(unit, first, world))
        address = memory.address("memory")
        bound = Bound(self.maps, unit.plan.handles, world, memory)
        maps = bound.contents()
        bound.end()
        outcomes: list[Outcome] = []
        while len(outcomes) < len(entries):
            chunk = entries[len(outcomes) : len(outcomes) + CAPACITY]
            rows = [entry.entry_registers(address, unit.context) for entry in chunk]
            records = run_batch(host, self._batch, rows, limits.seconds, limits.may_goto, limits.tail_calls)
            regions = memory.contents()
            outcomes += [Outcome("done", record[0], record, regions, (), (), maps=maps) for record in records]
            if len(records) < len(chunk):
                break
        return outcomes

    def count(self, entry: Input, world: World, limits: Limits) -> int:
        """How many native instructions a run executes."""
        executed = 0

        def on_code(address: int) -> None:
            nonlocal executed
            executed += 1

        with tracer(self.image.target, self.unit.plan, on_code) as host:
            run = _Run(self, host, entry, world, limits)
            host.start(self.unit.plan.entry(0), limits.seconds)
            run.maps.end()
        return executed

    def visible(self) -> frozenset[int]:
        """Slots that have machine code of their own: only these are boundaries of a trace."""
        starts = self.image.starts
        ends: dict[int, int] = {}
        for pc, offset in starts.items():
            ends[offset] = max(pc, ends.get(offset, -1))
        return frozenset(pc for pc, offset in starts.items() if ends[offset] == pc)

    def trace(self, entry: Input, world: World, limits: Limits) -> Iterator[Step]:
        """Each visible instruction boundary, in a machine that nobody else uses meanwhile.

        The guest is stopped after every few thousand boundaries and goes on when the reader asks for more.
        """
        boundaries = {self.image.base + self.image.starts[pc]: pc for pc in self.visible()}
        collected: list[Step] = []
        passed = 0  # the address at which the guest was stopped and goes on

        def on_code(address: int) -> None:
            nonlocal passed
            pc = boundaries.get(address)
            if pc is None or address == passed:
                passed = 0
                return
            passed = 0
            collected.append(watch.step(pc, host.homes()))
            if len(collected) >= _CHUNK and not host.depth:  # a callback cannot be left and entered again
                passed = address
                host.uc.emu_stop()

        with tracer(self.image.target, self.unit.plan, on_code) as host:
            run = _Run(self, host, entry, world, limits)
            watch = Watch(self.image.program, run.memory)
            stop = host.start(self.unit.plan.entry(0), limits.seconds)
            while True:
                yield from collected
                going_on = passed != 0 and not stop.error and not stop.timeout and run.fault is None
                collected.clear()
                if not going_on:
                    if not stop.error and not stop.timeout and run.fault is None and run.exit is None:
                        run.expire(limits.seconds)
                        yield from collected
                    run.maps.end()
                    return
                stop = host.start(stop.pc, limits.seconds)

    def reusable_memory(self, host: Machine, cells: tuple[Cell, ...]) -> Memory:
        """The Memory of these cells in the machine, kept from the run before where nothing has changed."""
        kept = self._memory
        if kept is not None and kept[0] is host and kept[1] == cells and host.owner is self:
            kept[2].reset()
            return kept[2]
        memory = host.memory(cells)
        self._memory = (host, cells, memory)
        host.owner = self
        return memory


class _Run:
    """One run in progress: registers set, code loaded, helper calls recorded."""

    def __init__(
        self, guest: Guest, host: Machine, entry: Input, world: World, limits: Limits, memory: Memory | None = None,
        turn: Turn = ALONE,
    ) -> None:  # fmt: skip
        self.guest = guest
        self.host = host
        self.world = world
        self.turn = turn
        self.memory = memory or guest.reusable_memory(host, lay_out(guest.unit, entry, world))
        self.packet = Packet.of(guest.unit, entry)
        self.maps = Bound(guest.maps, guest.unit.plan.handles, world, self.memory)
        self.seconds = limits.seconds
        self.calls: list[Call] = []
        self.fault: Fault | None = None
        self.exit: Exit | None = None
        self.r0 = 0
        self.registers: tuple[int, ...] | None = None
        self.timeout = False
        host.load(guest.image)
        host.on_helper = self._helper
        registers = entry.entry_registers(self.memory.address("memory"), guest.unit.context)
        host.prepare_entry(registers, guest.unit.plan.stack, limits.may_goto, limits.tail_calls)

    def _helper(self, number: int) -> int | None:
        guest, host = self.guest, self.host
        arguments = host.helper_arguments()
        if broken := host.misaligned():
            self.fault = Fault("abi", 0, self._caller(), 0, broken)
            return None
        if number == CALL_TARGET:
            number = host.ax()
            if number not in guest._helpers or number >= FIRST_KFUNC:
                self.fault = Fault("call target", 0, self._caller(), number)
                return None
        elif number in SERVICES:
            return self._serve(number, arguments)
        known = guest._helpers.get(number)
        if known is None:
            self.fault = Fault("fetch", 0, self._caller(), guest.unit.plan.stub(number), f"call of helper {number}")
            return None
        name, count, function = known
        self.calls.append(Call(name, tuple(arguments[:count])))
        self.turn.step()
        place = Place(self.world, self.memory, guest.unit.order, self.maps, self.packet, self.turn)
        try:
            given = function(place, arguments)
        except (OutOfReach, Trap) as bad:
            self.fault = Fault(bad.kind, 0, self._caller(), bad.address)
            return None
        result = given if isinstance(given, int | Exit) else self._call_back(given)
        if isinstance(result, Exit):
            self.exit = result
            return None
        if result is None:
            return None
        self.turn.step()
        return result & (1 << 64) - 1

    def _call_back(self, helper: Calling) -> int | Exit | None:
        """Call what a helper wants called, until it has its result; None where the run ends before."""
        pc = self.guest.image.pc_at(self.host.return_address() - 1)
        return self._calls(helper, pc, self.guest.unit.callees(pc))

    def expire(self, seconds: float) -> bool:
        """After a run that came to its end: what its timers do. Whether that came to its end in time."""
        if not self.world.timers:
            return True
        unit = self.guest.unit
        place = Place(self.world, self.memory, unit.order, self.maps, turn=self.turn)
        ended = self._calls(expire(place), -1, unit.later, seconds)
        return ended is not None or self.fault is not None

    def _calls(
        self, helper: Calling, pc: int, callees: Iterable[int], seconds: float | None = None
    ) -> int | Exit | None:
        """As _call_back, for an instruction at pc that may call these functions. seconds: of each, after a run."""
        host, unit = self.host, self.guest.unit
        functions = {unit.plan.entry(index) for index in callees}
        r0: int | None = None
        with host.nested() as enter:
            while True:
                try:
                    invoke = helper.send(r0)  # type: ignore[arg-type]
                except StopIteration as end:
                    result: int | Exit = end.value
                    return result
                except (OutOfReach, Trap) as bad:
                    self.fault = Fault(bad.kind, 0, pc, bad.address)
                    return None
                if invoke.function not in functions:
                    self.fault = Fault("call target", 0, pc, invoke.function)
                    return None
                enter(entered(invoke))
                stop = host.go_on(invoke.function) if seconds is None else host.start(invoke.function, seconds)
                if self.fault is not None or self.exit is not None:
                    return self.exit
                if stop.error or stop.pc != unit.plan.exit:
                    self.fault = None if stop.timeout else translate(stop, host, self.guest.image, self.memory)
                    return None
                if broken := host.broken_convention():
                    self.fault = Fault("abi", 0, pc, 0, f"in a callback: {broken}")
                    return None
                r0 = host.result()

    def _serve(self, number: int, arguments: Sequence[int]) -> int | None:
        try:
            return answer(number, self.packet, self.memory, arguments)
        except Trap as trap:
            self.fault = Fault(trap.kind, 0, self._caller(), trap.address)
            return None

    def _caller(self) -> int:
        """At a stub: the slot of the call. Only faults ask, since the source map is worked out for it."""
        return self.guest.image.pc_at(self.host.return_address() - 1)

    def end(self, stop: Stop) -> None:
        """The guest has stopped: see how, and run its timers."""
        host, guest = self.host, self.guest
        self.timeout = stop.timeout
        if self.exit is not None:
            self.r0 = self.exit.r0
        elif self.fault is None and not stop.timeout:
            if stop.error or stop.pc != guest.unit.plan.exit:
                self.fault = translate(stop, host, guest.image, self.memory)
            elif broken := host.broken_convention():
                self.fault = Fault("abi", 0, -1, 0, broken)
            else:
                r0, registers = host.result(), host.record() if guest.observe else None
                self.timeout = not self.expire(self.seconds)
                if not self.timeout and self.fault is None:
                    self.r0, self.registers = r0, registers

    def outcome(self) -> Outcome:
        """What the run gave, when it has ended."""
        maps, fault = self.maps.contents(), self.fault
        self.maps.end()
        return Outcome(
            status="fault" if fault else "limit" if self.timeout else "done",
            r0=self.r0,
            registers=self.registers,
            regions=self.memory.contents(),
            calls=tuple(self.calls),
            printed=tuple(self.world.printed),
            sent=tuple(self.world.sent),
            fault=located(fault, self.guest.unit),
            maps=maps,
        )
