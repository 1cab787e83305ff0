"""Which differences count when an engine chooses addresses itself: those that surroundings cannot make."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bpf.plan import PLANS, Unit
from bpf.program import Map
from bpf.text import assemble
from engines import ENGINES
from engines.base import Abilities, Engine, Options, Prepared
from engines.surroundings import PLANS as SURROUNDINGS
from engines.surroundings import judge
from vm.interpreter import Interpreter
from vm.outcome import Difference, Moved, Outcome, difference
from vm.world import Input, Limits, World

M64 = (1 << 64) - 1
MAP = Map("m", value_size=16, initial=bytes(16))


class Elsewhere(Engine):
    """An engine that shows what it is told to, from its own addresses."""

    name = "elsewhere"

    def __init__(self, *, plans: bool = False) -> None:
        self.abilities = Abilities(frozenset({"little"}), plans, frozenset({"plain"}), frozenset())

    def prepare(self, unit: Unit, options: Options | None = None) -> Prepared:
        raise NotImplementedError


def judged(text: str, outcome: Outcome, *, plans: bool = False, memory: bytes = bytes(8)) -> Difference:
    unit = Unit((assemble(text),), (MAP,))
    entry = Input(memory)
    expected = ENGINES["interpreter"].prepare(unit).run(entry, World(), Limits())
    return judge(Elsewhere(plans=plans), unit, expected, outcome, entry, World(), Limits())


def test_a_wrong_result_counts() -> None:
    found = judged("r0 = 5; exit", Outcome("done", 6))
    assert found.what == "R0 is 0x6, expected 0x5"
    assert found.decided


@pytest.mark.parametrize(
    "text",
    [
        "r0 = r1; exit",
        "r0 = r1; r0 &= 0x1000; exit",
        "r0 = r1; r0 >>= 60; exit",
        "r0 = 1; if r1 s> 0 goto out; r0 = 0; out: exit",
        "r0 = r10; w0 = w0; exit",
        "r0 = 1; if w10 > 0x53000000 goto out; r0 = 0; out: exit",
        "r3 = 0x4000000000 ll; r0 = 1; if r10 > r3 goto out; r0 = 0; out: exit",
        "r0 = map_value[idx:0][0]; r0 >>= 12; exit",
        "r0 = map[idx:0]; r0 *= 3; exit",
        "r0 = *(u8 *)(r10 - 1); exit",
        "r0 = *(u64 *)(r10 - 8); r0 &= 0x80; exit",
    ],
)
def test_a_result_that_depends_on_the_surroundings_is_undecided(text: str) -> None:
    found = judged(text, Outcome("done", 77))
    assert not found
    assert not found.decided
    assert "where memory lies" in found.why
    assert judged(text, Outcome("done", 77), plans=True).what


@pytest.mark.parametrize("text", ["r0 = r2; exit", "r0 = r1; r0 -= r1; exit", "r0 = *(u8 *)(r1 + 1); exit"])
def test_a_result_that_does_not_depend_counts(text: str) -> None:
    assert judged(text, Outcome("done", 77)).what


def test_helpers_of_the_machine() -> None:
    found = judged("call 7; r0 = 1; exit", Outcome("done", 2))
    assert (found.what, found.decided) == ("", False)
    assert found.why == "it calls get_prandom_u32, whose result is the machine's"
    assert judged("call 7; r0 = 1; exit", Outcome("done", 1)) == Difference(
        skipped=("registers", "regions", "calls", "printed", "maps")
    )


def test_only_what_is_shown_matters() -> None:
    """R6 and the memory hold addresses, which a plugin does not show: R0 is still compared."""
    text = "r6 = r1; r6 *= 3; *(u64 *)(r1 + 0) = r6; r0 = 5; exit"
    assert judged(text, Outcome("done", 6)).what == "R0 is 0x6, expected 0x5"
    some = (6, None, None, None, None, None, None, None, None, None)
    assert judged(text, Outcome("done", 6, some)).what == "R0 is 0x6, expected 0x5"
    assert not judged(text, Outcome("done", 5, (5, *[None] * 5, 1, *[None] * 3))).decided


@pytest.mark.parametrize("name", ["text", "stack", "memory", "values", "handles"])
def test_two_and_two_surroundings_have_no_address_bit_in_common(name: str) -> None:
    addresses = [getattr(plan, name) for plan in SURROUNDINGS]
    for here, there in zip(addresses[::2], addresses[1::2], strict=True):
        assert (here ^ there) | 0xFFF == M64
        assert here % 8 == there % 8 == 0


@pytest.mark.parametrize("plan", SURROUNDINGS, ids=lambda plan: plan.name)
def test_programs_run_in_all(plan: object) -> None:
    text = "r3 = map_value[idx:0][8]; *(u64 *)(r10 - 512) = r2; r0 = *(u64 *)(r10 - 512); *(u64 *)(r3 + 0) = r0; exit"
    unit = Unit((assemble(text),), (MAP,), plan=plan)  # type: ignore[arg-type]
    assert Interpreter(unit, unit.programs[0]).run(Input(b"123"), World(), Limits()).r0 == 3


# Addresses that are kept as they are -------------------------------------------------------------

DISTANCES = st.frozensets(st.integers(0, M64), min_size=1, max_size=3)


@given(distances=DISTANCES, data=st.data(), order=st.sampled_from(["little", "big"]))
def test_moved_addresses_are_the_same(distances: frozenset[int], data: st.DataObject, order: str) -> None:
    """Addresses at any byte of a region, with anything equal between them."""
    planned, actual = bytearray(), bytearray()
    for _ in range(data.draw(st.integers(0, 5))):
        between = data.draw(st.binary(max_size=9))
        value, distance = data.draw(st.integers(0, M64)), data.draw(st.sampled_from(sorted(distances)))
        planned += between + value.to_bytes(8, order)  # type: ignore[arg-type]
        actual += between + ((value + distance) & M64).to_bytes(8, order)  # type: ignore[arg-type]
    moved = Moved(order, distances)  # type: ignore[arg-type]
    a = Outcome("done", regions={"memory": bytes(planned)})
    assert not difference(a, Outcome("done", regions={"memory": bytes(actual)}, moved=moved))
    assert bool(difference(a, Outcome("done", regions={"memory": bytes(actual)}))) == (planned != actual)


@given(data=st.binary(min_size=1, max_size=40), at=st.integers(0, 39), flip=st.integers(1, 255))
def test_a_changed_byte_is_found(data: bytes, at: int, flip: int) -> None:
    at %= len(data)
    changed = data[:at] + bytes((data[at] ^ flip,)) + data[at + 1 :]
    moved = Moved("little", frozenset({0x1234_5678_9ABC_D000}))
    found = difference(Outcome("done", regions={"m": data}), Outcome("done", regions={"m": changed}, moved=moved))
    assert found.what.startswith(f"m byte {at} is 0x{changed[at]:02x}")


@pytest.mark.parametrize("plan", PLANS)
def test_the_distance_of_one_region_excuses_no_other_value(plan: str) -> None:
    start = PLANS[plan].memory
    moved = Moved("little", frozenset({0x4000}))
    assert not difference(Outcome("done", start), Outcome("done", start + 0x4000, moved=moved))
    assert difference(Outcome("done", start), Outcome("done", start + 0x4001, moved=moved)).what
    assert difference(Outcome("done", start), Outcome("done", start - 0x4000, moved=moved)).what
