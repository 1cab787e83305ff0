"""Objects of a program's own: they live on in maps, and are the same on every engine."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from bpf.errors import NotHere, Refused
from bpf.object import load
from bpf.object.btf import VOID, Btf, Kind, Type
from bpf.plan import HEAP, PLANS, Unit
from bpf.program import Program
from bpf.spec.conventions import TYPED
from bpf.text import assemble
from crossbpf import cc
from engines import ENGINES, Engine, Options
from engines.binding import bind
from engines.linux import LinuxEngine
from tests.engines.test_helper_programs import cpu
from vm.outcome import Fault, difference
from vm.world import Input, Limits, World

__all__ = ["cpu"]  # the fixture

SOURCE = Path(__file__).parents[1] / "data" / "types" / "objects.c"


@pytest.fixture(scope="module")
def built() -> dict[str, bytes]:
    try:
        return {order: cc.compile_c(SOURCE, order) for order in ("little", "big")}
    except NotHere as reason:
        pytest.skip(str(reason))


def called(number: int, key: int, order: str) -> Input:
    return Input(record=b"".join(word.to_bytes(4, order) for word in (number, key)) + bytes(8))  # type: ignore[arg-type]


@pytest.mark.parametrize("plan", ["low", "fence"])
def test_they_live_on_in_maps(plan: str, built: dict[str, bytes], cpu: Engine) -> None:
    for order, data in built.items():
        unit = Unit((load(data, name="keep")[0],), convention=TYPED["syscall"], plan=PLANS[plan])
        assert unit.maps[-1] is HEAP
        engines = [one for one in (*ENGINES.values(), cpu) if order in one.abilities.orders]
        worlds = [World() for _ in engines]
        totals = {0: (0, 0), 1: (0, 0)}
        for number, key in ((5, 0), (7, 0), (100, 1), (1, 0), (2, 1)):
            totals[key] = (totals[key][0] + 1, totals[key][1] + number)
            entry, outcomes = called(number, key, order), []
            for one, world in zip(engines, worlds, strict=True):
                outcomes.append(one.prepare(unit, Options(observe=True)).run(entry, world, Limits()))
            assert (outcomes[0].status, outcomes[0].r0 & 0xFFFF_FFFF) == ("done", 0)
            assert (outcomes[0].context or {})["+8"] == totals[key][0] << 32 | totals[key][1]
            for one, outcome in zip(engines, outcomes, strict=True):
                assert not difference(outcomes[0], outcome), one.name


def test_room_is_used_again_and_ends(built: dict[str, bytes], cpu: Engine) -> None:
    for order, data in built.items():
        unit = Unit((load(data, name="fill")[0],), convention=TYPED["syscall"])
        for one in (*ENGINES.values(), cpu):
            if order in one.abilities.orders:
                outcome = one.prepare(unit).run(called(0, 0, order), World(), Limits())
                assert (outcome.status, outcome.r0) == ("done", (HEAP.value_size - 16) // 48), one.name


TYPES = Btf((VOID, Type(Kind.STRUCT, "s", 24), Type(Kind.INT, "int", 4, bits=32)))
AGAIN = """
    r1 = 1; r2 = 0; call kfunc bpf_obj_new_impl; r6 = r0; r1 = 1; r2 = 0; call kfunc bpf_obj_new_impl; r7 = r0
    r8 = r7; r8 -= r6; *(u64 *)(r6 + 16) = 5; r1 = r6; r2 = 0; call kfunc bpf_obj_drop_impl
    r1 = 1; r2 = 0; call kfunc bpf_obj_new_impl; r9 = *(u64 *)(r0 + 16); r0 -= r6; r0 += r8; r0 += r9; exit"""


def typed(text: str, order: str) -> Program:
    found = assemble(text, order=order)
    return Program(found.name, found.insns, order, found.functions, btf=TYPES)


@pytest.mark.parametrize("name", ENGINES)
def test_a_block_that_was_dropped_is_the_next(name: str) -> None:
    (order, *_) = sorted(ENGINES[name].abilities.orders)
    outcome = ENGINES[name].prepare(Unit((typed(AGAIN, order),))).run(Input(), World(), Limits())
    assert (outcome.status, outcome.r0) == ("done", 48)
    broken = typed(
        "r1 = 1; r2 = 0; call kfunc bpf_obj_new_impl; r1 = 8; r2 = 0; call kfunc bpf_obj_drop_impl; exit", order
    )
    assert ENGINES[name].prepare(Unit((broken,))).run(Input(), World(), Limits()).fault == Fault("object", 0, 5, 8)


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("r1 = r7; r2 = 0; call kfunc bpf_obj_new_impl; exit", "insn 2: R1 must be a known constant"),
        ("r1 = 1; if r2 == 0 goto l; r1 = 2; l: r2 = 0; call kfunc bpf_obj_new_impl; exit", "R1 must be a known"),
        ("r1 = 2; r2 = 0; call kfunc bpf_obj_new_impl; exit", "insn 2: type 2 is no structure of the program's"),
        ("r1 = 9; r2 = 0; call kfunc bpf_obj_new_impl; exit", "insn 2: type 9 is no structure"),
    ],
)
def test_what_is_refused(text: str, what: str) -> None:
    with pytest.raises(Refused, match=what):
        bind(Unit((typed(text, "little"),)))


def test_the_live_kernel_is_not_asked() -> None:
    with pytest.raises(Refused, match="objects need the program's BTF"):
        LinuxEngine().prepare(Unit((typed(AGAIN, sys.byteorder),)))
