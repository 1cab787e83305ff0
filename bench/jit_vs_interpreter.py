"""Our compiled code against an interpreter in C (bench/interpreter.c), on the same machine.

In the emulator both run as native code of the target, from the same input to the same end state, which is checked;
what is counted are native instructions, so the figures are the same on every host. On the host's own CPU it is time.
"""

from __future__ import annotations

import ctypes
import importlib.util
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

from elftools.elf.elffile import ELFFile

from bench.measure import Cell, Table, main
from bench.programs import alu_loop, fibonacci_loop, helper_loop, memory_loop, rounds_loop
from bpf.errors import Refused
from bpf.order import Order
from bpf.plan import PLANS, Unit
from bpf.program import Program
from crossbpf.inputs import memory_beside, read_source
from emu.guest import Guest
from engines import Engine, engine
from jit.image import Image
from jit.pipeline import compile_program
from jit.registry import TARGETS
from jit.target import Target
from vm.outcome import difference
from vm.world import Input, Limits, World

SOURCE = Path(__file__).with_name("interpreter.c")
EXAMPLES = Path(__file__).parent.parent / "examples"
PLAN = PLANS["low"]
"""In the low 2 GiB, where a C compiler's code is the shortest."""

LIMITS = Limits(instructions=1_000_000_000, seconds=120.0)
_NO_VSX = ("-mno-power8-vector", "-mno-direct-move", "-mno-vsx", "-mno-altivec")
ZIG: dict[str, tuple[str, ...]] = {
    "x86_64": ("x86_64-linux-musl", "-mgeneral-regs-only"),
    "arm64": ("aarch64-linux-musl", "-mgeneral-regs-only"),
    "riscv64": ("riscv64-linux-musl",),
    "ppc64": ("powerpc64-linux-musl", *_NO_VSX),
    "ppc64le": ("powerpc64le-linux-musl", *_NO_VSX),
    "s390x": ("s390x-linux-musl", "-mcpu=z196"),
}
"""The targets as the C compiler spells them, and what keeps it from vector registers, which a guest has not got."""

_FLAGS = (
    "-O2", "-g0", "-fomit-frame-pointer", "-ffreestanding", "-fno-strict-aliasing", "-fno-stack-protector",
    "-fno-sanitize=all", "-fno-unwind-tables", "-fno-asynchronous-unwind-tables", "-nostdlib",
    "-Wno-initializer-overrides",
)  # fmt: skip
_SCRIPT = """
SECTIONS {
  . = BASE;
  .text : { KEEP(*(.start)) *(.text .text.*) }
  .rodata : { *(.rodata .rodata.*) *(.data .data.*) *(.got .got.*) *(.toc .toc.*) }
  /DISCARD/ : { *(.comment) *(.note .note.*) *(.eh_frame .eh_frame.*) }
}
"""


@dataclass(frozen=True, slots=True)
class Work:
    """A program to run. kind: what its time goes into; make: the program in a byte order."""

    kind: str
    name: str
    make: Callable[[Order], Program]
    memory: bytes = b""


def example(kind: str, name: str) -> Work:
    """One of the shipped examples."""
    path: dict[Order, str] = {
        "little": str(EXAMPLES / f"{name}.bpfel.o"),
        "big": str(EXAMPLES / f"{name}.bpfeb.o"),
    }
    return Work(kind, name, lambda order: read_source(path[order]).program_in(order), memory_beside(path["little"]))


def works(quick: bool) -> list[Work]:
    """What is run in the emulator: the loops are long enough for the way in and out not to count."""
    count = 20 if quick else 1000
    found = [
        Work("ALU", "hash loop", alu_loop(count).in_order),
        Work("ALU", "fibonacci loop", fibonacci_loop(count).in_order),
        Work("ALU", "SipHash rounds", rounds_loop(count).in_order),
        Work("memory", "load/store loop", memory_loop(count).in_order),
        Work("helper", "clock and random", helper_loop(count).in_order),
    ]
    if not quick:
        found[3:3] = [example("ALU", name) for name in ("prime", "siphash", "sha256")]
        found[-1:-1] = [example("memory", name) for name in ("sort", "sieve", "matrix")]
    return found


def missing() -> str:
    """Why the interpreter cannot be compiled; "" where it can."""
    return "" if importlib.util.find_spec("ziglang") else "there is no ziglang package to compile C with"


def _compile(options: Sequence[str], output: Path) -> None:
    command = [sys.executable, "-m", "ziglang", "cc", *_FLAGS, *options, str(SOURCE), "-o", str(output)]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    if done.returncode:
        raise Refused(f"the interpreter in C is not compiled: {done.stderr[:2000]}")


@cache
def interpreter(target: Target) -> bytes:
    """The interpreter's code and constants for a target, linked for the plan's code region; it is entered at byte 0."""
    if target.name not in ZIG:
        raise Refused(f"it is not known what the C compiler calls {target.name}")
    with tempfile.TemporaryDirectory() as folder:
        script, output = Path(folder) / "script.ld", Path(folder) / "interpreter"
        script.write_text(_SCRIPT.replace("BASE", hex(PLAN.code)))
        options = ["-target", *ZIG[target.name], "-static", "-fno-pic", "-no-pie", f"-Wl,-T,{script}"]
        _compile(options, output)
        with output.open("rb") as file:
            parts = [
                (segment["p_vaddr"] - PLAN.code, segment.data())
                for segment in ELFFile(file).iter_segments("PT_LOAD")
                if segment["p_vaddr"] >= PLAN.code
            ]
    code = bytearray(max(at + len(data) for at, data in parts))
    for at, data in parts:
        code[at : at + len(data)] = data
    return bytes(code)


def wire(unit: Unit) -> bytes:
    """The program's instructions in its own byte order, with addresses in the place of maps."""
    program = unit.programs[0]
    code = bytearray(program.encode(program.order))
    order = program.order
    for pc, number in unit.constants(program).items():
        code[8 * pc + 4 : 8 * pc + 8] = (number & 0xFFFF_FFFF).to_bytes(4, order)
        code[8 * pc + 12 : 8 * pc + 16] = (number >> 32).to_bytes(4, order)
    return bytes(code)


def both(work: Work, target: Target) -> tuple[Guest, Guest, Input]:
    """The interpreter with the program as its data, the compiled program, and the input that suits both."""
    unit = Unit((work.make(target.order),), plan=PLAN)
    image = compile_program(unit, unit.programs[0], target, observe=False)
    assert image.functions[0] == 0, "the entry slot leads to the first byte"
    code = interpreter(target)
    code += bytes(-len(code) % 8)
    in_c: Image = replace(image, code=code + wire(unit))
    registers = {3: PLAN.code + len(code), 4: PLAN.stack, 5: PLAN.stubs}
    return Guest(unit, in_c, observe=False), Guest(unit, image, observe=False), Input(work.memory, registers)


def counts(work: Work, target: Target) -> tuple[int, int]:
    """Native instructions that the interpreter executes, and the compiled program. Both must come to the same end."""
    slow, fast, entry = both(work, target)
    outcomes = [guest.run(entry, World(), LIMITS) for guest in (slow, fast)]
    found = difference(outcomes[1], outcomes[0], stack=False)
    assert outcomes[1].status == "done", outcomes[1].summary()
    assert found.decided and not found, f"{work.name} on {target.name}: {found.what or outcomes[0].summary()}"
    return slow.count(entry, World(), LIMITS), fast.count(entry, World(), LIMITS)


# The host's own CPU ------------------------------------------------------------------------------


@cache
def on_host() -> Callable[[int, int, int, int, int], int]:
    """The interpreter as a C function of this process."""
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder) / "interpreter.so"
        _compile(["-shared", "-fPIC"], output)
        function = ctypes.CDLL(str(output)).interpret
    function.restype, function.argtypes = ctypes.c_uint64, [ctypes.c_uint64] * 5
    return function


def seconds_in_c(program: Program) -> tuple[float, int]:
    """Seconds of a run of the interpreter in this process, and R0."""
    code = ctypes.create_string_buffer(wire(Unit((program,))))
    stack = ctypes.create_string_buffer(8 * 512)
    top = (ctypes.addressof(stack) + len(stack)) & -8
    start = time.perf_counter()
    r0 = on_host()(0, 0, ctypes.addressof(code), top, 0)
    return time.perf_counter() - start, r0


def seconds_native(cpu: Engine, program: Program) -> tuple[float, int]:
    """Seconds of a run on the native engine, talking to its process included, and R0."""
    prepared = cpu.prepare(Unit((program,)))
    prepared.run(Input(), World(), LIMITS)  # loads the code
    start = time.perf_counter()
    outcome = prepared.run(Input(), World(), LIMITS)
    assert outcome.status == "done", outcome.summary()
    return time.perf_counter() - start, outcome.r0


def host_rows(quick: bool) -> list[list[Cell]]:
    """Wall time of loops. Raises Refused where there is no native engine."""
    cpu = engine("native")
    on_host()  # compiled before the clock starts
    order: Order = "little" if "little" in cpu.abilities.orders else "big"
    rows: list[list[Cell]] = []
    for kind, name, make in (
        ("ALU", "SipHash rounds", rounds_loop), ("ALU", "fibonacci loop", fibonacci_loop),
        ("ALU, one chain", "hash loop", alu_loop), ("memory", "load/store loop", memory_loop),
    ):  # fmt: skip
        program, least = make(50_000 if quick else 20_000_000).in_order(order), make(1).in_order(order)
        overhead = min(seconds_native(cpu, least)[0] for _ in range(3))
        slow = fast = float("inf")
        for _ in range(1 if quick else 3):
            (one, expected), (other, r0) = seconds_in_c(program), seconds_native(cpu, program)
            assert r0 == expected, f"{name}: {r0:#x}, expected {expected:#x}"
            slow, fast = min(slow, one), min(fast, max(other - overhead, 1e-6))
        rows.append([kind, name, slow * 1e3, fast * 1e3, slow / fast])
    return rows


def tables(quick: bool) -> list[Table]:
    """Native instructions in the emulator for each target, then time on the host."""
    title, note = "Compiled code against an interpreter in C", "native instructions executed; aim: ALU at least 4"
    columns = ["kind", "program", "target", "interpreter", "compiled", "ratio"]
    if missing():
        return [Table(title, columns, [], missing())]
    rows: list[list[Cell]] = []
    for work in works(quick):
        for target in TARGETS.values():
            try:
                slow, fast = counts(work, target)
            except Refused as reason:  # an older C compiler that cannot link for it, say
                rows.append([work.kind, work.name, target.name, " ".join(str(reason).split())[:60], "", ""])
                continue
            rows.append([work.kind, work.name, target.name, slow, fast, slow / fast])
    found = [Table(title, columns, rows, note)]
    title, columns = "The same on the host's CPU", ["kind", "program", "interpreter ms", "compiled ms", "ratio"]
    try:
        note = (
            "wall time, the least of three; a run of one iteration is taken off the compiled one's. Aim: ALU at least "
            "4; in one chain each step waits for the multiplication before it, compiled or not"
        )
        found.append(Table(title, columns, host_rows(quick), note))
    except Refused as reason:
        found.append(Table(title, columns, [], str(reason)))
    return found


if __name__ == "__main__":
    sys.exit(main([tables], __doc__))
