"""One machine runs thousands of programs: nothing of an earlier one shows in a later one."""

from __future__ import annotations

import gc
import os
import weakref
from importlib import metadata

import pytest

from bpf.errors import NotHere, Refused
from bpf.plan import DEFAULT_PLAN, PLANS, STUB_SIZE
from emu import machine as machines
from emu import unicorn as edge
from emu.guest import Guest
from emu.machine import CODE_SIZE, Machine, machine, tracer
from emu.watchdog import Watchdog
from jit.pipeline import compile_program
from jit.target import Target
from tests.emu.native import MEMORY, a_target, assert_healthy, each_target, emulated, native, snippet, unit_of
from vm.world import Input, Limits, World


@each_target
def test_thousands_of_programs(target: Target) -> None:
    """Programs of all lengths one after another: each runs its own code, never what stood there before."""
    host = machine(target, DEFAULT_PLAN)
    before = host.programs
    guests = []
    for length in (0, 1, 7, 60):
        for number in range(4):
            body = "; ".join(["r0 = 1", *["r0 += 1"] * length, f"r0 += {1000 * number}", "exit"])
            guests.append((emulated(unit_of(body, target.order), target), 1 + length + 1000 * number))
    for step in range(2000):
        guest, expected = guests[step * 7 % len(guests)]
        assert guest.run(Input(), World(), Limits()).r0 == expected
    assert machine(target, DEFAULT_PLAN) is host
    assert host.programs == before + 2000


@each_target
def test_no_stale_code_behind_a_shorter_program(target: Target) -> None:
    """A, a longer B, A again; and code that runs off its end finds nothing of B there."""
    short, long = (
        emulated(unit_of(text, target.order), target)
        for text in ("r0 = 1; exit", "r0 = 2; if r1 == 1 goto +40; " + "r0 += 1; " * 40 + "exit")
    )
    for _ in range(3):
        assert short.run(Input(), World(), Limits()).r0 == 1
        assert long.run(Input(), World(), Limits()).r0 == 42
    nothing = native(target, b"").run(Input(), World(), Limits())
    assert nothing.status == "fault", "it ran the code of the program before"
    assert not any(machine(target, DEFAULT_PLAN)._code[: len(long.image.code)])
    assert_healthy(target)


@each_target
def test_no_stale_entry_slots(target: Target) -> None:
    many = "call pc+1; exit; call pc+1; exit; r0 = 3; exit"
    assert emulated(unit_of(many, target.order), target).run(Input(), World(), Limits()).r0 == 3
    assert emulated(unit_of("r0 = 1; exit", target.order), target).run(Input(), World(), Limits()).r0 == 1
    slots = bytes(machine(target, DEFAULT_PLAN)._entries)
    assert any(slots[:STUB_SIZE])
    assert not any(slots[STUB_SIZE:])


@each_target
def test_the_same_run_twice(target: Target) -> None:
    text = "call 7; r6 = r0; call 5; r6 ^= r0; *(u64 *)(r10 - 16) = r6; r0 = r6; exit"
    for plan in PLANS.values():
        guest = emulated(unit_of(text, target.order, plan), target)
        entry = Input(MEMORY)
        assert guest.run(entry, World(), Limits()) == guest.run(entry, World(), Limits())


@each_target
def test_two_guests_in_turn(target: Target) -> None:
    """Guests of one unit share the machine; each starts from its own input."""
    unit = unit_of("r0 = *(u64 *)(r1 + 0); *(u64 *)(r1 + 0) = r2; exit", target.order)
    left, right = emulated(unit, target), emulated(unit, target)
    for number in range(1, 20):
        for guest, start in ((left, number), (right, 255 - number)):
            outcome = guest.run(Input(bytes((start,)) * 8), World(), Limits())
            assert outcome.r0 == int.from_bytes(bytes((start,)) * 8, "little")
            assert outcome.regions is not None
            assert outcome.regions["memory"][:8] == (8).to_bytes(8, target.order)  # type: ignore[arg-type]


@each_target
def test_an_exit_that_stores_no_record_shows(target: Target) -> None:
    """With observe the record is of this run or of none."""
    unit = unit_of("r0 = 5; exit", target.order)
    assert emulated(unit, target, observe=True).run(Input(), World(), Limits()).registers is not None
    bare = compile_program(unit, unit.programs[0], target, observe=False)
    forgetful = Guest(unit, bare, observe=True).run(Input(), World(), Limits())
    assert forgetful.registers == (0xEEEE_EEEE_EEEE_EEEE,) * 10


@each_target
def test_too_much_code(target: Target) -> None:
    with pytest.raises(Refused, match="bytes of machine code"):
        native(target, bytes(CODE_SIZE + 4)).run(Input(), World(), Limits())
    assert_healthy(target)


@a_target
def test_a_machine_is_replaced_after_many_programs(target: Target, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machines, "_MACHINES", {})
    host = machine(target, DEFAULT_PLAN, recycle=3)
    old = weakref.ref(host)
    guests = [native(target, snippet(target, "clobber " + name).code) for name in target.callee_saved[:3]]
    for guest in guests:
        host.load(guest.image)
        host.load(guest.image)  # twice the same is one program
        del guest
    assert host.programs == 3
    assert machine(target, DEFAULT_PLAN, recycle=4) is host
    del host, guests
    new = machine(target, DEFAULT_PLAN, recycle=3)
    gc.collect()
    assert old() is None
    assert new.programs == 0
    assert_healthy(target)


@each_target
def test_traced_machines_are_used_again(target: Target, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each holds a gigabyte of address space, so a thousand traces must not make a thousand of them."""
    monkeypatch.setattr(machines, "_TRACERS", {})
    made: list[Machine] = []
    original = Machine._open

    def count(self: Machine) -> object:
        made.append(self)
        return original(self)

    monkeypatch.setattr(Machine, "_open", count)
    guest = emulated(unit_of("r0 = 1; exit", target.order), target, observe=True)
    made.clear()  # the guest's own, if it is new
    for _ in range(5):
        assert len(list(guest.trace(Input(), World(), Limits()))) == 2
        assert guest.count(Input(), World(), Limits()) > 1
    assert len(made) == 1
    with tracer(target, DEFAULT_PLAN, lambda _: None) as one, tracer(target, DEFAULT_PLAN, lambda _: None) as two:
        assert one is not two
    abandoned = guest.trace(Input(), World(), Limits())
    next(abandoned)
    abandoned.close()  # type: ignore[attr-defined]
    assert len(made) == 2


def test_another_version_of_unicorn(monkeypatch: pytest.MonkeyPatch) -> None:
    """One line, with the remedy."""
    monkeypatch.setattr(metadata, "version", lambda _: "2.0.1")
    with pytest.raises(NotHere, match=r"unicorn 2\.1\.4 is needed, found 2\.0\.1") as caught:
        edge._import()
    assert "pip install unicorn==2.1.4" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_no_unicorn(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> str:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "version", missing)
    with pytest.raises(NotHere, match="found none"):
        edge._import()


@each_target
def test_a_unicorn_that_does_not_do_what_it_should(target: Target, monkeypatch: pytest.MonkeyPatch) -> None:
    """The self-test notices when the one instruction that it runs does not return."""
    original = Machine._map_fixed

    def without_stubs(self: Machine) -> None:
        original(self)
        self.uc.mem_write(self.plan.stubs, bytes(STUB_SIZE))

    monkeypatch.setattr(Machine, "_map_fixed", without_stubs)
    with pytest.raises(NotHere, match=f"Unicorn does not run {target.name} code here"):
        Machine(target, DEFAULT_PLAN)


class _Guest:
    """Something that can be stopped."""

    def __init__(self) -> None:
        self.stopped = 0

    def emu_stop(self) -> None:
        self.stopped += 1


def test_the_watchdog_leaves_what_is_not_armed() -> None:
    watchdog, guest = Watchdog(), _Guest()
    watchdog.arm(guest, 1000)
    assert not watchdog.disarm(guest)
    watchdog.arm(guest, 1000)
    assert not watchdog.disarm(guest)
    assert not guest.stopped


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.filterwarnings("ignore:This process.*multi-threaded:DeprecationWarning")
def test_the_watchdog_after_a_fork() -> None:
    """The thread stays behind in the parent, the lock may be held: a child starts afresh."""
    watchdog, guest = Watchdog(), _Guest()
    watchdog.arm(guest, 1000)
    watchdog._lock.acquire()
    child = os.fork()
    if child == 0:
        watchdog.arm(_Guest(), 1000)
        os._exit(3 if watchdog._thread is not None and watchdog._thread.is_alive() else 4)
    watchdog._lock.release()
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 3
    watchdog.disarm(guest)


@each_target
def test_self_modification_never_runs(target: Target) -> None:
    """Code written to data is not code, and code is not data."""
    plan = PLANS["high"]
    data = snippet(target, "clobber " + target.callee_saved[0]).code.ljust(64, b"\0")
    guest = native(target, snippet(target, "jump").code)
    outcome = guest.run(Input(data, {1: plan.memory}), World(), Limits())
    assert outcome.fault is not None
    assert (outcome.fault.kind, outcome.fault.address) == ("fetch", plan.memory)
