"""Loaders without CAP_PERFMON, and without any capability: their own sentences, nothing that shows an address."""

from __future__ import annotations

import sys
from contextlib import suppress
from dataclasses import replace
from random import Random

import pytest

from bpf.program import Program
from bpf.text import assemble
from fuzz import genome, leaks, masked, soundness
from fuzz.parity import live, oracle
from fuzz.parity.judging import last
from runtime import verifying
from tests.verifier.less_privileged import BPF, CASES, EVERYTHING, MAPS, NOBODY, PACKET, VALUE, Case
from tests.verifier.live import needs_linux
from verifier import Options, Subject, verify
from vm.world import Input, World

WHO = {"everything": EVERYTHING, "bpf": BPF, "nobody": NOBODY}
GIVEN = Input(packet=bytes(range(64)), stack_fill=0xA5)
NAMES = [case.name for case in CASES]


def made(case: Case, caps: frozenset[str]) -> Subject:
    """As a loader with some capabilities may load it."""
    return verifying.subject(program(case.text), case.kind if caps else "socket_filter")


def program(text: str) -> Program:
    return replace(assemble(text, order=sys.byteorder), maps=MAPS, lines={})


@pytest.mark.parametrize("who", WHO)
@pytest.mark.parametrize("case", CASES, ids=NAMES)
def test_sentences(case: Case, who: str) -> None:
    verdict = verify(made(case, WHO[who]), Options(WHO[who], log_level=0))
    said = f"{verdict.errno} {last(verdict.message)}" if verdict.errno else ""
    assert said == getattr(case, who)


def test_capabilities_add_up() -> None:
    """Who has more capabilities is refused nothing that others are allowed."""
    for case in CASES:
        assert not case.everything or case.bpf, case.name
        assert not case.bpf or case.nobody, case.name


class TestMispredictedPaths:
    """Paths that only a processor takes."""

    def log(self, text: str, caps: frozenset[str] = BPF) -> list[str]:
        verdict = verify(verifying.subject(program(text), "sched_cls"), Options(caps, log_level=2))
        assert verdict.accepted, verdict.message
        return verdict.log.splitlines()

    def test_they_are_looked_at(self) -> None:
        """Of a known comparison the other way, with unknown operands; what fails there is said, and fails nothing."""
        text = "r0 = 0; if r0 == 0 goto +1; r0 = *(u64 *)(r0 + 0); r0 = 0; exit"
        lines = self.log(text)
        at = lines.index("from 1 to 2 (speculative execution): R0=scalar() R1=ctx() R10=fp0")
        assert "R0 invalid mem access 'scalar'" in lines[at:]
        assert not any("speculative" in line for line in self.log(text, EVERYTHING))

    def test_a_moved_pointer_is_also_left_where_it_was(self) -> None:
        """As if the number were nothing."""
        text = VALUE + "r2 = *(u64 *)(r9 + 0); r2 &= 31; r9 += r2; r0 = *(u8 *)(r9 + 0); r0 = 0; exit"
        lines = self.log(text)
        left = [line for line in lines if line.startswith("from 4 to 5 (speculative execution): ")]
        assert len(left) == 1
        assert left[0].endswith(" R9=map_value(map=data,ks=4,vs=64) R10=fp0")
        assert not any("speculative" in line for line in self.log(text, EVERYTHING))

    def test_they_end_behind_a_store_that_bypasses(self) -> None:
        """A store of a pointer may be overtaken by a load: nothing is run by misprediction behind it."""
        text = "r0 = 0; if r0 == 0 goto +2; *(u64 *)(r10 - 8) = r1; r0 = *(u64 *)(r0 + 0); r0 = 0; exit"
        lines = self.log(text)
        assert any(line.startswith("2: (7b)") for line in lines)
        assert not any(line.startswith("3: (79)") for line in lines)


def test_bytes_that_were_never_written_stay_so() -> None:
    """A register spilled in part of a slot does not make the rest of it readable."""
    text = "*(u32 *)(r10 - 8) = 1; r0 = *(u32 *)(r10 - 4); r0 = 0; exit"
    verdict = verify(verifying.subject(program(text), "sched_cls"), Options(BPF))
    assert verdict.message.startswith("invalid read from stack off -4+0 size 4")


def test_spilled_registers_end_where_a_store_may_reach() -> None:
    """Whoever asks: a whole slot that a store at an unknown offset may touch is data then, and is read as such."""
    store = (
        VALUE
        + "r2 = *(u64 *)(r9 + 0); *(u64 *)(r10 - 8) = r2; r2 &= 3; r4 = r10; r4 += -7; r4 += r2; *(u8 *)(r4 + 0) = 1; "
    )
    verdict = verify(
        verifying.subject(program(store + "r0 = *(u64 *)(r10 - 8); r0 = 0; exit"), "sched_cls"), Options(log_level=2)
    )
    assert verdict.accepted
    assert "fp-8=mmmmmmmm" in verdict.log


class TestRuns:
    """What such a loader's programs do."""

    def test_a_leak_is_seen(self) -> None:
        """Of each sort; by runs at other addresses."""
        for text, where in (
            ("r0 = r10; exit", "R0"),
            (VALUE + "*(u64 *)(r9 + 0) = r10; r0 = 0; exit", "maps"),
            (PACKET + "r2 = r10; r2 >>= 32; *(u8 *)(r7 + 0) = r2; r0 = 0; exit", "packet"),
            ("*(u32 *)(r1 + 48) = r10; r0 = 0; exit", "context"),
            (VALUE + "r0 = *(u64 *)(r9 + 0); exit", ""),
        ):
            assert leaks.leak(program(text), "sched_cls", GIVEN, World()).partition(" depends")[0] == where

    def test_accepted_programs(self) -> None:
        assert _accepted(range(80)) > 10

    @pytest.mark.deep
    def test_many_accepted_programs(self) -> None:
        """They do nothing that the verifier thought impossible, and show no address."""
        assert _accepted(range(1000, 7000)) > 1000


def _accepted(seeds: range) -> int:
    """Run what is accepted of a loader without CAP_PERFMON: how many programs that are."""
    count = 0
    options = soundness.strict(Options(BPF, log_level=0))
    for seed in seeds:
        found = masked.decode(genome.draw(Random(seed), 8), sys.byteorder)
        explored = soundness.explore(found, "sched_cls", options)
        if explored.verdict.accepted:
            count += 1
            assert soundness.check(found, "sched_cls", explored, GIVEN, World()) is None, seed
            assert not leaks.leak(found, "sched_cls", GIVEN, World()), seed
    return count


def test_genome_is_total() -> None:
    """Any numbers are a program, the same one each time."""
    for numbers in ((), (0,), (1 << 64, -1, 5), tuple(range(100))):
        assert masked.decode(numbers).insns == masked.decode(numbers).insns


class TestLive:
    """The live kernel asked the same."""

    pytestmark = needs_linux

    @pytest.mark.parametrize("who", ["everything", "bpf"])
    def test_sentences(self, who: str) -> None:
        for case in CASES:
            answer = oracle.ask(made(case, WHO[who]), Options(WHO[who], log_level=1))
            said = f"{answer.errno} {answer.message}" if answer.errno else ""
            assert said == getattr(case, who), case.name

    def test_generated(self) -> None:
        """Verdict, errno and sentence are the same for all; of a hundred logs at most one differs."""
        _agree(150, 1)

    @pytest.mark.deep
    def test_many_generated(self) -> None:
        _agree(6000, 20)


def _agree(count: int, most: int) -> None:
    score = live.Score()
    options = Options(BPF, log_level=0, seconds=60.0, cpus=live.CPUS)
    for seed in range(count):
        with suppress(OSError):  # a map that the kernel does not make
            live.compare(score, live.PROFILES["masked"](Random(seed)), options, f"seed {seed}", 20_000, True)
    assert [line for line in score.lines if line[0] != "log"] == []
    assert len(score.lines) <= most
    assert score.all > count * 0.9
