"""The soundness of the verifier as a law, and the mutants that show that the law is one."""

from __future__ import annotations

import json
import re
import sys
from dataclasses import replace
from itertools import islice, product
from pathlib import Path
from random import Random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bpf.errors import BadInput
from bpf.text import assemble, disassemble
from crossbpf.cli import main
from engines import ENGINES
from engines.judging import trial as judged
from fuzz import bordering, genome
from fuzz.bordering import KIND, Mode, Trial, campaign, trial
from fuzz.mutants import VERIFIER_MUTANTS, named_verifier
from fuzz.mutants.registry import VERIFIER_FAMILIES
from fuzz.mutants.variant import judging
from fuzz.mutants.verifier_mutant import MAPS, NUMBER, look_up
from fuzz.mutants.verifier_trial import generated, verifier_trials, witnesses
from fuzz.reproducer import unsound_assembly, unsound_pytest_file
from fuzz.soundness import UNPRIVILEGED, Explored, Run, check, explore, held_against
from jit.registry import TARGETS
from verifier import Options
from verifier.options import ALL
from verifier.state import UNINIT, Frame, State
from verifier.verify import walked
from vm.network import LISTEN, NETWORK, Socket
from vm.world import Input, World

DOCUMENT = Path(__file__).parents[2] / "docs" / "mutants.md"
MODES = [Mode(*each) for each in product(bordering.ORDERS, (True, False), (True, False))]
GENES = st.lists(st.integers(0, (1 << 64) - 1) | st.integers(0, (1 << 24) - 1), max_size=20)


# The law -----------------------------------------------------------------------------------------


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(GENES, st.sampled_from(MODES), st.integers(0, 1 << 32))
def test_what_runs_do_the_verifier_thought_possible(genes: list[int], mode: Mode, seed: int) -> None:
    found = Trial(genes, mode, list(bordering.inputs(seed, 0))).unsound()
    assert found is None, unsound_assembly(found)


def test_a_campaign_finds_nothing() -> None:
    last = list(campaign(seed=2, programs=80))[-1]
    assert last.found is None, unsound_assembly(last.found)
    assert last.programs == 80
    assert 15 < last.accepted < 65


@pytest.mark.deep
def test_twenty_thousand_programs() -> None:
    last = list(campaign(seed=3, programs=20_000))[-1]
    assert last.found is None, unsound_assembly(last.found)


@pytest.mark.deep
def test_accepted_programs_fault_on_no_engine() -> None:
    """On the six targets they do what they do on the interpreter, which is not to fault."""
    count = 0
    for number in range(600):
        one = trial(4, number)
        if one.unsound() is not None or not one.ran:
            continue
        for run in one.runs():
            for name in TARGETS:
                if one.mode.order in ENGINES[name].abilities.orders:
                    found = judged(ENGINES[name], run.unit, run.outcome, run.given, run.world, run.limits).found
                    assert not found.what, (number, name, found.what)
                    count += 1
    assert count > 500


def plain(number: int) -> None:
    """Programs of the general genome as socket filters, of who has all capabilities and of who has none."""
    random = Random(f"plain:{number}")
    genes = genome.draw(random, 12)
    bare = random.random() < 0.5
    packet = random.randbytes(64)
    for order in bordering.ORDERS:
        program = genome.decode(genes, order, bare=bare)
        run = None
        for caps in (ALL, UNPRIVILEGED):
            for prune in (True, False):
                options = Options(log_level=0, processed=bordering.PROCESSED, prune=prune, caps=caps)
                explored = explore(program, "socket_filter", options)
                if explored.verdict.accepted:
                    run = run or Run(program, "socket_filter", Input(packet=packet), World())
                    breach = held_against(explored, run)
                    assert breach is None, (number, order, caps, prune, breach, disassemble(program))


def test_plain_programs() -> None:
    for number in range(12):
        plain(number)


@pytest.mark.deep
def test_many_plain_programs() -> None:
    for number in range(3000):
        plain(number)


# What was wrong once: type, byte order, words of the data map, program.
REGRESSIONS = {
    "the low half of a spill of a big-endian program": (
        "sched_cls", "big",
        NUMBER + "r1 &= 255; r1 |= 4; *(u64 *)(r10 - 8) = r1; r2 = *(u32 *)(r10 - 8); r0 = r2; exit",
    ),
    "a half of a constant of a big-endian program": (
        "sched_cls", "big", "*(u64 *)(r10 - 8) = 5; r1 = *(u32 *)(r10 - 8); r2 = *(u32 *)(r10 - 4); r0 = r1; exit",
    ),
    "what has moved stays at its distance when both operands are linked to it": (
        "sched_cls", "little",
        NUMBER + "r1 &= 255; r2 = r1; r2 += 1; r3 = r1; if r1 == r3 goto +0; r2 += 0; r0 = 0; exit",
    ),
    "the number of the processor": ("socket_filter", "little", "call 8; r0 += 0; exit"),
}  # fmt: skip


@pytest.mark.parametrize("name", REGRESSIONS)
def test_what_was_wrong_once(name: str) -> None:
    kind, order, text = REGRESSIONS[name]
    program = replace(assemble(text.replace("; ", "\n"), order=order), maps=MAPS)
    explored = explore(program, kind, Options(log_level=0, prune=False))
    assert explored.verdict.accepted
    data = (255).to_bytes(8, "big" if order == "big" else "little")
    breach = check(program, kind, explored, Input(packet=bytes(64)), World(values={"data": data}))
    assert breach is None, breach


def test_a_null_argument_covers_no_number() -> None:
    """Linux 6.18 takes this: the way with the null is explored, and the other is pruned as if it were the same."""
    mutant = VERIFIER_MUTANTS["paths/null-is-not-precise"]
    verdict = explore(mutant.program(), mutant.kind, mutant.options).verdict
    assert (verdict.errno, verdict.message.splitlines()[0]) == (13, "R2 type=scalar expected=sock")


SOCKET_PROGRAM = (
    "r6 = r1; *(u32 *)(r10 - 16) = 0x0200000a; *(u32 *)(r10 - 12) = 0x0100000a; *(u16 *)(r10 - 8) = 99; "
    "*(u16 *)(r10 - 6) = 0x5000; r2 = r10; r2 += -16; r3 = 12; r4 = -1; r5 = 0; call 84; if r0 == 0 goto none; "
    "r7 = r0; r1 = r7; call 95; r8 = r0; r1 = r7; call 96; if r0 == 0 goto other; r8 = *(u32 *)(r0 + 0); "
    "other: r1 = r7; call 86; r0 = 1; exit; none: r0 = 0; exit"
)


@pytest.mark.parametrize("prune", [True, False])
def test_sockets_are_held(prune: bool) -> None:
    program = replace(assemble(SOCKET_PROGRAM.replace("; ", "\n")), maps=MAPS)
    socket = Socket(local="10.0.0.1", local_port=80, state=LISTEN)
    explored = explore(program, KIND, Options(log_level=0, prune=prune))
    assert explored.verdict.accepted, explored.verdict.message
    for world, r0 in ((World(), 0), (World(net=replace(NETWORK, sockets={7: socket})), 1)):
        run = Run(program, KIND, Input(packet=bytes(64)), world)
        assert run.outcome.r0 == r0
        assert held_against(explored, run) is None


def test_null_has_no_bytes() -> None:
    """Linux 6.18 takes this too: a helper that takes null and 0 bytes is given what may be null, and 4 bytes."""
    text = look_up(9) + "r1 = r0; r2 = {}; r3 = 0; r4 = 0; r5 = 0; call 28; r0 = 0; exit"
    said = {}
    for size in (0, 4):
        program = replace(assemble(text.format(size).replace("; ", "\n")), maps=MAPS)
        said[size] = explore(program, KIND, Options(log_level=0)).verdict.message
    assert said == {0: "", 4: "R1 type=map_value_or_null expected=fp"}


def test_the_modes_take_turns() -> None:
    assert {bordering.mode(number) for number in range(16)} == set(MODES)


# What a run may not do ---------------------------------------------------------------------------


def _unknown(*callsites: int) -> State:
    """A state in which nothing is known."""
    state = State()
    state.frames = [Frame(number, number, callsite) for number, callsite in enumerate((-1, *callsites))]
    for frame in state.frames:
        frame.regs = [UNINIT] * 11
    return state


ANYTHING = [_unknown(), _unknown(1)]
ACCEPTED = {
    "a reference is leaked": "r1 = map[idx:3]; r2 = 8; r3 = 0; call 131; r0 = 0; exit",
    "get_prandom_u32 is called while a lock is held": "r1 = map_value[idx:4][4]; call 93; call 7; r0 = 0; exit",
    "ends with a lock held": "r1 = map_value[idx:4][4]; call 93; r0 = 0; exit",
    "a lock is given back that is not held": "r1 = map_value[idx:4][4]; call 94; r0 = 0; exit",
    "two locks are held": "r1 = map_value[idx:4][4]; call 93; r1 = map_value[idx:4][0]; call 93; r0 = 0; exit",
    "beyond the value": "r1 = map_value[idx:0][60]; r0 = *(u64 *)(r1 + 0); exit",
    "beyond the packet": "r2 = *(u32 *)(r1 + 76); r0 = *(u8 *)(r2 + 64); exit",
    "beyond the stack": "*(u64 *)(r10 - 520) = 1; r0 = 0; exit",
    "bytes of stack are in use": "*(u64 *)(r10 - 400) = 1; call f; r0 = 0; exit; "
    "f: *(u64 *)(r10 - 200) = 1; r0 = 0; exit",
    "a misaligned atomic": "r1 = map_value[idx:0][3]; r2 = 1; lock *(u64 *)(r1 + 0) += r2; r0 = 0; exit",
    "the run faults": "r1 = 0; r0 = *(u8 *)(r1 + 0); exit",
}  # fmt: skip


@pytest.mark.parametrize("what", ACCEPTED)
def test_what_no_run_may_do(what: str) -> None:
    """Said of a program that is refused, as if it had been accepted with all states that there could be."""
    program = replace(assemble(ACCEPTED[what].replace("; ", "\n")), maps=MAPS)
    run = Run(program, KIND, Input(packet=bytes(64)), World())
    verdict = explore(program, KIND, Options(log_level=0)).verdict
    assert not verdict.accepted
    breach = held_against(Explored(verdict, dict.fromkeys(range(len(program)), ANYTHING)), run)
    assert breach is not None and what in breach.what


# Mutants -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("family", VERIFIER_FAMILIES)
def test_the_property_fails_on_every_witness_with_its_mutant_only(family: str) -> None:
    for mutant in VERIFIER_MUTANTS.values():
        if mutant.name.startswith(family + "/"):
            assert mutant.breach() is None, mutant.name
            assert mutant.breach(mutant.judge()) is not None, mutant.name


def test_none_comes_twice() -> None:
    assert len(VERIFIER_MUTANTS) >= 40
    assert len({mutant.edits for mutant in VERIFIER_MUTANTS.values()}) == len(VERIFIER_MUTANTS)
    for mutant in VERIFIER_MUTANTS.values():
        assert re.fullmatch(r"[a-z]+/[a-z0-9-]+", mutant.name), mutant.name
        assert ": " in mutant.source and len(mutant.source) < 100, mutant.name


def test_names() -> None:
    assert len(named_verifier()) == len(VERIFIER_MUTANTS)
    assert [mutant.name for mutant in named_verifier(["frames-in"])] == ["paths/frames-in-part"]
    with pytest.raises(BadInput, match="no mutant is named 'nonsense'"):
        named_verifier(["nonsense"])


def test_a_verifier_without_edits_says_the_same() -> None:
    judge = judging({})
    for number in range(20):
        one = trial(1, number)
        options = replace(one.mode.options, log_level=2)
        ours, theirs = (explore(one.program, KIND, options, each) for each in (walked, judge))
        assert ours.verdict.log == theirs.verdict.log


def test_a_variant_of_the_verifier_leaves_nothing_behind() -> None:
    names = [name for name in sys.modules if name.split(".")[0] in ("verifier", "bpf", "fuzz")]
    before = {name: dict(vars(sys.modules[name])) for name in names}
    VERIFIER_MUTANTS["branches/jgt-holds-for-equals"].judge()
    for name, held in before.items():
        assert all(vars(sys.modules[name])[key] is value for key, value in held.items()), name


def test_trials_count_programs_to_the_catch() -> None:
    chosen = named_verifier(["mov32-imm", "imm-zero", "offset-is-not"])
    last = list(verifier_trials(chosen, witnesses(chosen)))[-1]
    assert not last.alive
    assert last.catches[chosen[0].name].by == chosen[0].name
    easy = named_verifier(["mov32-keeps", "arsh-keeps"])
    last = list(verifier_trials(easy, generated(60)))[-1]
    assert not last.alive
    assert all(catch.by == f"program {catch.programs} of seed 0" for catch in last.catches.values())


def test_the_verb(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["mutants", "--verifier", "--by", "suite", "scalars/mov32", "imm-zero", "--json"]) == 0
    record = json.loads(capsys.readouterr().out)
    assert record["survivors"] == []
    assert {row["name"] for row in record["mutants"]} == {one.name for one in named_verifier(["s/mov32", "imm-zero"])}
    assert all(row["suite"]["by"] == row["name"] for row in record["mutants"])
    assert main(["mutants", "--verifier", "--list"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == len(VERIFIER_MUTANTS) + 1
    assert main(["mutants", "--verifier", "--target", "arm64"]) == 2


def test_the_document_names_every_mutant() -> None:
    rows = re.findall(r"^\| `((?:scalars|branches|memory|paths)/[^`]+)` \|", DOCUMENT.read_text("utf-8"), re.MULTILINE)
    assert rows == list(VERIFIER_MUTANTS)


# Findings ----------------------------------------------------------------------------------------


def test_a_finding_is_simple_and_its_test_fails(tmp_path: Path) -> None:
    """Of a verifier that shifts unsigned bounds as signed ones."""
    judge = VERIFIER_MUTANTS["scalars/arsh-keeps-unsigned-bounds"].judge()
    found = next(one.found for one in campaign(seed=0, programs=60, judge=judge) if one.found is not None)
    assert len(found.genome) <= 3, found.genome
    assert "at insn" in unsound_assembly(found)
    text = unsound_pytest_file(found)
    here = tmp_path / "test_found.py"
    here.write_text(text, "utf-8")
    namespace: dict[str, object] = {}
    exec(compile(text, str(here), "exec"), namespace)
    namespace["test_sound"]()  # type: ignore[operator]  # ours is right
    explored = explore(found.program, KIND, found.mode.options, judge)
    assert check(found.program, KIND, explored, found.given, found.world) == found.breach


def test_the_campaign_verb(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(["fuzz", "--verifier", "--programs", "5", "--first", "7", "--json"]) == 0
    record = json.loads(capsys.readouterr().out)
    assert (record["programs"], record["first"], record["finding"]) == (5, 7, None)
    assert main(["fuzz", "--verifier", "--target", "arm64"]) == 2
    assert main(["fuzz", "--verifier", "--out", str(tmp_path / "no")]) == 2


def test_a_campaign_goes_on() -> None:
    first = [trial(5, number).genome for number in range(6)]
    assert [trial(5, number).genome for number in range(3, 6)] == first[3:]
    assert [one.programs for one in islice(campaign(seed=5, first=3), 3)] == [4, 5, 6]
