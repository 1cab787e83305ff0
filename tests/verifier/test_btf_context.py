"""Contexts that are a function's arguments: on types made here, and as the live kernel says for its own."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from bpf.object.btf import VOID, Btf, Kind, Member, Param, Type
from bpf.spec.attach import ATTACH_TYPES
from bpf.spec.program_types import PROGRAM_TYPES
from bpf.spec.traced import ITERATORS, NULLABLE
from tests.verifier import live
from verifier import btf_context
from verifier.context import access, invalid
from verifier.kernel_types import kernel_types
from verifier.options import Options
from verifier.rejection import Rejection
from verifier.subject import Subject
from verifier.types import name

INT, TASK, TO_TASK, TO_INT, PROTO, NAMED, POINTER, WIDE, TO_PROTO, USERS, TO_USERS, HOOK, MEMBER, OPS, SOCK, TO_SOCK = (
    range(1, 17)
)
PRIVILEGED = Options()


def types() -> Btf:
    """A tracepoint, an LSM hook, a function and a structure of functions."""
    params = (
        Param("", TO_INT), Param("task", TO_TASK), Param("count", INT), Param("number", TO_INT), Param("wide", WIDE),
        Param("user", TO_USERS), Param("call", TO_PROTO), Param("other", TO_TASK),
    )  # fmt: skip
    found = {
        INT: Type(Kind.INT, "int", 4, bits=32),
        TASK: Type(Kind.STRUCT, "task_struct", 64),
        TO_TASK: Type(Kind.PTR, type=TASK),
        TO_INT: Type(Kind.PTR, type=INT),
        PROTO: Type(Kind.FUNC_PROTO, params=params),
        NAMED: Type(Kind.TYPEDEF, "btf_trace_sched_pi_setprio", type=POINTER),
        POINTER: Type(Kind.PTR, type=PROTO),
        WIDE: Type(Kind.STRUCT, "wide", 16),
        TO_PROTO: Type(Kind.PTR, type=PROTO),
        USERS: Type(Kind.TYPE_TAG, "user", type=TASK),
        TO_USERS: Type(Kind.PTR, type=USERS),
        HOOK: Type(Kind.FUNC_PROTO, type=INT, params=(Param("task", TO_TASK), Param("sock", TO_SOCK))),
        MEMBER: Type(Kind.PTR, type=HOOK),
        OPS: Type(Kind.STRUCT, "tcp_congestion_ops", 24, members=(
            Member("ssthresh", MEMBER, 0), Member("get_info", MEMBER, 64), Member("flags", INT, 128),
        )),
        SOCK: Type(Kind.STRUCT, "sock", 64),
        TO_SOCK: Type(Kind.PTR, type=SOCK),
    }  # fmt: skip
    more = (
        Type(Kind.FUNC, "bpf_lsm_task_alloc", type=HOOK), Type(Kind.FUNC, "bpf_lsm_task_free", type=HOOK),
        Type(Kind.STRUCT, "bpf_struct_ops_tcp_congestion_ops", 64), Type(Kind.STRUCT, "tcp_sock", 64),
        Type(Kind.FUNC, "bpf_iter_task", type=HOOK), Type(Kind.FUNC, "bpf_iter_nothing", type=HOOK),
        Type(Kind.FUNC_PROTO, params=(Param("sk__nullable", TO_SOCK), Param("none", 0))),
        Type(Kind.FUNC, "tcp_congestion_ops__ssthresh", type=23),
        Type(Kind.TYPEDEF, "btf_trace_sched_switch", type=POINTER),
        Type(Kind.FUNC, "bpf_lsm_getprocattr", type=HOOK),
    )  # fmt: skip
    return Btf((VOID, *(found[number] for number in range(1, 17)), *more))


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> Btf:
    """The kernel has the types that are made here."""
    found = types()
    monkeypatch.setattr(btf_context, "kernel_types", lambda: found)
    monkeypatch.setattr(btf_context, "_targets", {})
    return found


def subject(kind: str, attach: int | str, target: str, *, license_: str = "GPL", sleepable: bool = False) -> Subject:
    """A program that is attached to something."""
    number = attach if isinstance(attach, int) else ATTACH_TYPES[attach]
    return Subject(b"", "little", PROGRAM_TYPES[kind], number, license=license_, sleepable=sleepable, target=target)


def loaded(types_: Btf, given: Subject, off: int, size: int = 8) -> str:
    """What a load gives, or why it is refused."""
    found = access(given, off, size, False, PRIVILEGED)
    if found is None:
        return invalid(given, off, size, False)
    return name(found.type) + (types_[found.id].name if found.id else "")


def test_arguments_of_a_tracepoint(made: Btf) -> None:
    given = subject("tracing", "trace_raw_tp", "sched_switch")
    assert loaded(made, given, 0) == "trusted_ptr_task_struct"
    found = access(given, 0, 8, False, PRIVILEGED)
    assert found is not None
    assert found.note == f"func 'sched_switch' arg0 has btf_id {TASK} type STRUCT 'task_struct'"
    assert loaded(made, given, 8) == loaded(made, given, 8, 4) == loaded(made, given, 16) == "scalar"
    assert loaded(made, given, 40) == "user_trusted_ptr_task_struct"
    end = "\ninvalid bpf_context access off={} size={}"
    said = "func 'sched_switch' arg5 type FUNC_PROTO is not a struct"
    assert loaded(made, given, 48) == said + end.format(48, 8)
    assert loaded(made, given, 0, 4) == "func 'sched_switch' size 4 must be 8" + end.format(0, 4)
    assert loaded(made, given, 4, 4) == "func 'sched_switch' offset 4 is not multiple of 8" + end.format(4, 4)
    assert loaded(made, given, 72) == "func 'sched_switch' doesn't have 10-th argument" + end.format(72, 8)
    assert loaded(made, given, 96) == end.format(96, 8).strip()
    assert access(given, 0, 8, True, PRIVILEGED) is None


def test_arguments_that_may_be_null(made: Btf) -> None:
    assert NULLABLE["sched_pi_setprio"] == (1,)
    given = subject("tracing", "trace_raw_tp", "btf_trace_sched_pi_setprio")
    assert loaded(made, given, 0) == "trusted_ptr_task_struct"
    assert loaded(made, given, 8) == "scalar"


def test_hooks(made: Btf) -> None:
    given = subject("lsm", "lsm_mac", "task_alloc")
    assert loaded(made, given, 0) == "trusted_ptr_task_struct"
    result = access(given, 16, 8, False, PRIVILEGED)
    assert result is not None
    assert (result.low, result.high) == (-4095, 0)
    assert loaded(made, subject("lsm", "lsm_mac", "bpf_lsm_task_free"), 0) == "ptr_task_struct"
    with pytest.raises(Rejection, match="LSM programs must have a GPL compatible license"):
        btf_context.check_target(subject("lsm", "lsm_mac", "task_alloc", license_="BSD"))


def test_hooks_that_nobody_can_have(made: Btf) -> None:
    said = "attach_btf_id 26 points to disabled hook bpf_lsm_getprocattr"
    assert refused(subject("lsm", "lsm_mac", "getprocattr")) == (22, said)


def test_iterators(made: Btf) -> None:
    given = subject("tracing", "trace_iter", "task")
    assert loaded(made, given, 0) == "trusted_ptr_task_struct"
    assert loaded(made, given, 8) == "trusted_ptr_or_null_sock"
    with pytest.raises(Rejection) as found:
        btf_context.check_target(subject("tracing", "trace_iter", "nothing"))
    assert (found.value.errno, found.value.message) == (22, "")


def refused(given: Subject) -> tuple[int, str]:
    """Errno and sentence of a program that cannot be attached."""
    with pytest.raises(Rejection) as found:
        btf_context.check_target(given)
    return found.value.errno, found.value.message


def test_structures_of_functions(made: Btf) -> None:
    ops = "tcp_congestion_ops"
    given = subject("struct_ops", 0, ops)
    btf_context.check_target(given)
    assert loaded(made, given, 0) == "trusted_ptr_or_null_task_struct"
    assert loaded(made, given, 8) == "trusted_ptr_tcp_sock"
    assert btf_context.result_kind(given) is Kind.INT
    assert refused(subject("struct_ops", 1, ops)) == (524, f"attach to unsupported member get_info of struct {ops}")
    assert refused(subject("struct_ops", 2, ops)) == (22, f"attach to invalid member flags(@idx 2) of struct {ops}")
    assert refused(subject("struct_ops", 3, ops)) == (22, f"attach to invalid member idx 3 of struct {ops}")
    assert refused(subject("struct_ops", 0, "sock")) == (524, f"attach_btf_id {SOCK} is not a supported struct")
    assert refused(subject("struct_ops", 0, "")) == (524, "")
    said = "struct ops programs must have a GPL compatible license"
    assert refused(subject("struct_ops", 0, ops, license_="BSD")) == (22, said)


def test_targets() -> None:
    assert refused(subject("tracing", "trace_raw_tp", "")) == (22, "Tracing programs must provide btf_id")
    assert refused(subject("ext", 0, "")) == (22, "Tracing programs must provide btf_id")
    assert refused(subject("ext", 0, "tcp_connect")) == (22, "Cannot replace kernel functions")


def tracepoints(step: int) -> list[str]:
    """Some of the kernel's tracepoints."""
    found = kernel_types()
    assert found is not None
    words = sorted({word.decode() for word in re.findall(rb"\0btf_trace_(\w+)(?=\0)", found.strings)})
    return [word for word in words[::step] if found.find("btf_trace_" + word, Kind.TYPEDEF)]


class TestTheLiveKernel:
    """Arguments of all tracepoints, iterators and functions that a program can be."""

    pytestmark = live.needs_linux

    def test_tracepoints_here_and_there(self) -> None:
        for number, word in enumerate(tracepoints(29)):
            self.same(subject("tracing", "trace_raw_tp", word), number % 3 * 8, 8)

    @pytest.mark.deep
    def test_tracepoints(self) -> None:
        for number, word in enumerate(tracepoints(1)):
            given = subject("tracing", "trace_raw_tp", word)
            for off, size in _places(8 if number % 40 else 1):
                self.same(given, off, size)

    @pytest.mark.parametrize("word", ITERATORS)
    def test_iterators(self, word: str) -> None:
        found = kernel_types()
        if found is None or found.find(f"bpf_iter_{word}", Kind.FUNC) is None:
            pytest.skip(f"this kernel has no iterator of {word}")
        for off in range(-8, 48, 8):
            self.same(subject("tracing", "trace_iter", word), off, 8)
        self.same(subject("tracing", "trace_iter", word), 8, 4)

    @pytest.mark.parametrize("word", ["tcp_congestion_ops", "bpf_dummy_ops", "task_struct"])
    def test_structures_of_functions(self, word: str) -> None:
        for member in range(20):
            for off, sleepable in ((0, False), (8, False), (16, True)):
                self.same(subject("struct_ops", member, word, sleepable=sleepable), off, 8)

    def same(self, given: Subject, off: int, size: int) -> None:
        """Errno, reason, log and register are the kernel's."""
        found = kernel_types()
        assert found is not None
        prefix, kind = {23: ("btf_trace_", Kind.TYPEDEF), 28: ("bpf_iter_", Kind.FUNC)}.get(
            given.attach if given.type.name == "tracing" else 0, ("", Kind.STRUCT)
        )
        target = found.find(prefix + given.target, kind) or 0
        text = f"r2 = *(u{8 * size} *)(r1 {off:+d}); r0 = 0; exit"
        answer = live.load(
            text, given.type.number, given.attach, level=2, attach_btf_id=target,
            prog_flags=live.SLEEPABLE * given.sleepable,
        )  # fmt: skip
        where = (given.target, given.attach, off, size)
        try:
            btf_context.check_target(given)
        except Rejection as no:
            assert (answer.errno, answer.reason) == (no.errno, no.message), where
            return
        one = access(given, off, size, False, PRIVILEGED)
        if one is None:
            said = invalid(given, off, size, False).split("\n")
            assert (answer.errno, answer.lines[-len(said) :]) == (13, said), where
        else:
            assert answer.errno == 0, (where, answer)
            word = name(one.type) + (found[one.id].name if one.id else "")
            assert answer.register(2).partition("(")[0] == word or word == "scalar", (where, answer)
            assert [line for line in answer.lines if line.startswith("func ")] == [one.note] * bool(one.note), where


def _places(step: int) -> Iterator[tuple[int, int]]:
    for size in (8,) if step > 1 else (1, 2, 4, 8):
        for off in range(-8, 112, step):
            yield off, size
