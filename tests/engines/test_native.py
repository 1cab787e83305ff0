"""Code on the host's own CPU: it agrees with the interpreter, and whatever it breaks is an Outcome that says so."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from bpf.errors import Refused
from bpf.isa import ROW, make
from bpf.plan import CALL_TARGET, PAGE, PLANS, POISON, TABLES, Unit
from bpf.program import Map, Program, program
from bpf.spec.conventions import PLAIN, SUITE
from bpf.text import assemble
from crossbpf.inputs import memory_beside, read_source
from emu.machine import Machine
from emu.unicorn import register
from engines import ENGINES, Engine, Options, engine, native
from engines.lockstep import lockstep
from engines.native import host_pieces, host_target, worker
from fuzz.suite.rows import exercises
from jit import host
from jit.backend import Backend
from jit.ops import OpFunction
from jit.pipeline import compile_program
from jit.registry import TARGETS, backend
from vm.outcome import Outcome, difference
from vm.world import Input, Limits, World

EXAMPLES = Path(__file__).parents[2] / "examples"
OBSERVE = Options(observe=True)
USER_PLANS = ("low", "high", "fence")
HOSTS = [name for name, target in TARGETS.items() if target.host]
ROWS = (
    *("add64_reg", "sub32_imm", "mul64_reg", "div64_reg", "sdiv32_reg", "smod64_imm", "lsh64_reg", "arsh32_reg"),
    *("movsx64_reg32", "bswap32", "to_be16", "ldx8", "ldxs16", "stx64", "st32", "lddw_imm", "lddw_func"),
    *("jset32_imm", "jslt64_reg", "gotol", "call_local", "call_helper", "cmpxchg32", "fetch_and64", "add_atomic64"),
)


def reason() -> str:
    """Why there is no native engine on this machine; "" where there is one."""
    try:
        host_target()
    except Refused as refused:
        return str(refused)
    return ""


runs_here = pytest.mark.skipif(bool(reason()), reason=reason())


@pytest.fixture(scope="module")
def cpu() -> Iterator[Engine]:
    yield engine("native")
    worker().stop()


def run(
    cpu: Engine, text: str, memory: bytes = b"", *, plan: str = "high", seconds: float = 10.0, **unit: Any
) -> Outcome:
    whole = Unit((assemble(text),), plan=PLANS[plan], **unit)
    return cpu.prepare(whole, OBSERVE).run(Input(memory), World(), Limits(seconds=seconds))


def check(cpu: Engine, program: Program, memory: bytes, plan: str, convention: Any = PLAIN) -> Outcome:
    """The outcome, which is the interpreter's."""
    unit = Unit((program,), plan=PLANS[plan], convention=convention)
    worlds = World(), World()
    expected, got = (
        one.prepare(unit, OBSERVE).run(Input(memory), world, Limits())
        for one, world in zip((ENGINES["interpreter"], cpu), worlds, strict=True)
    )
    found = difference(expected, got)
    assert found.decided
    assert not found, found.what
    assert not found.skipped or got.registers is None  # a run that a helper ends stores no registers
    assert worlds[0] == worlds[1]
    return got


@runs_here
@pytest.mark.parametrize("plan", USER_PLANS)
@pytest.mark.parametrize("name", json.loads((EXAMPLES / "expected.json").read_text()))
def test_example(cpu: Engine, name: str, plan: str) -> None:
    path = str(EXAMPLES / f"{name}.bpfel.o")
    check(cpu, read_source(path).program_in("little"), memory_beside(path), plan)


@runs_here
@pytest.mark.parametrize("row", [name for name in ROWS if name in ROW])
def test_row(cpu: Engine, row: str) -> None:
    for case in exercises(ROW[row], "little"):
        check(cpu, case.program, b"", "high")


def test_the_rows_exist() -> None:
    assert len([name for name in ROWS if name in ROW]) >= 20, [name for name in ROWS if name not in ROW]


HELPERS = (
    "call 5; r6 = r0; call 7; r0 += r6; r0 += r1; r0 += r5; exit",
    "r1 = r10; r1 += -16; r2 = 16; call 16; r0 = *(u64 *)(r10 - 16); exit",
    "*(u32 *)(r10 - 8) = 0x000a7825; r1 = r10; r1 += -8; r2 = 4; r3 = 77; call 6; exit",
    "call 8; r6 = r0; call pc+2; r0 += r6; exit; call 8; r0 += 2; exit",
)


@runs_here
@pytest.mark.parametrize("plan", USER_PLANS)
@pytest.mark.parametrize("text", HELPERS)
def test_helpers(cpu: Engine, text: str, plan: str) -> None:
    assert check(cpu, assemble(text), b"", plan).calls


@runs_here
def test_what_a_helper_prints_comes_back(cpu: Engine) -> None:
    assert check(cpu, assemble(HELPERS[2]), b"", "high").printed == ("4d",)


@runs_here
@pytest.mark.parametrize("argument", [0, 9])
def test_a_helper_that_ends_the_run(cpu: Engine, argument: int) -> None:
    text = f"r6 = 5; r1 = {argument}; call pc+1; exit; r6 = 7; call 5; r0 += 1; exit"
    assert check(cpu, assemble(text), b"", "high", SUITE).r0 == (argument + 1 if argument else 0)


@runs_here
def test_a_helper_that_faults_names_the_instruction(cpu: Engine) -> None:
    got = check(cpu, assemble("r6 = 1; r1 = 0x1234; r2 = 4; call 16; exit"), b"", "high")
    assert str(got.fault) == "write fault of 0x1234 at insn 3"


@runs_here
@pytest.mark.parametrize(
    ("text", "signal"),
    [
        ("r1 = 0; r0 = *(u64 *)(r1 + 0); exit", "SIGSEGV"),
        ("r1 = 0; *(u64 *)(r1 + 0) = 5; exit", "SIGSEGV"),
        ("r1 = 0xdead000000000000 ll; r0 = *(u8 *)(r1 + 0); exit", "SIGSEGV"),
    ],
)
def test_a_crash_is_a_fault_and_the_next_run_is_well(cpu: Engine, text: str, signal: str) -> None:
    unit = Unit((assemble(text),))
    crashing, well = cpu.prepare(unit), cpu.prepare(Unit((assemble("r0 = r2; exit"),)))
    expected = ENGINES["interpreter"].prepare(unit).run(Input(), World(), Limits())
    for _ in range(2):
        got = crashing.run(Input(), World(), Limits())
        assert got.status == "fault"
        assert got.fault is not None
        assert got.fault.detail == f"killed by {signal}"
        assert not difference(expected, got)
        assert well.run(Input(b"abc"), World(), Limits()).r0 == 3


@runs_here
def test_writing_to_code_or_running_data_is_a_crash(cpu: Engine) -> None:
    plan = PLANS["high"]
    for address in (plan.code, plan.stubs, plan.exit, plan.entries):
        got = run(cpu, f"r1 = {address} ll; *(u8 *)(r1 + 0) = 1; r0 = 0; exit")
        assert got.fault is not None
        assert got.fault.detail == "killed by SIGSEGV", hex(address)


@runs_here
def test_a_read_only_map_is_read_only(cpu: Engine) -> None:
    touches = assemble("r0 = *(u32 *)(r1 + 0); *(u32 *)(r1 + 0) = 1; exit")
    slots = [make(ROW["lddw_map_idx_value"], 1), None, *touches.insns]
    for readonly in (True, False):
        data = Map("data", value_size=4, initial=b"\x07\0\0\0", readonly=readonly)
        got = cpu.prepare(Unit((program(slots, maps=[data]),))).run(Input(), World(), Limits())
        assert got.status == ("fault" if readonly else "done")
        assert readonly or got.r0 == 7


@runs_here
def test_an_endless_loop_hits_the_limit(cpu: Engine) -> None:
    assert run(cpu, "r1 = 0; goto -2; exit", seconds=0.2).status == "limit"
    assert run(cpu, "r0 = 1; exit").r0 == 1


@runs_here
def test_a_worker_that_was_killed_is_replaced(cpu: Engine) -> None:
    prepared = cpu.prepare(Unit((assemble("r0 = 6; exit"),)))
    worker().stop()
    assert prepared.run(Input(), World(), Limits()).r0 == 6


@runs_here
def test_an_answer_that_is_no_answer(monkeypatch: pytest.MonkeyPatch, cpu: Engine) -> None:
    prepared = cpu.prepare(Unit((assemble("r0 = 6; exit"),)))
    evil = b"cos\nsystem\n(S'exit 1'\ntR."  # a pickle that calls a function
    for answer in (evil, b"garbage", b"\x80\x04K\x01."):
        monkeypatch.setattr(native, "_read", partial(lambda data, pipe, size, deadline: data if size != 8 else
                                                     struct.pack("<Q", len(data)), answer))  # fmt: skip
        got = prepared.run(Input(), World(), Limits())
        assert got.fault is not None
        assert "broke the process" in got.fault.detail
        monkeypatch.undo()
        assert prepared.run(Input(), World(), Limits()).r0 == 6


@runs_here
@pytest.mark.parametrize("register", [6, 7, 8, 9])
def test_a_lost_callee_saved_register(cpu: Engine, register: int, monkeypatch: pytest.MonkeyPatch) -> None:
    base = backend(host_target())

    def prologue(self: Backend, function: OpFunction) -> None:
        base.prologue(self, replace(function, written=function.written & ~(1 << register)))

    def epilogue(self: Backend, function: OpFunction) -> None:
        base.epilogue(self, replace(function, written=function.written & ~(1 << register)))

    forgets = type("Forgets", (base,), {"prologue": prologue, "epilogue": epilogue})
    monkeypatch.setattr("jit.pipeline.backend", lambda target: forgets)
    fault = run(cpu, f"r{register} = 1; r0 = 0; exit").fault
    assert fault is not None
    name = host_target().homes[register]
    assert fault.kind == "abi"
    assert fault.detail.startswith(f"callee-saved {name} is 0x1 after the run, expected 0x")


@runs_here
def test_the_frame_pointer_is_checked(cpu: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    base = backend(host_target())
    monkeypatch.setattr("jit.pipeline.backend", lambda target: type("Moves", (base,), {"move_frame": lambda *_: None}))
    assert run(cpu, "call pc+1; exit; r0 = 1; exit").status == "done"

    def once(self: Backend, amount: int) -> None:
        if amount < 0:
            base.move_frame(self, amount)

    monkeypatch.setattr("jit.pipeline.backend", lambda target: type("Once", (base,), {"move_frame": once}))
    fault = run(cpu, "call pc+1; exit; r0 = 1; exit").fault
    assert fault is not None
    assert f"callee-saved {host_target().homes[10]} is 0x" in fault.detail


@runs_here
def test_what_it_refuses(cpu: Engine) -> None:
    with pytest.raises(Refused, match="belong to the kernel"):
        run(cpu, "r0 = 0; exit", plan="kernel")
    with pytest.raises(Refused, match="big-endian program"):
        cpu.prepare(Unit((assemble("r0 = 0; exit", order="big"),)))


@runs_here
def test_a_trace_is_that_of_the_same_code_in_the_emulator(cpu: Engine) -> None:
    unit = Unit((assemble("r0 = 5; r0 += 2; exit"),))
    expected = ENGINES["interpreter"].prepare(unit, OBSERVE)
    assert lockstep(expected, cpu.prepare(unit, OBSERVE), Input(), World(), Limits()) is None


@pytest.mark.parametrize(
    ("system", "machine", "words"),
    [
        ("win32", "AMD64", "needs Linux or macOS"),
        ("linux", "s390x", "no native engine for a s390x CPU"),
        ("linux", "loongarch64", "no native engine for a loongarch64 CPU"),
    ],
)
def test_other_hosts_say_why_not(system: str, machine: str, words: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.platform", system)
    monkeypatch.setattr("platform.machine", lambda: machine)
    with pytest.raises(Refused, match=words):
        host_target()


def test_a_host_with_other_pages_says_why_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.platform", "linux")
    monkeypatch.setattr("platform.machine", lambda: "aarch64")
    monkeypatch.setattr("mmap.PAGESIZE", 65536)
    with pytest.raises(Refused, match="65536 bytes"):
        host_target()


# The trampolines of every kind of host, in the emulator ------------------------------------------------

ZERO_AND_RETURN = {"x86_64": "31c0c3", "arm64": "00008052c0035fd6"}
ONE_AND_RETURN = {"x86_64": "b801000000c3", "arm64": "20008052c0035fd6"}


@pytest.mark.parametrize("goes_on", [True, False])
@pytest.mark.parametrize(("call", "number"), [("call 8", 8), ("callx r6", CALL_TARGET)])
@pytest.mark.parametrize("name", HOSTS)
def test_trampoline(name: str, call: str, number: int, goes_on: bool) -> None:
    target, machine = TARGETS[name], Machine(TARGETS[name], PLANS["high"])
    plan = replace(PLANS["high"], text=PLANS["high"].code + (16 << 20))  # where this machine has nothing but code
    unit = Unit((assemble(f"r6 = 7; r1 = 3; {call}; r0 += r1; r0 += r6; exit"),), plan=plan)
    image = compile_program(unit, unit.programs[0], target)
    code, pieces = host_pieces(target, plan, plan.harness + TABLES, (number,))
    callback, back = plan.code + 16 * PAGE, plan.code + 17 * PAGE
    pieces += [(plan.code, 0, image.code), (plan.entries, 0, image.entries)]
    pieces.append((callback, 0, bytes.fromhex((ZERO_AND_RETURN if goes_on else ONE_AND_RETURN)[name])))
    for address, _, data in pieces:
        machine.uc.mem_write(address, data)
    block = [0] * (host.BLOCK_SIZE // host.WORD)
    block[host.CALLBACK], block[host.ANSWER], block[host.TARGET] = callback, 0x1000, plan.entry(0)
    for at in range(len(code.entered)):
        block[host.ENTRY + at] = 0xA0_0000 + at
    for at, home in enumerate(code.destroyed):
        block[host.DESTROYED + at] = POISON + (target.homes.index(home) if home in target.homes[1:6] else 9)
    machine.uc.mem_write(plan.harness + TABLES, struct.pack(f"<{len(block)}Q", *block))
    machine.prepare_entry([0] * 10, plan.stack)
    read, write, number_of = machine.uc.reg_read, machine.uc.reg_write, partial(register, target.emulation)
    kept = [name for name in target.callee_saved if name in code.checked]
    before = [read(number_of(name)) for name in kept]
    sp = read(number_of(target.sp))
    if target.link:
        write(number_of(target.link), back)
    else:
        machine.uc.mem_write(sp, struct.pack("<Q", back))
    machine.uc.emu_start(plan.exit, back)
    assert read(number_of(target.emulation.pc)) == back
    after = struct.unpack(f"<{len(block)}Q", machine.uc.mem_read(plan.harness + TABLES, host.BLOCK_SIZE))
    assert [read(number_of(name)) for name in kept] == before
    assert read(number_of(target.sp)) == sp + (0 if target.link else 8)
    assert (after[host.NUMBER], after[host.ARGUMENTS]) == (number, 3)
    assert number == 8 or after[host.AX] == 7
    assert after[host.CALL_SP] % target.alignment == target.bias
    assert image.pc_at(after[host.RETURN] - 1) == 2
    r6 = code.checked.index(target.homes[6])
    assert after[host.KEPT + r6] == 7
    if goes_on:
        assert after[host.RESULT] == 0x1000 + POISON + 1 + 7
        assert after[host.FINAL_SP] == after[host.HOST_SP]
        expected = dict(zip(code.entered, block[host.ENTRY :], strict=False))
        assert [after[host.SAVED + at] for at in range(len(kept))] == [expected[name] for name in kept]
    else:
        assert after[host.FINAL_SP] == 0
