"""The public functions: each is one step from a program to what it does."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from bpf.plan import PLANS, Unit
from bpf.program import Program
from bpf.spec.conventions import PACKET, PLAIN, Convention
from crossbpf.inputs import read_source
from engines import Options, engine
from engines.compare import Row
from engines.compare import compare as compare_engines
from jit.image import Image
from jit.pipeline import compile_program
from jit.registry import target as find_target
from runtime.running import entry_for
from runtime.types import convention, named
from vm.cpus import Schedule
from vm.outcome import Outcome
from vm.world import Input, Limits, World


def parse(file: str) -> Program:
    """The program in a file: C, ELF object, assembly, conformance file, wire bytes (see `crossbpf check --help`).

    Little-endian unless the file is a big-endian object. Raises CrossbpfError.
    """
    return read_source(file).any_order()


def _convention(kind: str, packet: bytes) -> Convention:
    if kind:
        return convention(named(kind), kind)
    return PACKET if packet else PLAIN


def _input(entered: Convention, memory: bytes, packet: bytes, context: Mapping[str, int] | None) -> Input:
    if not entered.context and not context:
        return Input(memory)
    return entry_for(entered, packet or memory, context)


def _unit(program: Program, entered: Convention, plan: str) -> Unit:
    return Unit((program,), convention=entered, plan=PLANS[plan])


def interpret(
    program: Program, memory: bytes = b"", *, packet: bytes = b"", type: str = "",
    context: Mapping[str, int] | None = None, plan: str = "high", world: World | None = None,
) -> Outcome:  # fmt: skip
    """Run a program on the reference interpreter, R1 and R2 being address and length of a copy of memory.

    type: the program type, "xdp" say: R1 is then its context, whose fields `context` sets, and memory is the packet.
    packet: a frame from its link-layer header on, for loads from the packet; R1 is then a context that stands for it.
    world: what helpers see and change, maps too; it keeps what the run changes.
    """
    entered = _convention(type, packet)
    prepared = engine("interpreter").prepare(_unit(program, entered, plan), Options(observe=True))
    return prepared.run(_input(entered, memory, packet, context), World() if world is None else world, Limits())


def compile(program: Program, target: str, *, plan: str = "high") -> Image:
    """Compile a program for a target; a big-endian target compiles it as a big-endian program."""
    machine = find_target(target)
    program = program.in_order(machine.order)
    return compile_program(Unit((program,), plan=PLANS[plan]), program, machine)


def run(
    program: Program, target: str, memory: bytes = b"", *, packet: bytes = b"", type: str = "",
    context: Mapping[str, int] | None = None, plan: str = "high", world: World | None = None,
) -> Outcome:  # fmt: skip
    """Run a program's machine code for a target in the emulator. The other arguments are those of interpret."""
    entered = _convention(type, packet)
    unit = _unit(program.in_order(find_target(target).order), entered, plan)
    prepared = engine(target).prepare(unit, Options(observe=True))
    return prepared.run(_input(entered, memory, packet, context), World() if world is None else world, Limits())


def compare(
    program: Program, memory: bytes = b"", *, packet: bytes = b"", type: str = "",
    context: Mapping[str, int] | None = None, targets: Sequence[str] | None = None, plan: str = "high",
    world: World | None = None, cpus: int = 1, schedule: int | str = "",
) -> list[Row]:  # fmt: skip
    """Run a program on the interpreter and on targets (default: all); a Row per engine says whether they agree.

    type, context: as for interpret. world: what every engine starts from. cpus: on so many CPUs at once, which take
    turns at helper calls; Row.cpus has their outcomes. schedule: who goes on when: drawn from a seed, or CPUs in turn,
    as "0,0,1".
    """
    chosen = None if targets is None else [engine(name) for name in targets]
    entered = _convention(type, packet)
    turns = Schedule.read(cpus, str(schedule)) if cpus != 1 else None
    return compare_engines(
        program.in_order, _input(entered, memory, packet, context), engines=chosen, plan=PLANS[plan],
        convention=entered, world=world, schedule=turns,
    )  # fmt: skip
