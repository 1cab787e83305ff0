"""The reference interpreter: reads the table of semantics and does what it says.

A program is decoded once into a flat list of tuples; immediates become extra registers behind R0-R10, so an ALU
instruction is `registers[d] = effect(registers[d], registers[s])` whatever its operands are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

from bpf.isa import Insn, Kind
from bpf.plan import CELL, FRAME, PAGE, POISON, Unit
from bpf.program import Program
from vm.cpus import ALONE, Schedule, Turn, Turns
from vm.helpers import Exit, Helper, Invoke, Place, entered, expire, implementations
from vm.maps.bound import Bound, named_regions
from vm.memory import Memory, OutOfReach, lay_out, private, sharing
from vm.outcome import Call, Fault, Outcome, located
from vm.services import Packet, Trap, load_packet
from vm.state import State
from vm.step import Step, Watch
from vm.world import Input, Limits, World

ALU, BRANCH, LOAD, STORE, GOTO, ATOMIC, ORDERED, HELPER, LOCAL, EXIT, COUNTDOWN, CALLX, PACKET, CAST = range(14)
TAIL, PROBE = 14, 15

M64 = (1 << 64) - 1

# (kind, effect, d, s, extra): `extra` is the next slot (ALU), a jump target, the callee's start, or (offset, size) of
# an access.
Code = tuple[int, Any, int, int, Any]


class Interpreter:
    """Unit.whole, decoded."""

    def __init__(self, unit: Unit, program: Program) -> None:
        self.unit = unit
        self.program = program
        self._maps = named_regions(unit)
        self._constants: list[int] = []
        self._helpers = implementations(unit.convention)
        self._functions = {
            unit.plan.entry(index): (index, function.start) for index, function in enumerate(program.functions)
        }
        addresses = unit.constants(program)
        slots: dict[int, int] = {}
        self._code: list[Code] = [
            (GOTO, None, 0, 0, pc + 1) if insn is None else self._decode(pc, insn, addresses, slots)
            for pc, insn in enumerate(program.insns)
        ]

    def _constant(self, value: int, slots: dict[int, int]) -> int:
        """The number of the register that holds an immediate."""
        value &= M64
        if value not in slots:
            slots[value] = 11 + len(self._constants)
            self._constants.append(value)
        return slots[value]

    def _decode(self, pc: int, insn: Insn, addresses: dict[int, int], slots: dict[int, int]) -> Code:
        row, dst, src, off, imm = insn
        kind = row.kind
        source = src if "src" in row.fields else self._constant(imm, slots)
        if row.ordered:
            return ORDERED, row.effect_in(self.program.order), dst, src, (off, row.width // 8, kind is Kind.LOAD)
        if kind is Kind.ALU:
            return ALU, row.effect_in(self.program.order), dst, source, pc + 1
        if kind is Kind.BRANCH:
            return BRANCH, row.effect_in(self.program.order), dst, source, pc + 1 + insn.distance
        if pc in self.program.probes:
            return PROBE, row.effect_in(self.program.order), dst, src, (off, row.width // 8)
        if kind is Kind.LOAD:
            return LOAD, row.effect_in(self.program.order) if row.signed else None, dst, src, (off, row.width // 8)
        if kind is Kind.STORE:
            return STORE, row.effect_in(self.program.order), dst, source, (off, row.width // 8)
        if kind is Kind.ATOMIC:
            compares = row.op == "cmpxchg"
            fetch_to = -1 if not row.fetch else 0 if compares else src
            return ATOMIC, row.effect_in(self.program.order), dst, src, (off, row.width // 8, fetch_to, compares)
        if kind is Kind.WIDE:
            return ALU, lambda d, s: s, dst, self._constant(addresses[pc], slots), pc + 2
        if kind is Kind.GOTO:
            return GOTO, None, 0, 0, pc + 1 + insn.distance
        if kind is Kind.EXIT:
            return EXIT, None, 0, 0, 0
        if kind is Kind.COUNTDOWN:
            return COUNTDOWN, None, 0, 0, pc + 1 + insn.distance
        if kind is Kind.CAST:
            return CAST, row.effect_in(self.program.order), dst, src, (self.unit.arena_base, imm)
        if kind is Kind.PACKET:
            added = imm if "src" in row.fields else 0  # source is the imm where there is no register
            return PACKET, row.effect_in(self.program.order), 0, source, (row.width, added)
        if row.op == "callx":
            return CALLX, None, dst, 0, 0
        if row.op == "call_local":
            return LOCAL, None, 0, 0, pc + 1 + insn.distance
        if pc in self.unit.tail_calls:
            index = self.unit.tail_calls[pc]
            return TAIL, None, 0, 0, (self.unit.map_regions[index].start, self.unit.maps[index].max_entries)
        return HELPER, self._helpers[imm], 0, 0, 0

    def start(
        self, entry: Input, world: World, limits: Limits, *, program: int = 0, turn: Turn = ALONE,
        beside: Memory | None = None,
    ) -> State:  # fmt: skip
        """The state before the first instruction.

        program: which one is entered; turn: that of its CPU; beside: the memory of another CPU, whose maps it shares.
        """
        memory = Memory(lay_out(self.unit, entry, world), sharing(self.unit, beside) if beside else private)
        registers = entry.entry_registers(memory.address("memory"), self.unit.context)
        allowance, packet = limits.may_goto, Packet.of(self.unit, entry)
        return State(
            [*registers, self.unit.plan.stack, *self._constants], memory, world, packet, allowance, allowance,
            registers[6:10], limits.tail_calls, self.unit.starts[program], turn=turn,
            maps=Bound(self._maps, self.unit.plan.handles, world, memory),
        )  # fmt: skip

    def run(self, entry: Input, world: World, limits: Limits, *, exact: bool = False) -> Outcome:
        """Run to the end. exact: `counts["overruns"]` says how many accesses left their region within its pages."""
        state = self.start(entry, world, limits)
        if exact:
            while state.ended is None and state.executed < limits.instructions:
                self._note_overrun(state)
                self.advance(state, 1)
        else:
            self.advance(state, limits.instructions)
        return self.outcome(state)

    def run_cpus(self, entries: Sequence[Input], world: World, limits: Limits, schedule: Schedule) -> list[Outcome]:
        """A run on each CPU; all have the memory of the maps in common."""
        schedule.check(self.unit, len(entries))
        turns = Turns(schedule, world)
        states: list[State] = []
        for cpu, entry in enumerate(entries):
            beside = states[0].memory if states else None
            program, turn = schedule.entered(cpu), turns.of(cpu)
            states.append(self.start(entry, world, limits, program=program, turn=turn, beside=beside))
        turns.run([partial(self.advance, state, limits.instructions) for state in states])
        return turns.told([self.outcome(state) for state in states])

    def outcome(self, state: State) -> Outcome:
        """The Outcome of a state that has ended, or ran into its limit."""
        done = state.ended == "done"
        counts = {"instructions": state.executed}
        if state.overruns:
            counts["overruns"] = len(state.overruns)
        if state.ran_out:
            counts["ran_out"] = state.ran_out
        maps, evicted = state.maps.contents(), state.maps.evicted()
        if evicted:
            counts["evicted"] = evicted
        state.maps.end()
        return Outcome(
            status=state.ended or "limit",
            r0=state.registers[0] if done else 0,
            registers=tuple(state.registers[:10]) if done else None,
            regions=state.memory.contents(),
            calls=tuple(state.calls),
            printed=tuple(state.world.printed),
            sent=tuple(state.world.sent),
            fault=located(state.fault, self.unit),
            counts=counts,
            maps=maps,
        )

    def trace(self, entry: Input, world: World, limits: Limits) -> Iterator[Step]:
        """Each instruction boundary in turn; the outcome is `outcome(state)` of the last one."""
        state = self.start(entry, world, limits)
        yield from self.trace_state(state, limits)
        state.maps.end()

    def trace_state(self, state: State, limits: Limits) -> Iterator[Step]:
        """As trace, from a state that the caller keeps."""
        watch = Watch(self.program, state.memory)
        while state.ended is None and state.executed < limits.instructions:
            yield watch.step(state.pc, state.registers[:11])
            self.advance(state, 1)

    def _note_overrun(self, state: State) -> None:
        """Record an access that is inside a mapped page but outside its region (Outcome counts)."""
        kind, _, d, s, extra = self._code[state.pc]
        if kind not in (LOAD, STORE, ATOMIC, ORDERED):
            return
        loads = kind == LOAD or (kind == ORDERED and extra[2])
        address = (state.registers[s if loads else d] + extra[0]) & M64
        for cell in state.memory.cells:
            region = cell.region
            if region.first_page <= address < region.first_page + region.mapped:
                if not region.start <= address <= address + extra[1] <= region.start + region.size:
                    state.overruns.append((state.pc, address))
                return

    def advance(self, state: State, limit: int) -> None:
        """Run at most `limit` instructions; `state.ended` says whether the run is over."""
        code, registers, pages, order = self._code, state.registers, state.memory.pages, self.program.order
        from_bytes: Callable[..., int] = int.from_bytes
        pc = state.pc
        executed = limit
        for count in range(limit):
            kind, effect, d, s, extra = code[pc]
            if kind == 0:  # ALU
                registers[d] = effect(registers[d], registers[s])
                pc = extra
            elif kind == 1:  # BRANCH
                pc = extra if effect(registers[d], registers[s]) else pc + 1
            elif kind == 2:  # LOAD
                offset, size = extra
                address = registers[s] + offset & M64
                page = pages.get(address >> 12)
                if page is not None and (address & 4095) + size <= PAGE:
                    at = address - page[1]
                    value = from_bytes(page[0][at : at + size], order)
                else:
                    try:
                        value = from_bytes(state.memory.read(address, size), order)
                    except OutOfReach as bad:
                        self._fault(state, bad, pc)
                        executed = count
                        break
                registers[d] = effect(0, value) if effect is not None else value
                pc += 1
            elif kind == 3:  # STORE
                offset, size = extra
                address = registers[d] + offset & M64
                data = effect(0, registers[s]).to_bytes(size, order)
                page = pages.get(address >> 12)
                if page is not None and page[2] and (address & 4095) + size <= PAGE:
                    at = address - page[1]
                    page[0][at : at + size] = data
                else:
                    try:
                        state.memory.write(address, data)
                    except OutOfReach as bad:
                        self._fault(state, bad, pc)
                        executed = count
                        break
                pc += 1
            elif kind == 4:  # GOTO
                pc = extra
            else:
                state.pc = pc
                self._rare(state, kind, effect, d, s, extra)
                if state.ended is not None:
                    executed = count + (state.ended == "done")
                    break
                pc = state.pc
        state.pc = pc
        state.executed += executed

    def _fault(self, state: State, bad: OutOfReach | Trap, pc: int) -> None:
        state.ended = "fault"
        state.fault = Fault(bad.kind, 0, pc, bad.address)

    def _rare(self, state: State, kind: int, effect: Any, d: int, s: int, extra: Any) -> None:
        """The instructions that loops are not made of; moves state.pc or ends the run."""
        registers = state.registers
        if kind == EXIT:
            self._exit(state)
        elif kind == COUNTDOWN:
            if state.passes:
                state.passes -= 1
                state.pc += 1
            else:
                state.ran_out += 1
                state.pc = extra
        elif kind == LOCAL:
            self._call(state, extra)
        elif kind == HELPER:
            self._helper(state, *effect)
        elif kind == CALLX:
            self._callx(state, registers[d])
        elif kind == TAIL:
            self._tail_call(state, *extra)
        elif kind == PACKET:
            self._load_packet(state, effect, registers[s], *extra)
        elif kind == CAST:
            registers[d] = effect(extra[0], registers[s], extra[1])
            state.pc += 1
        elif kind == PROBE:
            registers[d] = effect(0, state.memory.probe(registers[s] + extra[0] & M64, extra[1], self.program.order))
            state.pc += 1
        elif kind == ORDERED:
            self._ordered(state, effect, d, s, *extra)
        else:
            self._atomic(state, effect, d, s, *extra)

    def _exit(self, state: State) -> None:
        registers = state.registers
        if not state.frames:
            if not state.world.timers:
                state.ended = "done"
                return
            state.final = registers[:10]
            state.pc += 1  # timers are called as if from here
            registers[6:10] = state.outer
            place = Place(state.world, state.memory, self.program.order, state.maps, turn=state.turn)
            state.calling.append((0, expire(place)))
            self._resume(state, None)
            return
        state.pc, *registers[6:10], state.passes = state.frames.pop()
        registers[10] += FRAME
        registers[1:6] = (POISON + register for register in range(1, 6))
        if state.calling and state.calling[-1][0] == len(state.frames):
            self._resume(state, registers[0])

    def _call(self, state: State, start: int) -> None:
        registers = state.registers
        state.frames.append((state.pc + 1, *registers[6:10], state.passes))  # type: ignore[arg-type]
        state.passes = state.allowance
        registers[10] -= FRAME
        registers[0] = POISON
        state.pc = start

    def _callx(self, state: State, value: int) -> None:
        if value in self._helpers and value in self.unit.convention.helpers:
            self._helper(state, *self._helpers[value])
            return
        start = self._callee(state, state.pc, value)
        if start is not None:
            self._call(state, start)

    def _callee(self, state: State, pc: int, value: int, *, later: bool = False) -> int | None:
        """The start of the function with that entry slot, which an instruction at pc calls; None is a fault.

        later: it may be a timer that calls it.
        """
        index, start = self._functions.get(value, (-1, 0))
        timer = later and state.final is not None
        if index in (self.unit.later if timer else self.unit.callees(pc)):
            return start
        if timer:
            pc = -1
        state.ended = "fault"
        state.fault = Fault("call target", 0, pc, value)
        return None

    def _tail_call(self, state: State, cells: int, entries: int) -> None:
        registers, frames = state.registers, state.frames
        index, target = registers[3] & 0xFFFF_FFFF, 0
        if index < entries and state.tails:
            target = int.from_bytes(state.memory.read(cells + CELL * index, CELL), self.program.order)
        if target:
            state.tails -= 1
            registers[0] = POISON
            registers[2:6] = (POISON + register for register in range(2, 6))
            registers[6:10] = frames[-1][1:5] if frames else state.outer
            state.passes = state.allowance
            state.pc = self._functions[target][1]
        else:
            registers[0:6] = (POISON + register for register in range(6))
            state.pc += 1

    def _load_packet(self, state: State, effect: Any, offset: int, width: int, added: int) -> None:
        registers = state.registers
        try:
            raw = load_packet(state.packet, state.memory, width, registers[6], offset + added)
        except Trap as trap:
            state.ended = "fault"
            state.fault = Fault(trap.kind, 0, state.pc, trap.address)
            return
        registers[1:6] = (POISON + register for register in range(1, 6))
        if raw is None:
            registers[0] = 0
            self._exit(state)
        else:
            registers[0] = effect(0, raw)
            state.pc += 1

    def _helper(self, state: State, name: str, count: int, function: Helper) -> None:
        registers = state.registers
        state.calls.append(Call(name, tuple(registers[1 : 1 + count])))
        state.turn.step()
        place = Place(state.world, state.memory, self.program.order, state.maps, state.packet, state.turn)
        try:
            result = function(place, registers[1:6])
        except (OutOfReach, Trap) as bad:
            self._fault(state, bad, state.pc)
            return
        state.pc += 1
        if isinstance(result, int | Exit):
            self._return(state, result)
        else:
            state.calling.append((len(state.frames), result))
            self._resume(state, None)

    def _return(self, state: State, result: int | Exit) -> None:
        """A helper has come to its end."""
        registers = state.registers
        if state.final is not None and not state.calling and not state.frames:
            registers[:10] = state.final
            state.ended = "done"
            return
        if isinstance(result, Exit):
            registers[0] = result.r0
            state.ended = "done"
            return
        state.turn.step()
        registers[0] = result & M64
        registers[1:6] = (POISON + register for register in range(1, 6))

    def _resume(self, state: State, r0: int | None) -> None:
        """The helper that waits goes on with what the function that it called has returned; pc is behind its call."""
        helper = state.calling[-1][1]
        try:
            invoke: Invoke = helper.send(r0)  # type: ignore[arg-type]
        except StopIteration as end:
            state.calling.pop()
            self._return(state, end.value)
            return
        except (OutOfReach, Trap) as bad:
            self._fault(state, bad, state.pc - 1)
            return
        start = self._callee(state, state.pc - 1, invoke.function, later=len(state.calling) == 1)
        if start is not None:
            state.pc -= 1
            self._call(state, start)
            state.registers[1:6] = entered(invoke)

    def _ordered(self, state: State, effect: Any, d: int, s: int, offset: int, size: int, load: bool) -> None:
        """A load-acquire or store-release: an ordinary access that must be aligned."""
        registers, order = state.registers, self.program.order
        address = registers[s if load else d] + offset & M64
        if address % size:
            state.ended = "unspecified"
            return
        try:
            if load:
                raw = state.memory.read(address, size)
                registers[d] = effect(0, int.from_bytes(raw, order))
            else:
                state.memory.write(address, effect(0, registers[s]).to_bytes(size, order))
        except OutOfReach as bad:
            self._fault(state, bad, state.pc)
            return
        state.pc += 1

    def _atomic(
        self, state: State, effect: Any, d: int, s: int, offset: int, size: int, fetch_to: int, compares: bool
    ) -> None:
        registers, order = state.registers, self.program.order
        address = registers[d] + offset & M64
        if address % size:
            state.ended = "unspecified"
            return
        bad = state.memory.first_bad(address, size, True)
        if bad is not None and compares and state.memory.first_bad(address, size, False) is None:
            old = int.from_bytes(state.memory.read(address, size), order)
            if old != registers[0] & (1 << 8 * size) - 1:
                # Some machines write the old value back, which faults; others do not write at all.
                state.ended = "unspecified"
                return
        if bad is None:  # what can only be written cannot be changed either
            bad = state.memory.first_bad(address, size, False)
        if bad is not None:
            # A machine reads first, so memory that is not there at all is a read fault on some; the kind is a write.
            self._fault(state, OutOfReach(True, bad), state.pc)
            return
        old = int.from_bytes(state.memory.read(address, size), order)
        new = effect(old, registers[s], registers[0])
        state.memory.write(address, new.to_bytes(size, order))
        if fetch_to >= 0:
            registers[fetch_to] = old
        state.pc += 1
