"""Native code that does what compiled code never does: the guest survives it, and says what happened."""

from __future__ import annotations

import pytest

from bpf.plan import PAGE, PLANS, POISON, STUB_SIZE, Plan
from emu.machine import NATIVE_STACK, machine
from jit.registry import TARGETS
from jit.target import Target
from tests.emu.native import Snippet, assert_healthy, each_plan, each_target, native, run_native, snippet, snippets
from vm.outcome import Fault
from vm.world import Input, Limits, World

KEYSTONE = {
    "CS_ARCH_X86": ("KS_ARCH_X86", "KS_MODE_64"),
    "CS_ARCH_ARM64": ("KS_ARCH_ARM64", "KS_MODE_LITTLE_ENDIAN"),
    "CS_ARCH_PPC": ("KS_ARCH_PPC", "KS_MODE_PPC64"),
    "CS_ARCH_SYSZ": ("KS_ARCH_SYSTEMZ", "KS_MODE_BIG_ENDIAN"),
}
KEYSTONE_ERRS = {"CS_ARCH_ARM64": ("illegal",), "CS_ARCH_PPC": ("privileged wait",)}  # .inst is nothing to it; `wait 2`
HELPER = 8  # get_smp_processor_id

TRAPS = ("illegal", "breakpoint", "system call", "hypervisor call", "divide by zero")


def named(*starts: str) -> pytest.MarkDecorator:
    """Parametrize over the snippets whose name starts so."""
    found = [one for one in snippets() if one.name.startswith(starts)]
    return pytest.mark.parametrize("code", found, ids=[f"{one.target}-{one.name}" for one in found])


def test_every_target_has_the_same_dangers() -> None:
    own = ("clobber", "kept over call", "privileged", "divide by zero", "hypervisor call", "return to data")
    names = {name: {s.name for s in snippets() if s.target == name and not s.name.startswith(own)} for name in TARGETS}
    assert len(set(map(frozenset, names.values()))) == 1, names
    for target in TARGETS.values():
        of_target = [one.name for one in snippets() if one.target == target.name]
        assert {name for name in of_target if name.startswith("clobber")} == {
            f"clobber {r}" for r in target.callee_saved
        }
        assert sum(name.startswith("privileged") for name in of_target) >= 7


@each_target
def test_keystone_agrees(target: Target) -> None:
    keystone = pytest.importorskip("keystone", reason="Keystone has wheels for x86-64 hosts only")
    if target.capstone[0] not in KEYSTONE:
        pytest.skip(f"Keystone does not know {target.name}")
    arch, name = KEYSTONE[target.capstone[0]]
    mode = getattr(keystone, name) | (keystone.KS_MODE_BIG_ENDIAN if target.order == "big" else 0)
    assembler = keystone.Ks(getattr(keystone, arch), mode)
    asked, failures = 0, []
    of_target = [one for one in snippets() if one.target == target.name]
    for one in of_target:
        if one.name in KEYSTONE_ERRS.get(target.capstone[0], ()):
            continue
        try:
            code = bytes(assembler.asm(one.text.replace(" | ", "\n"), 0)[0] or ())
        except keystone.KsError:
            continue
        asked += 1
        if code != one.code:
            failures.append(f"{one.place}: {one.text} is {code.hex()} in Keystone")
    assert not failures, "\n".join(failures)
    assert asked * 2 > len(of_target), f"Keystone knew only {asked} of {len(of_target)}"


@each_target
@each_plan
def test_stores_where_nobody_may(target: Target, plan: Plan) -> None:
    guarded = {
        "its own code": plan.code,
        "code behind it": plan.code + 3 * PAGE,
        "a stub": plan.stub(HELPER),
        "an entry slot": plan.entry(0),
        "the exit page": plan.exit,
        "below its stack": plan.native - NATIVE_STACK - 8,
        "nothing": plan.arena,
    }
    for what, address in guarded.items():
        outcome = run_native(target, "store", address, plan)
        assert (outcome.status, outcome.fault) == ("fault", Fault("write", 0, 0, address)), (
            f"{what}: {outcome.summary()}"
        )
    assert_healthy(target, plan)


@each_target
@each_plan
def test_jumps_where_nobody_may(target: Target, plan: Plan) -> None:
    places = {
        "data": plan.memory + 64,
        "the BPF stack": plan.stack - 64,
        "the native stack": plan.native - 64,
        "the harness": plan.harness,
        "nothing": plan.arena,
        "a guard page": plan.entries - PAGE,
        "the first page": 0x40,
    }
    for what, address in places.items():
        outcome = run_native(target, "jump", address, plan)
        assert (outcome.status, outcome.fault) == ("fault", Fault("fetch", 0, -1, address)), (
            f"{what}: {outcome.summary()}"
        )
    assert_healthy(target, plan)


@each_target
def test_a_stub_is_called_at_its_first_byte_only(target: Target) -> None:
    """A jump into the padding of a stub runs no helper."""
    plan = PLANS["high"]
    assert run_native(target, "call", plan.stub(HELPER)).status == "done"
    for inside in range(4, STUB_SIZE, 4):
        outcome = run_native(target, "call", plan.stub(HELPER) + inside)
        assert outcome.status == "fault"
        assert not outcome.calls
    assert_healthy(target)


@each_target
def test_a_stub_that_no_helper_has(target: Target) -> None:
    plan = PLANS["high"]
    outcome = run_native(target, "call", plan.stub(4000))
    assert outcome.fault == Fault("fetch", 0, 0, plan.stub(4000), "call of helper 4000")
    assert_healthy(target)


@named(*TRAPS, "privileged")
def test_traps(code: Snippet) -> None:
    target = TARGETS[code.target]
    outcome = run_native(target, code.name, PLANS["high"].memory + 64)
    assert outcome.status == "fault"
    assert outcome.fault is not None
    assert outcome.fault.kind == "trap", outcome.summary()
    assert_healthy(target)


@each_target
def test_an_endless_loop(target: Target) -> None:
    outcome = run_native(target, "loop", 0, limits=Limits(seconds=0.2))
    assert (outcome.status, outcome.fault) == ("limit", None)
    assert_healthy(target)


@named("clobber")
def test_a_register_that_was_not_put_back(code: Snippet) -> None:
    target = TARGETS[code.target]
    register = code.name.removeprefix("clobber ")
    outcome = run_native(target, code.name, 0)
    assert outcome.status == "fault"
    assert outcome.fault is not None
    assert outcome.fault.kind == "abi"
    assert outcome.fault.detail.startswith(f"callee-saved {register} is 0x77 "), outcome.summary()


@each_target
def test_the_frame_pointer_is_watched(target: Target) -> None:
    """R10's home is among the registers whose change is seen."""
    assert target.homes[10] in target.callee_saved
    assert snippet(target, f"clobber {target.homes[10]}")
    assert_healthy(target)


@each_target
def test_a_lost_stack_pointer(target: Target) -> None:
    outcome = run_native(target, "lost stack pointer", 0)
    assert outcome.fault is not None
    assert outcome.fault.kind == "abi"
    assert outcome.fault.detail.startswith(f"{target.sp} is "), outcome.summary()
    assert_healthy(target)


@each_target
def test_a_lost_return_address(target: Target) -> None:
    outcome = run_native(target, "return to nowhere", 0)
    assert outcome.fault is not None
    assert (outcome.status, outcome.fault.kind) == ("fault", "fetch")
    assert_healthy(target)


@named("return to data")
def test_a_return_into_data(code: Snippet) -> None:
    target, address = TARGETS[code.target], PLANS["high"].memory + 64
    assert run_native(target, code.name, address).fault == Fault("fetch", 0, -1, address)
    assert_healthy(target)


@each_target
def test_a_call_off_balance(target: Target) -> None:
    outcome = run_native(target, "call off balance", PLANS["high"].stub(HELPER))
    assert outcome.fault is not None
    assert (outcome.fault.kind, outcome.fault.pc) == ("abi", 0)
    assert outcome.fault.detail.startswith(f"{target.sp} is "), outcome.summary()
    assert f"not aligned to {target.alignment}" in outcome.fault.detail
    assert not outcome.calls
    assert_healthy(target)


@named("kept over call")
def test_a_helper_destroys_every_register_that_it_may(code: Snippet) -> None:
    target = TARGETS[code.target]
    register = code.name.removeprefix("kept over call ")
    outcome = run_native(target, code.name, PLANS["high"].stub(HELPER))
    assert outcome.status == "done", outcome.summary()
    number = target.homes.index(register) if register in target.homes else -1
    if 1 <= number <= 5:
        assert outcome.r0 == POISON + number
    else:
        assert outcome.r0 >> 32 == 0xC0FF_EE00


@each_target
def test_nothing_of_the_cpu_outlives_a_run(target: Target) -> None:
    """What a run leaves in a scratch register is gone in the next one."""
    register = next(r for r in target.caller_saved if r not in target.homes and r != "ctr")
    host = machine(target, PLANS["high"])
    before = []
    for name in (f"kept over call {register}", "loop", "store", "illegal"):
        guest = native(target, snippet(target, name).code)
        guest.run(Input(registers={1: PLANS["high"].stub(HELPER)}), World(), Limits(seconds=0.1))
        host.prepare_entry([0] * 10, PLANS["high"].stack)
        before.append(list(host._after.read()))
    assert all(values == before[0] for values in before)
