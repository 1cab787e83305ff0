"""What the verifier leaves behind of an accepted program, and that it agrees with the walk of engines."""

from __future__ import annotations

from dataclasses import replace
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bpf.facts import Base, Facts, Mask, Pointer
from bpf.plan import Unit
from bpf.program import Map
from bpf.spec.conventions import TYPED
from bpf.text import assemble
from engines.binding import bind
from fuzz import border, genome
from fuzz.parity.xlated import typed
from runtime import verifying
from tests.crossbpf.xlated_programs import PROGRAMS, made
from tests.engines.typed import BODY
from verifier import Options, verify
from verifier.provenance import provenance

MAPS = (Map("table", "hash", 4, 8, 16), Map("list", "array", 4, 16, 3))
FEW = Options(frozenset({"CAP_BPF", "CAP_NET_ADMIN"}), log_level=0)
LOOK = "*(u32 *)(r10 - 4) = 0; r2 = r10; r2 += -4; r1 = map[idx:{}]; call 1"


def facts(text: str, kind: str = "sched_cls", options: Options | None = None) -> Facts:
    program = replace(typed(assemble(text.replace("; ", "\n"))), maps=MAPS)
    verdict = verify(verifying.subject(program, kind), options or Options(log_level=0))
    assert verdict.accepted, verdict.message
    assert verdict.facts is not None
    return verdict.facts


def test_a_refused_program_has_none() -> None:
    assert verify(verifying.subject(assemble("r0 = r9\nexit"), "xdp")).facts is None


def test_pointers() -> None:
    found = facts(
        f"r6 = *(u32 *)(r1 + 0); {LOOK.format(0)}; if r0 == 0 goto +1; r0 = *(u64 *)(r0 + 0); r0 = 0; exit"
    ).pointers
    assert found == {0: Pointer(Base.CONTEXT), 1: Pointer(Base.STACK), 8: Pointer(Base.MAP_VALUE)}


def test_what_is_never_reached() -> None:
    found = facts("r0 = 1; if r0 == 1 goto on; r2 = 0x100000000 ll; r0 = *(u32 *)(r1 + 0); on: exit")
    assert found.unreached == {2, 3, 4}
    assert not found.pointers


def test_a_guess_is_no_path() -> None:
    """What only a mispredicted path comes to counts as dead."""
    found = facts("r0 = 1; if r0 == 1 goto on; r0 = 2; on: exit", "socket_filter", Options(frozenset(), log_level=0))
    assert found.unreached == {2}


FLAGS = (
    "r6 = r1; r7 = func[g]; r3 = 0; r1 = 5; r2 = func[f]; {}; call 181; r0 = 0; exit; f: r0 = 0; exit; g: r0 = 0; exit"
)


@pytest.mark.parametrize(
    ("text", "loops"),
    [
        ("r4 = 0", {8: 11}),
        ("r4 = *(u32 *)(r6 + 8); r4 &= 0", {9: 12}),
        ("r4 = *(u32 *)(r6 + 8); if r4 == 0 goto +1; r4 = 0", {10: 13}),
        ("r4 = *(u32 *)(r6 + 8)", {}),
        ("r4 = 0; r5 = *(u32 *)(r6 + 8); if r5 == 0 goto +2; r2 = func[g]", {}),
    ],
)
def test_loops(text: str, loops: dict[int, int]) -> None:
    """A bpf_loop can be written out where its flags are 0 and its callback is one, on all paths."""
    assert facts(FLAGS.format(text)).loops == loops


def test_maps() -> None:
    assert facts(f"{LOOK.format(1)}; r0 = 0; exit").maps == {5: MAPS[1]}
    assert (
        facts(
            f"r6 = *(u32 *)(r1 + 0); {LOOK.format(1)}; r0 = 0; exit".replace(
                "; call", "; if r6 == 0 goto +2; r1 = map[idx:0]; call"
            )
        ).maps
        == {}
    )


def test_masks() -> None:
    moved = "r1 = *(u8 *)(r0 + 0); r1 &= 7; r0 += r1; r0 = *(u8 *)(r0 + 1)"
    text = f"{LOOK.format(1)}; if r0 == 0 goto out; {moved}; out: r0 = 0; exit"
    assert facts(text).masks == {}
    found = facts(text, options=FEW)
    assert found.masks == {9: Mask(7, False, False, True)}
    assert found.barriers_behind == {0}


def test_stacks_and_spills() -> None:
    spills = "r6 = r1; r1 = 1; *(u64 *)(r10 - 8) = r1; call 8; r1 = *(u64 *)(r10 - 8); r0 = r1{}; exit"
    found = facts(spills.format(""))
    assert (found.spills, found.stacks) == ({3: 1}, (0,))
    found = facts(spills.format("; r0 = *(u64 *)(r10 - 8)"))
    assert (found.spills, found.stacks) == ({}, (8,))


def contexts(found: Facts, within: Facts) -> dict[int, int]:
    return {
        pc: pointer.offset for pc, pointer in found.pointers.items()
        if pointer.base is Base.CONTEXT and pc not in within.unreached
    }  # fmt: skip


ACCEPTED = {
    **{name: (assemble(one.text.replace("; ", "\n")), one.type) for name, one in BODY.items()},
    **{name: made(name) for name in PROGRAMS},
}


@pytest.mark.parametrize("name", ACCEPTED)
def test_the_walk_agrees(name: str) -> None:
    program, kind = ACCEPTED[name]
    known = verifying.known(program, kind)
    if known.facts is None:
        pytest.skip("not accepted")
    convention = TYPED[kind]
    assert convention.view is not None
    walked = provenance(program, convention.view, convention.helpers)
    assert contexts(known.facts, known.facts) == contexts(walked, known.facts)


@pytest.mark.parametrize("name", PROGRAMS)
def test_joined_states_reach_no_less(name: str) -> None:
    """Where states are joined at block entries, more may look reached, and never less."""
    program, kind = made(name)
    judged = verifying.subject(program, kind)
    joined = verify(judged, Options(log_level=0, merge=True)).facts
    apart = verify(judged, Options(log_level=0)).facts
    assert joined is not None
    assert apart is not None
    assert joined.unreached <= apart.unreached
    assert contexts(joined, apart) == contexts(apart, apart)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 1 << 32))
def test_the_walk_agrees_near_the_border(seed: int) -> None:
    random = Random(seed)
    found = None
    while found is None:
        program = border.decode(genome.draw(random, 12))
        found = verifying.known(program, "sched_cls").facts
    convention = TYPED["sched_cls"]
    assert convention.view is not None
    assert contexts(found, found) == contexts(provenance(program, convention.view, convention.helpers), found)


def test_engines_go_by_the_facts() -> None:
    """A program that carries facts is not walked."""
    program = replace(assemble("r0 = *(u32 *)(r1 + 12)\nexit"), facts=Facts())
    unit = bind(Unit((program,), convention=TYPED["xdp"]))
    assert unit.programs[0].insns == program.insns
    known = verifying.known(replace(program, facts=None), "xdp")
    unit = bind(Unit((known,), convention=TYPED["xdp"]))
    assert unit.programs[0].insns != program.insns
