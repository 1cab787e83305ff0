"""Calls of kernel functions, dynptrs, iterators, regions, callbacks: verdicts and sentences that the live kernel gave.

The table is tests/data/verifier/kfunc_programs.txt; where the live kernel is there, it is asked again, log and all.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import pytest

from bpf.object.btf import Btf, Kind, Param, Type
from bpf.spec.kfunc_signatures import ITERATORS, SIGNATURES
from fuzz.parity import logs, oracle
from tests import live_kernel
from tests.verifier import kfunc_programs, live
from verifier import Options, Subject, kernel_types, verify
from verifier.rules import attached_to

CALLERS = (
    "socket_filter", "sched_cls", "sched_act", "xdp", "kprobe", "tracepoint", "perf_event", "raw_tracepoint", "tracing",
    "cgroup_skb", "cgroup_device", "cgroup_sysctl", "sock_ops", "sk_skb", "sk_msg", "lwt_in", "syscall",
    "netfilter", "cgroup_sock_addr", "flow_dissector",
)  # fmt: skip
REGISTERS = (
    "", "r1 = 1; r2 = 2; r3 = 3; r4 = 4; r5 = 5; ", "r1 = 0; r2 = 0; r3 = 0; r4 = 0; r5 = 0; ",
    "r1 = r10; r1 += -16; r2 = r1; r3 = r1; r4 = r1; r5 = r1; ", "r2 = r1; r3 = r1; r4 = r1; r5 = r1; ",
    "r1 = map[fd:0]; r2 = r1; r3 = r1; r4 = r1; r5 = r1; ", "r1 = r10; r1 += -16; r2 = r1; r3 = 8; r4 = r1; r5 = 8; ",
)  # fmt: skip
"""What is in the registers of a call."""
TABLE = Path(__file__).parents[1] / "data" / "verifier" / "kfunc_programs.txt"

GIVES_NULL = re.compile(r"r2 = 0; r3 = 0; (?:r4 = \w+; )*call @bpf_(?:iter_task_new|dynptr_slice)")
"""A null for an argument that may be null: it is marked precise here (docs/parity.md), which the log shows."""


class Case(NamedTuple):
    """A program and what the kernel said of it. typed: the answer hangs on the kernel's types."""

    kind: str
    text: str
    errno: int
    message: str
    typed: bool


def cases() -> Iterator[Case]:
    """The table's."""
    words: dict[str, str] = {}
    for line in TABLE.read_text("utf-8").splitlines():
        if not line or line.startswith("#"):
            continue
        if " | " not in line:
            word, _, text = line.partition(" = ")
            words[word] = text
            continue
        kind, said, text = line.split(" | ", 2)
        kind, _, types = kind.partition("+")
        errno, _, message = said.partition(" ")
        yield Case(kind, _expanded(text, words), int(errno), message, bool(types))


def _expanded(text: str, words: dict[str, str]) -> str:
    while "<" in re.sub(r"<[<=]?[ =]", "", text):
        before = text
        text = re.sub(r"<(\w+)>;?", lambda match: words[match[1]] + "; ", text)
        if text == before:
            break
    return text.strip().rstrip(";")


CASES = tuple(cases())


def answer(case: Case) -> tuple[int, str]:
    """Errno and last sentence."""
    found = verify(kfunc_programs.subject(case.kind, case.text), Options(log_level=0))
    return found.errno, found.message.split("\n")[-1]


class TestRecorded:
    """What the kernel said."""

    def test_there_are_many(self) -> None:
        assert len(CASES) > 300
        assert sum(not case.typed for case in CASES) > 250

    def test_without_the_kernels_types(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(kernel_types, "PATH", Path("/nowhere"))
        kernel_types.kernel_types.cache_clear()
        try:
            for case in CASES:
                if not case.typed:
                    assert answer(case) == (case.errno, case.message), case.text
        finally:
            kernel_types.kernel_types.cache_clear()

    @pytest.mark.skipif(not live.KNOWN, reason="the answers hang on the types of Linux 6.18")
    def test_with_them(self) -> None:
        if kernel_types.kernel_types() is None:
            pytest.skip("the kernel shows no types")
        for case in CASES:
            if case.typed:
                assert answer(case) == (case.errno, case.message), case.text

    def test_what_breaks_the_kernel_is_refused(self) -> None:
        """Not to be shown to a live kernel."""
        value = "*(u32 *)(r10 - 4) = 0; r2 = r10; r2 += -4; r1 = map[fd:6]; call 1; if r0 != 0 goto +1; exit; r1 = r0; "
        found = verify(
            kfunc_programs.subject("sched_cls", value + "r2 = map[fd:0]; r3 = 0; call @bpf_wq_init; r0 = 0; exit")
        )
        said = "workqueue pointer in R1 map_uid=0 doesn't match map pointer in R2 map_uid=0"
        assert (found.errno, found.message) == (22, said)

    @pytest.mark.skipif(not live.KNOWN, reason="the answers hang on the types of Linux 6.18")
    def test_a_number_is_not_null_because_another_path_has_null(self) -> None:
        """A state with a null that is not precise would cover one with a 5: Linux 6.18 takes it for a task."""
        text = "call @bpf_rcu_read_lock; call 7; r6 = r0; call 7; r2 = 5; if r0 == 77 goto +1; r2 = 0; {}; r1 = r10; "
        text += "r1 += -24; r3 = 0; call @bpf_iter_task_new; r1 = r10; r1 += -24; call @bpf_iter_task_destroy; "
        long = "; ".join(["if r6 == 100 goto +0"] * 4 + ["r4 = 1"] * 8)  # enough for a state to be stored behind it
        found = verify(kfunc_programs.subject("tracing", text.format(long) + "call @bpf_rcu_read_unlock; r0 = 0; exit"))
        assert "pointer type STRUCT task_struct must point to" in found.message


class TestTheLiveKernel:
    """Verdict, sentence and the whole log."""

    pytestmark = live.needs_linux

    @staticmethod
    def same(case: Case) -> None:
        subject = kfunc_programs.subject(case.kind, case.text)
        options = Options(log_level=2)
        kernel, found = oracle.ask(subject, options), verify(subject, options)
        assert (found.errno, found.message.split("\n")[-1]) == (kernel.errno, kernel.message), case.text
        if GIVES_NULL.search(case.text):
            return
        here, there = logs.read(found.log), logs.read(kernel.log)
        at = logs.first_difference(there, here)
        assert at < 0, (case.text, there.lines[at : at + 1], here.lines[at : at + 1])

    def test_some(self) -> None:
        for case in CASES[::6]:
            self.same(case)

    @pytest.mark.deep
    def test_all(self) -> None:
        for case in CASES:
            self.same(case)

    @pytest.mark.deep
    @pytest.mark.parametrize("kind", CALLERS)
    def test_arguments_of_all_kinds(self, kind: str) -> None:
        """Each function that is no part of a workqueue, with the same thing in all registers."""
        for name in SIGNATURES:
            if "_wq_" in name or "task_work" in name:  # the kernel may fall over what is no map of them
                continue
            for registers in REGISTERS:
                subject = kfunc_programs.subject(kind, f"{registers}call @{name}; r0 = 0; exit")
                kernel, found = oracle.ask(subject, Options()), verify(subject, Options())
                said = found.message.split("\n")[-1]
                assert (found.errno, said) == (kernel.errno, kernel.message), (kind, name, registers)

    @pytest.mark.deep
    @pytest.mark.parametrize("kind", CALLERS)
    def test_who_may_call(self, kind: str) -> None:
        for name, one in SIGNATURES.items():
            subject = kfunc_programs.subject(kind, f"call @{name}; r0 = 0; exit")
            message = oracle.ask(subject, Options()).message
            if "device-bound" not in message:
                refused = message == f"calling kernel function {name} is not allowed"
                assert refused != one.allows(kind, attached_to(subject)), (kind, name, message)


class TestTheTable:
    """bpf/spec/kfunc_signatures.py."""

    def test_what_names_mean(self) -> None:
        one = SIGNATURES["bpf_dynptr_slice"]
        assert [parameter.suffix for parameter in one.parameters] == ["", "", "opt", "szk"]
        assert one.may_be_null
        assert one.result.pointer
        assert one.parameters[0].struct == "bpf_dynptr"

    def test_who_may_call(self) -> None:
        assert SIGNATURES["bpf_dynptr_size"].allows("socket_filter", "")
        assert not SIGNATURES["bpf_throw"].allows("socket_filter", "")
        assert SIGNATURES["bpf_sock_destroy"].allows("tracing", "trace_iter")
        assert not SIGNATURES["bpf_sock_destroy"].allows("tracing", "trace_raw_tp")

    def test_iterators_have_three_functions(self) -> None:
        steps = {one.step for one in SIGNATURES.values() if one.step[0]}
        assert steps == {(kind, step) for kind in ITERATORS for step in ("new", "next", "destroy")}


THROWS = (
    ("sched_cls", "r1 = 1; call @bpf_throw; r0 = 0; exit; r0 = r1; exit", 4, 1, ""),
    ("sched_cls", "r1 = 1; call @bpf_throw; r0 = 0; exit; r0 = 0; exit", 4, 2,
     "exception cb only supports single integer argument"),
    ("sched_cls", "r1 = 1; call @bpf_throw; r0 = 0; exit; r0 = 0; exit", 4, 0,
     "exception cb only supports single integer argument"),
    ("cgroup_skb", "r1 = 1; call @bpf_throw; r0 = 0; exit; r0 = 9; exit", 4, 1,
     "At program exit the register R0 has smin=9 smax=9 should have been in [0, 1]"),
    ("cgroup_skb", "call 7; r1 = r0; call @bpf_throw; r0 = 0; exit; r0 = 0; exit", 5, 1, ""),
    ("sched_cls", "r1 = 1; r0 = 0; exit; call @bpf_throw; r0 = 0; exit", 3, 1,
     "bpf_throw kfunc (insn 3) cannot be called from callback subprog 1"),
)  # fmt: skip
"""Type, program, the slot where its exception callback starts, how many numbers that takes, the kernel's sentence."""


class TestExceptions:
    """A function that a tag names runs when something is thrown; it is verified on its own."""

    @staticmethod
    def thrown(kind: str, text: str, start: int, count: int) -> Subject:
        made = kfunc_programs.subject(kind, text)
        assert made.btf is not None
        types = [one for one in made.btf.types if one.kind is not Kind.FUNC]
        plain = len(types) - 1
        types.append(Type(Kind.FUNC_PROTO, "", type=1, params=tuple(Param(f"a{at}", 2) for at in range(count))))
        numbers = {0: len(types), start: len(types) + 1}
        types.append(Type(Kind.FUNC, "main", type=plain))
        types.append(Type(Kind.FUNC, "thrown", type=len(types) - 2, linkage=1))
        types.append(Type(Kind.DECL_TAG, "exception_callback:thrown", type=numbers[0], component=-1))
        return replace(made, btf=Btf(tuple(types)), types=numbers)

    @pytest.mark.parametrize(("kind", "text", "start", "count", "said"), THROWS)
    def test_callback(self, kind: str, text: str, start: int, count: int, said: str) -> None:
        found = verify(self.thrown(kind, text, start, count))
        assert (found.accepted, found.message.split("\n")[-1]) == (not said, said)

    @pytest.mark.parametrize(("kind", "text", "start", "count", "said"), THROWS)
    @live_kernel.live
    @pytest.mark.skipif(not live.KNOWN, reason="the rules are those of Linux 6.18")
    def test_live(self, kind: str, text: str, start: int, count: int, said: str) -> None:
        subject, options = self.thrown(kind, text, start, count), Options(log_level=2)
        kernel, found = oracle.ask(subject, options), verify(subject, options)
        assert kernel.message == said
        assert logs.first_difference(logs.read(kernel.log), logs.read(found.log)) < 0
