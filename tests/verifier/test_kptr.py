"""Pointers to objects in maps: what may be loaded, stored and exchanged, here and as the live kernel says."""

from __future__ import annotations

import pytest

from bpf.object.btf import VOID, Btf, Kind, Member, Type
from bpf.program import Map
from bpf.spec.program_types import PROGRAM_TYPES
from bpf.text import assemble
from fuzz.parity import logs, oracle
from tests.verifier import live
from verifier import Options, Subject, Verdict, verify


def types(word: str) -> Btf:
    """A map's value: a number, then pointers to a structure: an owned one at 8, one that is not at 16, a lock at 24."""
    lock = Type(Kind.STRUCT, "bpf_spin_lock", 4, members=(Member("val", 1, 0),))
    value = Type(Kind.STRUCT, "value", 32, members=(
        Member("number", 2, 0), Member("owned", 5, 64), Member("loose", 7, 128), Member("lock", 8, 192),
    ))  # fmt: skip
    return Btf((
        VOID, Type(Kind.INT, "unsigned int", 4, bits=32), Type(Kind.INT, "unsigned long", 8, bits=64),
        Type(Kind.STRUCT, word, 8, members=(Member("first", 2, 0),)), Type(Kind.TYPE_TAG, "kptr", type=3),
        Type(Kind.PTR, type=4), Type(Kind.TYPE_TAG, "kptr_untrusted", type=3), Type(Kind.PTR, type=6), lock, value,
    ))  # fmt: skip


LOOKUP = (
    "*(u32 *)(r10 - 4) = 0; r2 = r10; r2 += -4; r1 = map[fd:0]; call 1; if r0 != 0 goto +1; exit; r6 = r0; "
)  # fmt: skip
TAIL = "; r0 = 0; exit"
PROGRAMS = {
    "r7 = *(u64 *)(r6 + 8)": "",
    "r7 = *(u64 *)(r6 + 16)": "",
    "r7 = *(u64 *)(r6 + 8); r8 = *(u64 *)(r7 + 0)": "R7 invalid mem access '{}_or_null_'",
    "r7 = *(u64 *)(r6 + 8); if r7 == 0 goto +1; r8 = *(u64 *)(r7 + 0)": "",
    "r7 = *(u32 *)(r6 + 8)": "kptr access size must be BPF_DW",
    "r7 = *(u8 *)(r6 + 15)": "kptr access misaligned expected=8 off=15",
    "r7 = *(u64 *)(r6 + 12)": "kptr access misaligned expected=8 off=12",
    "*(u64 *)(r6 + 8) = 0": "store to referenced kptr disallowed",
    "r7 = 0; *(u64 *)(r6 + 8) = r7": "store to referenced kptr disallowed",
    "*(u64 *)(r6 + 16) = 0": "",
    "*(u64 *)(r6 + 16) = 1": "BPF_ST imm must be 0 when storing to kptr at off=16",
    "r7 = 0; *(u64 *)(r6 + 16) = r7": "",
    "r7 = 1; *(u64 *)(r6 + 16) = r7": "invalid kptr access, R7 type=scalar expected=ptr_{0} or untrusted_ptr_{0}",
    "*(u64 *)(r6 + 16) = r6": "invalid kptr access, R6 type=map_value expected=ptr_{0} or untrusted_ptr_{0}",
    "r7 = *(u64 *)(r6 + 16); *(u64 *)(r6 + 16) = r7": None,
    "r7 = *(u64 *)(r6 + 16); if r7 == 0 goto +2; r7 += 8; *(u64 *)(r6 + 16) = r7": None,
    "r1 = r6; r1 += 8; r2 = 0; call 194": "Unreleased reference id=2 alloc_insn={}",
    "r1 = r6; r1 += 16; r2 = 0; call 194": "off=16 kptr isn't referenced kptr",
    "r1 = r6; r1 += 4; r2 = 0; call 194": "off=4 doesn't point to kptr",
    "r1 = r6; r1 += 8; r2 = r6; call 194": "R2 type=map_value expected=ptr_, trusted_ptr_, rcu_ptr_",
    "r1 = r6; r1 += 8; r2 = *(u64 *)(r6 + 16); call 194": None,
    "r1 = r6; r1 += 8; r2 = 0; call 194; if r0 == 0 goto +4; r1 = r6; r1 += 8; r2 = r0; call 194": None,
    "r7 = *(u32 *)(r6 + 0); r7 &= 8; r6 += r7; r1 = r6; r2 = 0; call 194":
        "R1 doesn't have constant offset. kptr has to be at the constant offset",
    "r7 = *(u32 *)(r6 + 0); r7 &= 8; r6 += r7; r8 = *(u64 *)(r6 + 8)": "kptr access cannot have variable offset",
    "lock *(u64 *)(r6 + 16) += r1": None,
    "r7 = r6; r7 += 8; *(u64 *)(r10 - 16) = 1; r1 = map[fd:0]; r2 = r7; call 3":
        "kptr cannot be accessed indirectly by helper",
}  # fmt: skip
"""What a program does -> the kernel's sentence, {0} being what the pointers lead to; None: the kernel says it."""


def subject(word: str, text: str) -> Subject:
    """A program with such a map."""
    map_ = Map("m", "array", 4, 32, 1, lock=24, key_type=1, value_type=9)
    code = assemble(LOOKUP + text + TAIL, order="little").encode()
    return Subject(code, "little", PROGRAM_TYPES["sched_cls"], maps=(map_,), btf=types(word))


def decided(word: str, text: str) -> Verdict:
    """What is said here."""
    return verify(subject(word, text), Options(log_level=2))


@pytest.mark.parametrize("text", [text for text, said in PROGRAMS.items() if said is not None and "{}" not in said])
def test_reasons(text: str) -> None:
    said = PROGRAMS[text]
    assert said is not None
    assert decided("own_thing", text).message == said.format("own_thing")


def test_what_a_load_gives() -> None:
    log = decided("own_thing", "r7 = *(u64 *)(r6 + 8); r8 = *(u64 *)(r6 + 16)").log
    assert "R7=rcu_ptr_or_null_own_thing(id=2)" in log
    assert "R8=untrusted_ptr_or_null_own_thing(id=3)" in log


class TestTheLiveKernel:
    """The same programs."""

    pytestmark = live.needs_linux

    @pytest.mark.parametrize("word", ["task_struct", "cgroup", "bpf_cpumask", "own_thing"])
    def test_logs(self, word: str) -> None:
        for text in PROGRAMS:
            given = subject(word, text)
            answer, found = oracle.ask(given, Options(log_level=2)), decided(word, text)
            assert (found.errno, found.message.split("\n")[-1]) == (answer.errno, answer.message), text
            if "r2 = 0; call 194" in text:  # we mark the null precise (docs/parity.md), and say so
                continue
            here, there = logs.read(found.log), logs.read(answer.log)
            at = logs.first_difference(there, here)
            assert at < 0, (text, there.lines[at : at + 1], here.lines[at : at + 1])
