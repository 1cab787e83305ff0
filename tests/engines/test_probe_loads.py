"""Loads of the kernel's structures: what is described is read, what is not gives 0, the same on every machine."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bpf.errors import BadInput, Refused
from bpf.object.btf_build import Content, content
from bpf.plan import PAGE, PLANS, Unit
from bpf.program import Map
from bpf.spec.conventions import TYPED
from bpf.text import assemble
from engines import ENGINES, Engine, Options
from engines.binding import bind
from engines.lockstep import lockstep
from jit.image import Rescue
from jit.target import Target
from tests.engines.planting import LIMITS as SOON
from tests.engines.planting import each_target, faulty, use
from tests.engines.test_helper_programs import cpu
from vm.outcome import Outcome, difference
from vm.world import Input, Limits, World

__all__ = ["cpu"]  # the fixture

OBSERVE = Options(observe=True)
HERE, NEXT = 0xFFFF_8890_0000_1000, 0xFFFF_8890_0010_0000
TOP = (1 << 64) - 1
BYTES = bytes((31 * at + 0x85) & 0xFF for at in range(2 * PAGE))
MEMORY: dict[int, Content] = {HERE: BYTES, NEXT: BYTES[64:128]}
SIZES = (("u", 8), ("u", 16), ("u", 32), ("u", 64), ("s", 8), ("s", 16), ("s", 32))
SHORT = 64  # bytes at NEXT
PLACES = (HERE, HERE + PAGE - 3, HERE + 2 * PAGE - 1, HERE + 2 * PAGE, HERE - 2, NEXT + 60, 0, 5, TOP, TOP - 7,
          0x8000_0000_0000_0000, 0x0123_4567_89AB_CDEF, 0x7FFF_FFFF_F000)  # fmt: skip


def unit(text: str, order: str, plan: str = "high", *others: str, maps: tuple[Map, ...] = ()) -> Unit:
    programs = tuple(assemble(one, order=order) for one in (text, *others))
    return Unit(programs, maps, TYPED["tracing"], PLANS[plan])


def run(one: Engine, bound: Unit, *arguments: int, limits: Limits | None = None) -> Outcome:
    entry = Input(context={f"args[{at}]": value for at, value in enumerate(arguments)})
    return one.prepare(bound, OBSERVE).run(entry, World(kernel=dict(MEMORY)), limits or Limits())


def everywhere(
    text: str, *arguments: int, plans: tuple[str, ...] = ("high",), more: tuple[Engine, ...] = ()
) -> Outcome:
    """The interpreter's outcome, which every engine has too."""
    for order in ("little", "big"):
        for plan in plans:
            bound = unit(text, order, plan)
            expected = run(ENGINES["interpreter"], bound, *arguments)
            assert expected.status == "done", expected.fault
            for one in (*ENGINES.values(), *more):
                if order in one.abilities.orders:
                    found = difference(expected, run(one, bound, *arguments))
                    assert found.decided, one.name
                    assert not found, (one.name, found.what)
    return expected


def value(address: int, sign: str, bits: int, order: str) -> int:
    """What a load should give, worked out here."""
    size = bits // 8
    for start, given_ in MEMORY.items():
        data = content(given_, order)
        page = data.ljust(-(-len(data) // PAGE) * PAGE, b"\0")
        if start <= address <= start + len(page) - size:
            return int.from_bytes(page[address - start :][:size], order, signed=sign == "s") & TOP  # type: ignore[arg-type]
    return 0


@pytest.mark.parametrize(("sign", "bits"), SIZES)
def test_each_size_and_place(sign: str, bits: int, cpu: Engine) -> None:
    loads = "; ".join(
        f"r2 = *(u64 *)(r1 + {8 * at}); r3 = *({sign}{bits} *)(r2 {off:+d}); r0 *= 31; r0 += r3"
        for at in range(len(PLACES[:12])) for off in (0, -40 if at % 2 else 40)
    )  # fmt: skip
    for order in ("little", "big"):
        expected = 0
        for at, place in enumerate(PLACES[:12]):
            for off in (0, -40 if at % 2 else 40):
                expected = expected * 31 + value(place + off & TOP, sign, bits, order) & TOP
        bound = unit(f"r0 = 0; {loads}; exit", order)
        for one in (*ENGINES.values(), cpu):
            if order in one.abilities.orders:
                outcome = run(one, bound, *PLACES[:12])
                assert (outcome.status, outcome.r0) == ("done", expected), one.name


@pytest.mark.parametrize("there", [True, False])
def test_each_register(there: bool) -> None:
    """As address and as result; a fault changes nothing but the result."""
    lines = []
    for base in range(10):
        for dst in range(10):
            context = (base + 1) % 10 if (base + 1) % 10 != dst else (base + 2) % 10
            lines += [f"*(u64 *)(r10 - 8) = r{context}", f"r{context} = *(u64 *)(r10 - 16)",
                      f"r{base} = *(u64 *)(r{context} + 0)", f"r{context} = *(u64 *)(r10 - 8)",
                      f"r{dst} = *(s16 *)(r{base} + 6)", "*(u64 *)(r10 - 8) = r0"]  # fmt: skip
    numbers = "; ".join(f"r{number} = 0x{number * 0x1111_1111:x} ll" for number in (0, *range(2, 10)))
    everywhere(f"*(u64 *)(r10 - 16) = r1; {numbers}; {'; '.join(lines)}; exit", HERE if there else 8)


FUNCTIONS = """
    r6 = *(u64 *)(r1 + 0); r7 = 5; *(u64 *)(r10 - 8) = r6
    r1 = 4; r2 = func[f]; r3 = r10; r3 += -8; r4 = 0; call 181
    r1 = r6; r2 = 7; call g; r7 += r0; r0 = r7; exit
    f: r1 = *(u64 *)(r2 + 0); r7 = 9; r7 = *(u64 *)(r1 + 16); r1 = *(u64 *)(r7 + 0); r0 = r1; exit
    g: r6 = 3; r0 = *(u8 *)(r1 + 0); r1 = *(u64 *)(r1 + 30000); r1 += r2; r6 = *(u32 *)(r1 + 0); r0 += r6; exit"""
LOOP = """
    r6 = *(u64 *)(r1 + 0); r7 = *(u64 *)(r1 + 8); r8 = 100; r0 = 0
    l: r2 = *(u32 *)(r6 + 4); r3 = *(u32 *)(r7 + 4); r0 += r2; r0 += r3; r6 += 4; r8 += -1; if r8 != 0 goto l; exit"""


def test_functions_callbacks_loops(cpu: Engine) -> None:
    plans = ("low", "high", "fence")
    everywhere(FUNCTIONS, HERE, plans=plans, more=(cpu,))
    everywhere(LOOP, HERE, 4, more=(cpu,))
    everywhere(FUNCTIONS, 1 << 60, more=(cpu,))
    everywhere(LOOP, HERE, NEXT, plans=("kernel",))


@given(
    arguments=st.lists(st.sampled_from(PLACES), min_size=3, max_size=3),
    steps=st.lists(
        st.tuples(st.integers(6, 9), st.integers(6, 9), st.sampled_from(SIZES), st.integers(-72, 72)), max_size=12
    ),
)
@settings(max_examples=10, deadline=None)
def test_any_walk(arguments: list[int], steps: list[tuple[int, int, tuple[str, int], int]]) -> None:
    lines = [f"r{register} = *(u64 *)(r1 + {8 * at})" for at, register in enumerate((6, 7, 8))]
    lines += ["r9 = r6", "r0 = 0"]
    for dst, base, (sign, bits), off in steps:
        lines += [f"r5 = *({sign}{bits} *)(r{base} {off:+d})", "r0 *= 31", "r0 += r5"]
        lines += [f"r{dst} = r5"] if bits == 64 else []
    everywhere("; ".join([*lines, "exit"]), *arguments)


@pytest.mark.parametrize("name", ENGINES)
def test_in_steps(name: str) -> None:
    (order, *_) = sorted(ENGINES[name].abilities.orders)
    bound, world = unit(FUNCTIONS, order), World(kernel=dict(MEMORY))
    both = [ENGINES[one].prepare(bound, OBSERVE) for one in ("interpreter", name)]
    assert lockstep(both[0], both[1], Input(context={"args[0]": HERE}), world, Limits()) is None


@pytest.mark.parametrize("name", ENGINES)
def test_other_loads_fault_still(name: str) -> None:
    (order, *_) = sorted(ENGINES[name].abilities.orders)
    bound = unit("r6 = *(u64 *)(r1 + 0); r7 = *(u64 *)(r6 + 8192); r2 = 8; r0 = *(u64 *)(r2 + 0); exit", order)
    fault = run(ENGINES[name], bound, HERE).fault
    assert fault is not None
    assert (fault.kind, fault.pc, fault.address) == ("read", 3, 8)


def test_other_faults_end_the_process_still(cpu: Engine) -> None:
    bound = unit("r6 = *(u64 *)(r1 + 0); r7 = *(u64 *)(r6 + 8192); r2 = 8; r0 = *(u64 *)(r2 + 0); exit", "little")
    if "little" in cpu.abilities.orders:
        fault = run(cpu, bound, HERE).fault
        assert fault is not None
        assert "SIGSEGV" in fault.detail
        assert run(cpu, unit("r6 = *(u64 *)(r1 + 0); r0 = *(u8 *)(r6 + 0); exit", "little"), HERE).r0 == BYTES[0]


def test_helpers_see_what_is_described_to_the_byte() -> None:
    """A load is as fine as a page; a helper that reads memory is as fine as the description."""
    text = f"""r6 = *(u64 *)(r1 + 0); r7 = *(u8 *)(r6 + {SHORT}); r1 = r10; r1 += -8; r2 = 1; r3 = r6
        r3 += {SHORT}; call 113; r7 += r0; r0 = r7; exit"""
    assert everywhere(text, NEXT).r0 == -14 & TOP


def test_what_is_no_place_for_memory() -> None:
    bound = unit("r2 = *(u64 *)(r1 + 0); r0 = *(u8 *)(r2 + 0); exit", "little")
    for address in (bound.plan.stack - PAGE, 0):
        with pytest.raises(BadInput, match="memory of the kernel at"):
            ENGINES["interpreter"].prepare(bound).run(Input(), World(kernel={address: b"1"}), Limits())


def test_only_loads_are_probes() -> None:
    spilled = "*(u64 *)(r10 - 8) = r3; r0 = *(u64 *)(r10 - 8); exit"
    bound = bind(unit(f"r2 = *(u64 *)(r1 + 0); r3 = *(u64 *)(r2 + 0); {spilled}", "little"))
    assert bound.programs[0].probes == {1}
    assert not bind(unit("r0 = *(u64 *)(r1 + 0); exit", "little")).whole.probes
    with pytest.raises(Refused, match="same insn cannot be used with different pointers"):
        bind(unit("r2 = *(u64 *)(r1 + 0); if r2 == 7 goto l; r2 = r1; l: r0 = *(u64 *)(r2 + 0); exit", "little"))


def missing(right: Callable[..., Rescue], backend: Any, number: int, layout: Any) -> Rescue:
    """No entry for the load."""
    rescue = right(number, layout)
    return replace(rescue, end=rescue.start)


def late(right: Callable[..., Rescue], backend: Any, number: int, layout: Any) -> Rescue:
    """It goes on behind the next operation."""
    return replace(right(number, layout), end=right(number + 1, layout).end)


def early(right: Callable[..., Rescue], backend: Any, number: int, layout: Any) -> Rescue:
    """It goes on at the load itself, for ever."""
    rescue = right(number, layout)
    return replace(rescue, end=rescue.start + 1) if backend.unit == 1 else replace(rescue, start=rescue.start + 4)


def other_register(right: Callable[..., Rescue], backend: Any, number: int, layout: Any) -> Rescue:
    """Another register becomes 0."""
    rescue = right(number, layout)
    return replace(rescue, dst=(rescue.dst + 1) % 10)


PLANTED = "r6 = *(u64 *)(r1 + 0); r7 = 5; r8 = 6; r7 = *(u32 *)(r6 + 8); r8 += 3; r0 = r7; r0 += r8; exit"


@each_target
@pytest.mark.parametrize("fault", [missing, late, early, other_register])
def test_planted_faults_are_found(fault: Callable[..., Any], target: Target, monkeypatch: pytest.MonkeyPatch) -> None:
    bound = unit(PLANTED, target.order)
    expected = run(ENGINES["interpreter"], bound, 8)
    assert expected.r0 == 9
    assert not difference(expected, run(ENGINES[target.name], bound, 8))
    use(monkeypatch, faulty(target, rescue=fault))
    outcome = run(ENGINES[target.name], unit(PLANTED, target.order), 8, limits=SOON)
    assert difference(expected, outcome) or outcome.status == "limit"
