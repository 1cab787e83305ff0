"""What a unit says of tail calls and callbacks before anything runs."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from bpf.errors import Refused
from bpf.plan import COUNTER, FRAME, PLANS, STUB_SIZE, Unit
from bpf.program import MAX_FRAMES, Map, joined
from bpf.tail import MAX_TAIL_CALLS
from bpf.text import assemble
from vm.world import Input, World

JUMP = "r3 = 0; r2 = map[idx:0]; call 12"


def unit(*texts: str, programs: Sequence[int] = (0,), entries: int = 4, order: str = "little") -> Unit:
    arrays = tuple(Map(name, "prog_array", max_entries=entries, programs=tuple(programs)) for name in "ab")
    return Unit(tuple(assemble(text, order=order) for text in texts), arrays)


# Which map ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", [
    "r2 = map[idx:0]; call 12; exit",
    "r7 = map[idx:0]; call 7; r2 = r7; call 12; exit",
    "if r1 == 0 goto +3; r2 = map[idx:0]; goto +2; r2 = map[idx:0]; call 12; exit",
    "r2 = map[idx:0]; if r1 == 0 goto -1; call 12; exit",
    "exit; r2 = map[idx:0]; call 12; exit",
    "r2 = map[idx:0]; goto +1; r2 = r2; call 12; exit",
    "r2 = map[idx:0]; r0 = atomic_fetch_add((u64 *)(r10 - 8), r0); call 12; exit",
])  # fmt: skip
def test_the_map_is_a_constant(text: str) -> None:
    assert list(unit(text).tail_calls.values()) == [0]


@pytest.mark.parametrize("text", [
    "call 12; exit",
    "r2 = 5; call 12; exit",
    "r2 = map[idx:0]; r2 += 0; call 12; exit",
    "r2 = map[idx:0]; w2 = w2; call 12; exit",
    "r2 = map[idx:0]; call 7; call 12; exit",
    "r2 = map[idx:0]; r2 = *(u64 *)(r10 - 8); call 12; exit",
    "r2 = map[idx:0]; r2 = atomic_fetch_add((u64 *)(r10 - 8), r2); call 12; exit",
    "r0 = map[idx:0]; r0 = cmpxchg_64(r10 - 8, r0, r1); r2 = r0; call 12; exit",
    "if r1 == 0 goto +3; r2 = map[idx:0]; goto +2; r2 = map[idx:1]; call 12; exit",
    "r2 = map[idx:0]; call 12; r2 = map[idx:1]; goto -4; exit",
    "r2 = map[idx:2]; call 12; exit",
    "r2 = map[idx:0]; call f; exit; f: call 12; exit",
])  # fmt: skip
def test_a_map_that_is_no_constant_is_refused(text: str) -> None:
    with pytest.raises(Refused, match=r"insn \d+: tail_call of a map"):
        unit(text)


def test_what_is_refused_besides() -> None:
    with pytest.raises(Refused, match="map data, which is no prog array"):
        Unit((assemble("r2 = map[idx:0]; call 12; exit"),), (Map("data", initial=bytes(8)),))
    with pytest.raises(Refused, match="map a: program 1 is not there"):
        unit("exit", programs=(1,))
    with pytest.raises(Refused, match="map a: 5 programs in 4 entries"):
        unit("exit", programs=(0,) * 5)
    with pytest.raises(Refused, match="1 to 65536 entries"):
        unit("exit", programs=(), entries=0)
    with pytest.raises(Refused, match="a value of map a has no address"):
        found = unit("r1 = map_value[idx:0][0]; exit")
        found.constants(found.whole)
    with pytest.raises(Refused, match="both byte orders"):
        Unit((assemble("exit"), assemble("exit", order="big")))
    with pytest.raises(Refused, match="4097 functions"):
        Unit(tuple(assemble("exit") for _ in range(4097)))


# How deep ----------------------------------------------------------------------------------------


def test_frames() -> None:
    chain = "".join(f"{a}: call {b}; exit; " for a, b in zip("abcdef", "bcdefg", strict=True))
    seven = f"call a; exit; {chain}g: {{}}exit"
    assert unit("exit").frames == 1
    assert unit(f"{JUMP}; exit").frames == 1
    assert unit(f"call f; exit; f: {JUMP}; exit").frames == MAX_TAIL_CALLS + 2
    assert unit(f"call f; {JUMP}; exit; f: exit").frames == 2
    assert unit(f"call f; {JUMP}; exit; f: exit", "call f; exit; f: call g; exit; g: exit").frames == 3
    assert unit(f"call f; exit; f: {JUMP}; exit", "call f; exit; f: call g; exit; g: exit").frames == 36
    assert unit(seven.format("")).frames == MAX_FRAMES
    deepest = unit(seven.format(JUMP + "; "))
    assert deepest.frames == (MAX_TAIL_CALLS + 1) * 7 + 1 <= (MAX_TAIL_CALLS + 1) * MAX_FRAMES
    for plan in PLANS.values():
        assert plan.counters.start > plan.stack
        assert plan.stack - (deepest.frames - 1) * FRAME + COUNTER >= plan.counters.start
    with pytest.raises(Refused, match="calls itself"):
        unit("exit", f"call f; exit; f: {JUMP}; call f; exit")


def loop(function: str) -> str:
    return f"r2 = func[{function}]; r1 = 1; r3 = 0; r4 = 0; call 181"


def test_frames_of_callbacks() -> None:
    assert unit(f"{loop('f')}; exit; f: r0 = 0; exit").frames == 2
    assert unit(f"{loop('f')}; exit; f: {loop('g')}; r0 = 0; exit; g: r0 = 0; exit").frames == 3
    assert unit(f"{loop('f')}; exit; f: {JUMP}; exit").frames == MAX_TAIL_CALLS + 2
    with pytest.raises(Refused, match="function f calls itself"):
        unit(f"{loop('f')}; exit; f: {loop('f')}; r0 = 0; exit")
    with pytest.raises(Refused, match="function f calls itself"):  # it may be either of the two
        unit(f"{loop('f')}; exit; f: r2 = func[g]; r2 += 0; call 181; r0 = 0; exit; g: r0 = 0; exit")


# One program of several --------------------------------------------------------------------------


@pytest.mark.parametrize("order", ["little", "big"])
def test_the_whole(order: str) -> None:
    first, second = "call f; exit; f: r0 = 1; exit", "r1 = func[g]; callx r1; exit; g: r0 = 2; exit"
    found = unit(first, second, "exit", programs=(2, -1, 0), order=order)
    whole = found.whole
    assert [(function.start, function.name) for function in whole.functions] == [
        (0, "prog"), (2, "f"), (4, "prog"), (8, "g"), (10, "prog"),
    ]  # fmt: skip
    assert (found.starts, found.mains) == ((0, 4, 10), (0, 2, 4))
    assert [found.place(pc) for pc in (-1, 0, 3, 4, 9, 10)] == [(0, -1), (0, 0), (0, 3), (1, 0), (1, 5), (2, 0)]
    assert found.callees(1) == ()
    assert found.callees(6) == (3,)
    assert found.constants(whole)[4] == found.plan.entry(3)
    data = found.cells(found.maps[0], {})
    assert [int.from_bytes(data[at : at + 8], order) for at in range(0, 32, 8)] == [  # type: ignore[arg-type]
        found.plan.entry(4), 0, found.plan.entry(0), 0,
    ]  # fmt: skip
    assert found.cells(found.maps[0], {"a": (1,)})[8:] == bytes(24)
    assert unit("exit").whole is not joined(unit("exit").programs)
    assert found.plan.entry(1) - found.plan.entry(0) == STUB_SIZE
    assert World(programs={"a": (1,)}).programs == {"a": (1,)}
    assert Input().packet == b""


def test_lines_stay_with_their_instructions() -> None:
    texts = [assemble("r0 = 0; exit"), assemble("r0 = 1; exit")]
    whole = joined(texts)
    assert {pc - 2: line for pc, line in whole.lines.items() if pc >= 2} == dict(texts[1].lines)
