"""Programs with pointers to the kernel's objects: verdict, reason and the whole log are the live kernel's."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import pytest

from bpf.object.btf import Kind
from bpf.program import Map
from bpf.spec.attach import ATTACH_TYPES
from bpf.spec.program_types import PROGRAM_TYPES
from bpf.text import assemble
from fuzz.parity import logs, oracle
from tests.verifier import live
from verifier import Options, Subject, verify
from verifier.kernel_types import kernel_types


class Kindred(NamedTuple):
    """Programs of a type: how they get a pointer into R7 (each `sources`), and what they do with it."""

    kind: str
    attach: str
    target: str
    sources: tuple[str, ...]
    sleepable: bool = False


LOADS = (
    "r0 = *(u64 *)(r7 + 0)", "r0 = *(u32 *)(r7 + 24)", "*(u32 *)(r7 + 0) = 0", "r0 = *(u64 *)(r7 - 8)",
    "*(u64 *)(r10 - 8) = r7; r0 = *(u64 *)(r10 - 8); r0 = *(u64 *)(r0 + 16)", "r0 = *(u8 *)(r7 + 3)",
    "if r7 == 0 goto +1; r0 = *(u64 *)(r7 + 48)", "r7 += 8; r0 = *(u64 *)(r7 + 16)", "r7 += -8; r0 = *(u32 *)(r7 + 16)",
    "lock *(u64 *)(r7 + 0) += r1", "r0 = *(u64 *)(r7 + 24); r0 = *(u64 *)(r0 + 0)", "r0 = *(s16 *)(r7 + 16)",
    "r8 = *(u32 *)(r7 + 16); r8 &= 7; r7 += r8; r0 = *(u8 *)(r7 + 0)", "r0 = *(u64 *)(r7 + 4)", "r7 = -r7", "r7 <<= 1",
    "*(u64 *)(r10 - 8) = r7; r0 = *(u32 *)(r10 - 8)", "if r7 != 0 goto +1; r0 = *(u64 *)(r7 + 0)", "w8 = w7",
)  # fmt: skip
CALLS = {
    141: "r2 = r10; r2 += -16; r3 = 8; r4 = 0; ", 175: "", 111: "r2 = 0; ", 136: "", 137: "", 162: "", 35: "", 153: "",
    86: "", 95: "", 96: "", 128: "", 46: "", 47: "", 126: "r2 = r10; r2 += -16; r3 = 8; r4 = 0; r5 = 0; ", 188: "",
    127: "r2 = r10; r2 += -16; r3 = 8; ", 116: "r2 = 0; ", 154: "", 113: "r2 = 8; r3 = r7; ", 124: "r2 = r7; r3 = 0; ",
}  # fmt: skip
ENDS = (
    "r0 = 0; exit", "r8 = *(u64 *)(r0 + 8); r0 = 0; exit",
    "if r0 == 0 goto +1; r8 = *(u32 *)(r0 + 0); r0 = 0; exit",
)  # fmt: skip
TASK = "r7 = *(u64 *)(r1 + 8); "
SOCK = "r7 = *(u64 *)(r1 + 168); "
SOME_SOCK = SOCK + "if r7 != 0 goto +2; r0 = 0; exit; "
FAMILIES = (
    Kindred("tracing", "trace_raw_tp", "sched_switch", (
        TASK, "r7 = 0; ", TASK + "r7 = *(u64 *)(r7 + {task_struct.cgroups}); ",
        TASK + "r7 = *(u64 *)(r7 + {task_struct.mm}); ", TASK + "r7 = *(u64 *)(r7 + {task_struct.real_parent}); ",
        TASK + "r7 += 16; ", TASK + "r8 = *(u32 *)(r7 + 20); r8 &= 7; r7 += r8; ", "r7 = r10; r7 += -16; ", "r7 = r1; ",
        "call 158; r7 = r0; ", "r7 = *(u64 *)(r1 + 0); ", TASK + "r7 = *(u64 *)(r7 + {task_struct.files}); ",
        TASK + "r7 = *(u64 *)(r7 + {task_struct.cpus_ptr}); ", TASK + "r7 = *(u64 *)(r7 + {task_struct.stack}); ",
    )),
    Kindred("tracing", "trace_iter", "task", (
        TASK, "r7 = *(u64 *)(r1 + 0); ", "r7 = *(u64 *)(r1 + 0); r7 = *(u64 *)(r7 + 0); ",
        TASK + "if r7 == 0 goto +1; r7 = *(u64 *)(r7 + {task_struct.real_parent}); ",
    ), sleepable=True),
    Kindred("tracing", "trace_iter", "task_file", (
        "r7 = *(u64 *)(r1 + 24); ", "r7 = *(u64 *)(r1 + 8); ",
        "r7 = *(u64 *)(r1 + 24); if r7 == 0 goto +1; r7 = *(u64 *)(r7 + {file.f_inode}); ",
    )),
    Kindred("tracing", "trace_iter", "bpf_map_elem", ("r7 = *(u64 *)(r1 + 16); ", "r7 = *(u64 *)(r1 + 24); ")),
    Kindred("tracing", "trace_iter", "tcp", ("r7 = *(u64 *)(r1 + 8); ", "r7 = *(u64 *)(r1 + 16); ")),
    Kindred("netfilter", "netfilter", "", (
        TASK, "r7 = *(u64 *)(r1 + 0); ", TASK + "r7 = *(u64 *)(r7 + {sk_buff.sk}); ",
        "r7 = *(u64 *)(r1 + 0); r7 = *(u64 *)(r7 + {nf_hook_state.in}); ",
    )),
    Kindred("sched_cls", "", "", (
        SOCK, SOME_SOCK, SOME_SOCK + "r1 = r7; call 137; r7 = r0; ", SOME_SOCK + "r1 = r7; call 95; r7 = r0; ",
        SOME_SOCK + "r1 = r7; call 137; if r0 != 0 goto +1; exit; r7 = r0; ", "r7 = map[fd:0]; ",
        SOME_SOCK + "r1 = r7; call 96; if r0 != 0 goto +1; exit; r7 = r0; ",
    )),
    Kindred("struct_ops", "cgroup_inet_ingress", "tcp_congestion_ops", ("r7 = *(u64 *)(r1 + 0); ", "r7 = r1; ")),
)  # fmt: skip


def offsets() -> dict[str, object]:
    """The members that sources name: struct -> something with the offsets as attributes."""
    types = kernel_types()
    assert types is not None
    found: dict[str, object] = {}
    for word in ("task_struct", "file", "sk_buff", "nf_hook_state"):
        number = types.find(word, Kind.STRUCT)
        assert number is not None
        found[word] = type(word, (), _members(types, number, 0))
    return found


def _members(types: object, number: int, base: int) -> dict[str, int]:
    found: dict[str, int] = {}
    for one in types[number].members:  # type: ignore[index]
        at = base + one.offset // 8
        inner = types.strip(one.type)  # type: ignore[attr-defined]
        if not one.name and types[inner].members:  # type: ignore[index]
            found.update(_members(types, inner, at))
        found[one.name] = at
    return found


def programs(family: Kindred) -> Iterator[str]:
    """All programs of a family."""
    where = offsets()
    begin = "*(u64 *)(r10 - 16) = 0; *(u64 *)(r10 - 8) = 0; "
    for source in family.sources:
        start = source.format(**where)
        for load in LOADS:
            yield f"{start}{load}; r0 = 0; exit"
        for number, rest in CALLS.items():
            for end in ENDS:
                yield f"{begin}{start}r1 = r7; {rest}call {number}; {end}"


class TestTheLiveKernel:
    """Whole logs."""

    pytestmark = live.needs_linux

    def test_logs_here_and_there(self) -> None:
        for number, family in enumerate(FAMILIES):
            for turn, text in enumerate(programs(family)):
                if turn % 41 == number:
                    self.same(family, text)

    @pytest.mark.deep
    @pytest.mark.parametrize("family", FAMILIES, ids=lambda family: f"{family.kind}-{family.target}")
    def test_logs(self, family: Kindred) -> None:
        for text in programs(family):
            self.same(family, text)

    def same(self, family: Kindred, text: str) -> None:
        """Verdict and log of a program are the kernel's."""
        insns = assemble(text, order="little")
        subject = Subject(
            insns.encode(), "little", PROGRAM_TYPES[family.kind], ATTACH_TYPES.get(family.attach, 0),
            maps=(Map("m", "array", 4, 16, 2),) if "map[fd" in text else (), target=family.target,
            sleepable=family.sleepable,
        )  # fmt: skip
        options = Options(log_level=2)
        answer, found = oracle.ask(subject, options), verify(subject, options)
        assert (found.errno, found.message.split("\n")[-1]) == (answer.errno, answer.message), text
        if "r7 = 0;" in text:
            return  # a null that is taken is marked precise, and Linux's is not (docs/parity.md)
        here, there = logs.read(found.log), logs.read(answer.log)
        at = logs.first_difference(there, here)
        assert at < 0, (text, there.lines[at : at + 1], here.lines[at : at + 1])
