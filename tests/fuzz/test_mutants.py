"""Every mutant is a fault: its witness agrees without it and differs with it. What they leave behind is nothing."""

from __future__ import annotations

import json
import re
import sys
from importlib import import_module
from pathlib import Path
from types import ModuleType

import pytest

from bpf.errors import BadInput
from bpf.isa import ROW
from bpf.plan import Unit
from bpf.text import assemble
from crossbpf import mutants as verb
from crossbpf.cli import main
from engines import ENGINES, Engine, Options
from engines.surroundings import late
from fuzz.campaign import campaign
from fuzz.genome import decode
from fuzz.mutants import MUTANTS, VERIFIER_MUTANTS, Mutant, fuzzer, named, search_for, suite, trials
from fuzz.mutants.registry import _FAMILIES
from fuzz.mutants.trial import _BROKEN, QUICK
from fuzz.mutants.variant import edited, variant
from fuzz.suite.generated import cases
from fuzz.suite.rows import exercises
from jit.registry import TARGETS
from vm.outcome import Outcome, difference
from vm.world import Input, Limits, World

LIMITS = Limits(seconds=2.0)
each_family = pytest.mark.parametrize("family", _FAMILIES)
DOCUMENT = Path(__file__).parents[2] / "docs" / "mutants.md"


def run(engine: Engine, unit: Unit, options: Options, entry: Input | None = None) -> Outcome:
    return engine.prepare(unit, options).run(entry or Input(), World(), LIMITS)


def of(family: str) -> list[Mutant]:
    return [mutant for mutant in MUTANTS.values() if mutant.name.startswith(family + "/")]


# The catalogue -----------------------------------------------------------------------------------


@each_family
def test_every_witness_agrees_without_its_mutant_and_differs_with_it(family: str) -> None:
    wrong = []
    for mutant in of(family):
        unit, options = mutant.unit(), Options(observe=mutant.observe)
        expected = run(ENGINES["interpreter"], unit, options, mutant.entry)
        right = difference(expected, run(ENGINES[mutant.on], unit, options, mutant.entry))
        assert right.decided and not right, (mutant.name, right)
        (engine,) = (engine for engine in mutant.engines() if engine.name == mutant.on)
        try:
            seen = run(engine, unit, options, mutant.entry)
            found = bool(difference(expected, seen)) or late(expected, seen)
        except _BROKEN:
            found = True
        if not found:
            wrong.append(mutant.name)
    assert not wrong


@each_family
def test_a_mutant_is_a_fault_of_some_programs_and_no_wreck(family: str) -> None:
    """It still compiles programs of all kinds: an edit that tears the source apart shows nothing."""
    text = "r6 = 1; r0 = r10; r0 += -8; *(u64 *)(r0 + 0) = r6; call 8; w0 += 1; if r6 == 1 goto +1; r0 = 2; exit"
    for mutant in of(family):
        unit = Unit((assemble(text.replace("; ", "\n"), order=TARGETS[mutant.on].order),))
        (engine,) = (engine for engine in mutant.engines() if engine.name == mutant.on)
        engine.prepare(unit, Options())


def test_there_are_enough() -> None:
    counts = {family: len(of(family)) for family in _FAMILIES}
    assert sum(counts.values()) == len(MUTANTS) >= 80
    assert min(counts.values()) >= 10, counts


def test_none_comes_twice() -> None:
    tables = [mutant for family in _FAMILIES for mutant in import_module(f"fuzz.mutants.{family}").MUTANTS]
    assert len(tables) == len({mutant.name for mutant in tables}) == len({mutant.edits for mutant in tables})
    for mutant in tables:
        assert re.fullmatch(r"[a-z0-9_]+/[a-z0-9.-]+", mutant.name), mutant.name
        assert ": " in mutant.source and len(mutant.source) < 100, mutant.name


def test_the_targets_of_a_mutant() -> None:
    assert {target.name for target in MUTANTS["base/r9-not-saved"].targets} == set(TARGETS)
    assert [target.name for target in MUTANTS["ppc64/lha-unsigned"].targets] == ["ppc64", "ppc64le"]
    assert all(mutant.on in {target.name for target in mutant.targets} for mutant in MUTANTS.values())


def test_names() -> None:
    assert len(named()) == len(MUTANTS)
    assert {mutant.name for mutant in named(["lha"])} == {"ppc64/lha-unsigned"}
    assert {mutant.name.split("/")[0] for mutant in named([], ["aarch64"])} == {"base", "arm64"}
    with pytest.raises(BadInput, match="no mutant is named 'nonsense'"):
        named(["lha", "nonsense"])
    with pytest.raises(BadInput, match="no target named"):
        named([], ["vax"])


# Variants ----------------------------------------------------------------------------------------


def state() -> dict[str, dict[str, object]]:
    """Every global of every module of ours."""
    packages = {"bpf", "vm", "jit", "emu", "engines"}
    modules = [module for name, module in sys.modules.items() if name.split(".")[0] in packages]
    return {module.__name__: dict(vars(module)) for module in modules if isinstance(module, ModuleType)}


def test_a_variant_leaves_nothing_behind() -> None:
    """The real modules hold the very objects that they held before, and the real JIT does what it did."""
    unit = MUTANTS["base/add32-0-elided"].unit()
    for name in ENGINES:
        if TARGETS.get(name, TARGETS["x86_64"]).order == unit.order:
            run(ENGINES[name], unit, Options())
    before = state()
    for name in ("base/add32-0-elided", "x86_64/jgt-signed", "s390x/lcgr-is-lcgfr", "riscv64/lui-at-the-top"):
        MUTANTS[name].engines()
    after = state()
    assert before.keys() == after.keys()
    for name, names in before.items():
        assert names.keys() == after[name].keys(), name
        assert all(value is after[name][key] for key, value in names.items()), name
    for case in exercises(ROW["add32_imm"], "little", 13):
        unit = Unit((case.program,))
        (engine,) = MUTANTS["base/add32-0-elided"].engines()[:1]
        expected = run(ENGINES["interpreter"], unit, Options())
        assert not difference(expected, run(ENGINES[engine.name], unit, Options()))


@pytest.mark.parametrize("target", TARGETS.values(), ids=list(TARGETS))
def test_a_variant_without_edits_is_the_same_jit(target: object) -> None:
    """Also with the base copied: what is compiled is the same, byte for byte."""
    assert isinstance(target, type(TARGETS["arm64"]))
    case = next(exercises(ROW["jgt32_reg"], target.order, 7))
    unit = Unit((case.program,))
    right = ENGINES[target.name].prepare(unit, Options(observe=True)).image  # type: ignore[attr-defined]
    for edits in ({}, {"jit.ops": [("NONE = -1\n", "NONE = -1  #\n")]}):
        (engine,) = variant([target], edits)
        image = engine.prepare(unit, Options(observe=True)).image  # type: ignore[attr-defined]
        assert (image.code, image.entries) == (right.code, right.entries)


def test_a_batch_is_compiled_by_the_variant_too() -> None:
    """The driver of a batch is code of the same JIT: nothing of a mutant is lost there."""
    mutant = MUTANTS["arm64/jgt-is-jge"]
    entries = [Input(registers={1: value}) for value in (4, 5, 6)]
    (engine,) = mutant.engines()
    outcomes = engine.prepare(mutant.unit(), Options(observe=True)).run_many(entries, World(), LIMITS)
    assert [outcome.r0 for outcome in outcomes] == [1, 1, 1]


def test_aliases_are_the_variants() -> None:
    """`lower_add = _arith`: one edit of the method changes what every name of it does."""
    head = "def _arith(self, op: Op) -> None:\n"
    (engine,) = variant([TARGETS["x86_64"]], {"jit.x86_64.lower": [(head, head + "        return\n")]})
    unit = Unit((assemble("r0 = 5\nr0 += 1\nr0 ^= 1\nexit"),))
    assert run(engine, unit, Options()).r0 == 5
    assert run(ENGINES["x86_64"], unit, Options()).r0 == 7


def test_an_edit_that_does_not_fit_is_refused() -> None:
    with pytest.raises(ValueError, match="stands there 2 times, not once: 'ab'"):
        edited("module", "ab ab", [("ab", "c")])
    with pytest.raises(ValueError, match=r"does not load: jit\.arm64\.lower"):
        variant([TARGETS["x86_64"]], {"jit.arm64.lower": [("T0", "T1")]})


# Trials and the verb -----------------------------------------------------------------------------


def test_the_fuzz_programs_are_those_of_a_campaign() -> None:
    probes = fuzzer(4, seed=3).probes(["big", "little"])
    for ours, theirs in zip(probes, campaign([ENGINES["arm64"]], programs=4, seed=3), strict=True):
        program, entry = ours.programs["little"]
        assert program.insns == decode(theirs.genome, packet=bool(entry.packet)).insns
        assert ours.programs["big"][0].order == "big"


def test_the_suite_is_all_of_it_the_cheap_cases_first() -> None:
    probes = list(suite(["add64_imm", "ja"]).probes(["little"]))
    whole = [case for name in ("add64_imm", "ja") for case in cases(name, "little")]
    assert [probe.name for probe in probes[-len(whole) :]] == [case.name for case in whole]
    quick = [len(probe.programs["little"][0]) for probe in probes[: -len(whole)]]
    assert quick and max(quick) <= QUICK


def test_a_trial_counts_programs_to_the_catch() -> None:
    chosen = [MUTANTS[name] for name in ("arm64/div-signed", "arm64/add-4096")]
    last = list(trials(chosen, suite()))[-1]
    assert not last.alive
    assert last.programs == last.catches["arm64/div-signed"].programs
    assert last.catches["arm64/div-signed"].by.startswith("div64_imm ")
    assert last.catches["arm64/add-4096"].by.startswith("add64_imm ")


def test_the_verb(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["mutants", "--by", "suite", "x86_64/div", "s390x/lcgr", "--json"]) == 0
    record = json.loads(capsys.readouterr().out)
    assert record["survivors"] == []
    assert record["scores"]["suite"]["percent"] == 100.0
    assert {row["name"] for row in record["mutants"]} == {
        name for name in MUTANTS if re.search("x86_64/div|lcgr", name)
    }
    assert all(row["suite"]["programs"] > 0 and "fuzz" not in row for row in record["mutants"])


def test_the_verb_says_who_survives(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["mutants", "--by", "fuzz", "--programs", "1", "--target", "arm64", "gotol"]) == 1
    printed = capsys.readouterr().out
    assert "survived: base/gotol-in-16-bits" in printed
    assert "fuzz: 0 of 1 found (0.0 %) in 1 programs" in printed


def test_the_verb_lists(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["mutants", "--list"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == len(MUTANTS) + 1
    assert main(["mutants", "nonsense"]) == 2
    assert "no mutant is named" in capsys.readouterr().err


def test_an_interrupted_verb_shows_what_it_has(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def stops(*arguments: object) -> object:
        for number, standing in enumerate(search_for(*arguments)):  # type: ignore[arg-type]
            if number == 2:
                raise KeyboardInterrupt
            yield standing

    monkeypatch.setattr(verb, "search_for", stops)
    assert main(["mutants", "--by", "suite", "arm64/add-4096", "arm64/div-signed"]) == 130
    printed = capsys.readouterr()
    assert "suite: 1 of 2 found" in printed.out
    assert "interrupted" in printed.err


def test_the_document_names_every_mutant() -> None:
    rows = re.findall(r"^\| `([^`]+)` \|", DOCUMENT.read_text("utf-8"), re.MULTILINE)
    assert [row for row in rows if row not in VERIFIER_MUTANTS] == list(MUTANTS)
