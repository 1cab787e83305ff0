"""Loads and stores through pointers to the kernel's structures: on types made here, and as the live kernel says."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import pytest

from bpf.object.btf import VOID, Btf, Kind, Member, Type
from bpf.spec.program_types import PROGRAM_TYPES
from tests.verifier import live
from verifier.btf_walk import Loaded, check, load, walk
from verifier.btf_write import check_write
from verifier.kernel_types import kernel_types
from verifier.rejection import Rejection
from verifier.subject import Subject
from verifier.types import ALLOC, BTF, PERCPU, RCU, RDONLY, SCALAR, TRUSTED, UNTRUSTED, USER, name

INT, CHAR, OUTER, INNER, TO_INNER, TO_INT, INTS, UNION, PAIR, TAG_RCU, TO_RCU, TAIL, SAFE, TO_VOID, INNERS = range(
    1, 16
)
TAG_USER, TO_USER, TAG_PERCPU, TO_PERCPU, FLEX, ONE = range(16, 22)


def types() -> Btf:
    """Structures with everything that a walk meets."""

    def struct(word: str, size: int, *members: tuple[str, int, int] | tuple[str, int, int, int]) -> Type:
        return Type(Kind.STRUCT, word, size, members=tuple(Member(n, t, 8 * o, *bits) for n, t, o, *bits in members))

    found: dict[int, Type] = {
        INT: Type(Kind.INT, "int", 4, bits=32),
        CHAR: Type(Kind.INT, "char", 1, bits=8),
        INNER: struct("inner", 16, ("first", INT, 0), ("next", TO_INNER, 8)),
        TO_INNER: Type(Kind.PTR, type=INNER),
        TO_INT: Type(Kind.PTR, type=INT),
        TO_VOID: Type(Kind.PTR),
        INTS: Type(Kind.ARRAY, type=INT, index=INT, count=3),
        INNERS: Type(Kind.ARRAY, type=INNER, index=INT, count=2),
        UNION: Type(Kind.UNION, "either", 8, members=(Member("a", TO_INNER, 0), Member("b", INT, 0))),
        ONE: Type(Kind.UNION, "", 8, members=(Member("only", TO_INNER, 0),)),
        TAG_RCU: Type(Kind.TYPE_TAG, "rcu", type=INNER),
        TO_RCU: Type(Kind.PTR, type=TAG_RCU),
        TAG_USER: Type(Kind.TYPE_TAG, "user", type=INNER),
        TO_USER: Type(Kind.PTR, type=TAG_USER),
        TAG_PERCPU: Type(Kind.TYPE_TAG, "percpu", type=INNER),
        TO_PERCPU: Type(Kind.PTR, type=TAG_PERCPU),
        OUTER: struct(
            "outer", 144, ("low", INT, 0), ("bits", INT, 4, 3), ("object", TO_INNER, 8), ("number", TO_INT, 16),
            ("many", INTS, 24), ("either", UNION, 40), ("guarded", TO_RCU, 48), ("void", TO_VOID, 56),
            ("nested", INNERS, 64), ("theirs", TO_USER, 96), ("each", TO_PERCPU, 104), ("alone", ONE, 112),
            ("safe", TO_INNER, 120), ("maybe", TO_INNER, 128), ("tail", TAIL, 144),
        ),
        TAIL: Type(Kind.ARRAY, type=INNER, index=INT),
        FLEX: struct("flex", 8, ("length", INT, 0), ("data", PAIR, 4)),
        PAIR: Type(Kind.ARRAY, type=CHAR, index=INT),
        SAFE: struct("outer__safe_rcu", 8, ("safe", TO_INNER, 0)),
    }  # fmt: skip
    last = max(found)
    found[last + 1] = struct("outer__safe_trusted_or_null", 8, ("maybe", TO_INNER, 0))
    found[last + 2] = struct("outer__safe_rcu_or_null", 8, ("either", TO_INNER, 0), ("a", TO_INNER, 0))
    return Btf((VOID, *(found[number] for number in range(1, last + 3))))


TYPES = types()


def refusal(off: int, size: int, number: int = OUTER) -> tuple[int, str]:
    """Errno and sentence of a walk that fails."""
    with pytest.raises(Rejection) as found:
        walk(TYPES, number, off, size)
    return found.value.errno, found.value.message


def test_numbers_are_found() -> None:
    number = Loaded(SCALAR)
    for off, size in ((0, 4), (0, 1), (2, 2), (4, 4), (4, 1), (24, 4), (24, 8), (28, 8), (64, 4), (80, 2)):
        assert walk(TYPES, OUTER, off, size) == number, (off, size)


def test_pointers_are_found() -> None:
    assert walk(TYPES, OUTER, 8, 8) == Loaded(BTF, INNER, "object")
    assert walk(TYPES, OUTER, 16, 8) == walk(TYPES, OUTER, 56, 8) == Loaded(name_type("rdonly_untrusted_mem"))
    assert walk(TYPES, OUTER, 72, 8) == walk(TYPES, OUTER, 88, 8) == Loaded(BTF, INNER, "next")
    assert walk(TYPES, OUTER, 48, 8) == Loaded(BTF | RCU, INNER, "guarded")
    assert walk(TYPES, OUTER, 96, 8) == Loaded(BTF | USER, INNER, "theirs")
    assert walk(TYPES, OUTER, 104, 8) == Loaded(BTF | PERCPU, INNER, "each")
    assert walk(TYPES, OUTER, 40, 8) == Loaded(BTF | UNTRUSTED, INNER, "a")
    assert walk(TYPES, OUTER, 112, 8) == Loaded(BTF, INNER, "only")


def name_type(text: str) -> int:
    """A type that the log writes so."""
    assert name(0x11 | RDONLY | UNTRUSTED) == text
    return 0x11 | RDONLY | UNTRUSTED


def test_what_lies_behind_the_end() -> None:
    assert walk(TYPES, OUTER, 144 + 16 + 8, 8) == Loaded(BTF, INNER, "next")
    assert walk(TYPES, FLEX, 1000, 8) == Loaded(SCALAR)
    assert refusal(16, 8, INNER) == (13, "access beyond struct inner at off 16 size 8")
    assert refusal(140, 8) == (13, "access beyond struct outer at off 140 size 8")


def test_reasons() -> None:
    where = "in struct outer with off 12 size 4"
    assert refusal(12, 4) == (13, f"cannot access ptr member object with moff 8 {where}")
    assert refusal(2, 4) == (13, "access beyond the end of member low (mend:4) in struct outer with off 2 size 4")
    assert refusal(32, 8) == (13, "access beyond the end of member many (mend:36) in struct outer with off 32 size 8")
    assert refusal(36, 4) == (22, "struct outer doesn't have field at offset 36")
    assert refusal(0, 4, INT) == (22, "Type 'int' is not a struct")
    assert refusal(113, 4) == (13, "cannot access ptr member only with moff 0 in struct (anon) with off 1 size 4")


def trust(type_: int, off: int, *, rcu: bool = True, ref: int = 0) -> str:
    """What a pointer is that was found through one of a type."""
    return name(load(TYPES, OUTER, type_, off, 8, rcu=rcu, ref=ref).type)


def test_trust() -> None:
    assert trust(BTF, 8) == trust(BTF, 48) == "ptr_"
    assert trust(BTF | TRUSTED, 8) == trust(BTF | RCU, 8) == trust(BTF, 8, ref=3) == "ptr_"
    assert trust(BTF | TRUSTED, 8, rcu=False) == trust(BTF | UNTRUSTED, 128) == "untrusted_ptr_"
    assert trust(BTF | TRUSTED, 48) == "rcu_ptr_or_null_"
    assert trust(BTF | TRUSTED, 48, rcu=False) == "untrusted_ptr_"
    assert trust(BTF | TRUSTED, 120) == "rcu_ptr_"
    assert trust(BTF | TRUSTED, 120, rcu=False) == "untrusted_ptr_"
    assert trust(BTF | TRUSTED, 128, rcu=False) == "trusted_ptr_or_null_"
    assert trust(BTF | TRUSTED, 96) == "user_ptr_"
    assert trust(BTF | TRUSTED, 104) == "percpu_ptr_"
    assert trust(BTF | TRUSTED, 40) == "rcu_ptr_or_null_"
    assert trust(BTF | ALLOC, 8) == "scalar"


def test_who_may_follow_a_pointer() -> None:
    def says(type_: int = BTF, off: int = 0, variable: str = "", *, perfmon: bool = True, gpl: bool = True) -> str:
        try:
            check(TYPES, INNER, type_, 3, off, variable=variable, perfmon=perfmon, gpl=gpl, kernel=True)
        except Rejection as found:
            return found.message
        return ""

    assert says() == ""
    assert says(perfmon=False) == "'struct inner' access is allowed only to CAP_PERFMON and CAP_SYS_ADMIN"
    assert says(gpl=False) == "Cannot access kernel 'struct inner' from non-GPL compatible program"
    assert says(off=-4) == "R3 is ptr_inner invalid negative access: off=-4"
    assert says(variable="(0x0; 0x7)") == "R3 is ptr_inner invalid variable offset: off=0, var_off=(0x0; 0x7)"
    assert says(BTF | USER) == "R3 is ptr_inner access user memory: off=0"
    assert says(BTF | PERCPU) == "R3 is ptr_inner access percpu memory: off=0"


def stored(kind: str, word: str, off: int, size: int, type_: int = BTF | TRUSTED, target: str = "") -> str:
    """What is said of a store."""
    sock = Type(Kind.STRUCT, "sock", 16, members=(Member("sk_pacing_rate", INT, 64),))
    tcp = Type(Kind.STRUCT, word, 32, members=(Member("snd_cwnd", INT, 128),))
    small = Type(Kind.STRUCT, "nf_conn", 32, members=(Member("mark", INT, 64),))
    btf = Btf((VOID, TYPES[INT], sock, tcp, small))
    try:
        check_write(Subject(b"", "little", PROGRAM_TYPES[kind], target=target), btf, 3, type_, off, size)
    except Rejection as found:
        return found.message
    return ""


def test_stores() -> None:
    assert stored("xdp", "tcp_sock", 16, 4) == stored("socket_filter", "nf_conn", 8, 4) == "only read is supported"
    assert stored("xdp", "nf_conn___init", 8, 4) == ""
    assert stored("xdp", "nf_conn___init", 8, 4, BTF | UNTRUSTED) == "only read is supported"
    assert stored("xdp", "nf_conn___init", 12, 4) == "no write support to nf_conn at off 12"
    beyond = "write access at off 8 with size 8 beyond the member of nf_conn ended at 12"
    assert stored("xdp", "nf_conn___init", 8, 8) == beyond
    tcp = "tcp_congestion_ops"
    assert (
        stored("struct_ops", "tcp_sock", 16, 4, target=tcp) == stored("struct_ops", "tcp_sock", 8, 4, target=tcp) == ""
    )
    assert stored("struct_ops", "tcp_sock", 0, 4, target=tcp) == "no write support to tcp_sock at off 0"
    dummy = "bpf_dummy_ops"
    assert stored("struct_ops", "bpf_dummy_ops_state", 28, 4, target=dummy) == ""
    assert stored("struct_ops", "bpf_dummy_ops_state", 28, 8, target=dummy) == "write access at off 28 with size 8"
    assert stored("struct_ops", "inner", 0, 4, target=dummy) == "only access to bpf_dummy_ops_state is supported"


class Place(NamedTuple):
    """How a program of the live kernel gets a pointer into R6. until: a register that must not be NULL first."""

    structure: str
    type: int
    kind: int
    attach: int = 0
    target: str = ""
    before: str = ""
    sleepable: bool = False
    cast: bool = False


TRACE = {"kind": 26, "attach": 23, "target": "btf_trace_sched_switch"}
PLACES = [
    Place("task_struct", BTF | TRUSTED, before="r6 = *(u64 *)(r1 + 8); ", **TRACE),
    Place("css_set", BTF | RCU, before="r6 = *(u64 *)(r1 + 8); r6 = *(u64 *)(r6 + {cgroups}); ", **TRACE),
    Place("task_struct", BTF | TRUSTED, 26, 28, "bpf_iter_task",
          "r6 = *(u64 *)(r1 + 8); if r6 != 0 goto +2; r0 = 0; exit; ", sleepable=True),
    Place("bpf_iter_meta", BTF | TRUSTED, 26, 28, "bpf_iter_task", "r6 = *(u64 *)(r1 + 0); ", sleepable=True),
    Place("bpf_iter_meta", BTF | TRUSTED, 26, 28, "bpf_iter_task", "r6 = *(u64 *)(r1 + 0); "),
    Place("nf_hook_state", BTF | TRUSTED, 32, 45, before="r6 = *(u64 *)(r1 + 0); "),
    Place("sk_buff", BTF | TRUSTED, 32, 45, before="r6 = *(u64 *)(r1 + 8); "),
    Place("tcp_sock", BTF, 3, before="r1 = *(u64 *)(r1 + 168); if r1 != 0 goto +2; r0 = 0; exit; call 137; "
          "if r0 != 0 goto +1; exit; r6 = r0; "),
    *(Place(word, BTF | UNTRUSTED, before="r1 = *(u64 *)(r1 + 8); ", cast=True, **TRACE)
      for word in ("net_device", "sk_buff", "file", "inode", "bpf_prog", "page", "socket", "xdp_buff", "pci_dev",
                   "msghdr", "in6_addr", "bio", "rq", "mm_struct", "module", "ext4_inode_info")),
]  # fmt: skip


class TestTheLiveKernel:
    """Every offset of structures, through pointers of every trust."""

    pytestmark = live.needs_linux

    def test_loads_here_and_there(self) -> None:
        for number, place in enumerate(PLACES):
            self.loads(place, 61, number)

    @pytest.mark.deep
    @pytest.mark.parametrize("place", PLACES, ids=lambda place: f"{name(place.type)}{place.structure}")
    def test_loads(self, place: Place) -> None:
        self.loads(place, 1, 0)

    def loads(self, place: Place, step: int, first: int) -> None:
        types = kernel_types()
        assert types is not None
        number = types.find(place.structure, Kind.STRUCT)
        if number is None:
            pytest.skip(f"this kernel has no {place.structure}")
        more = {"prog_flags": live.SLEEPABLE * place.sleepable}
        if place.target:
            more["attach_btf_id"] = types.find(place.target, Kind.FUNC, Kind.TYPEDEF) or 0
        task = types[types.find("task_struct", Kind.STRUCT) or 0]
        at = next((one.offset // 8 for one in task.members if one.name == "cgroups"), 0)
        before = live.code(place.before.format(cgroups=at))
        if place.cast:
            function = types.find("bpf_rdonly_cast", Kind.FUNC) or 0
            before += live.code(f"r2 = {number}; ") + live.kfunc(function) + live.code("r6 = r0; ")
        end = live.code(f"r0 = {int(place.kind == 32)}; exit")
        for turn, (off, size) in enumerate(_each(types[number].size)):
            if turn % step != first % step:
                continue
            answer = live.load(before + live.code(f"r2 = *(u{8 * size} *)(r6 + {off}); ") + end, place.kind,
                               place.attach, level=2, **more)  # fmt: skip
            try:
                found = load(types, number, place.type, off, size, rcu=not place.sleepable)
                said = name(found.type) + (types[found.id].name if found.id else "")
            except Rejection as refused:
                assert (answer.errno, answer.reason) == (refused.errno, refused.message), (off, size)
                continue
            assert answer.errno == 0, (off, size, answer)
            assert said in (answer.register(2).partition("(")[0], "scalar"), (off, size, answer)

    @pytest.mark.parametrize("off", [0, 8, 1444])
    def test_stores(self, off: int) -> None:
        types = kernel_types()
        assert types is not None
        number = types.find("tcp_congestion_ops", Kind.STRUCT)
        structure = types.find("tcp_sock", Kind.STRUCT)
        if number is None or structure is None:
            pytest.skip("this kernel has no such congestion control")
        subject = Subject(b"", "little", PROGRAM_TYPES["struct_ops"], target="tcp_congestion_ops")
        cwnd = next(one.offset // 8 for one in types[structure].members if one.name == "snd_cwnd")
        for at, size in ((off, 4), (cwnd, 4), (cwnd, 8), (cwnd + 1, 1)):
            text = f"r6 = *(u64 *)(r1 + 0); *(u{8 * size} *)(r6 + {at}) = 0; r0 = 0; exit"
            answer = live.load(text, 27, 0, attach_btf_id=number)
            try:
                check_write(subject, types, structure, BTF | TRUSTED, at, size)
            except Rejection as refused:
                assert (answer.errno, answer.reason) == (refused.errno, refused.message), (at, size)
            else:
                assert answer.errno == 0, (at, size, answer)


def _each(size: int) -> Iterator[tuple[int, int]]:
    """Offsets and sizes of loads in a structure of so many bytes and behind it."""
    step = 1 if size < 600 else 3
    for width in (1, 2, 4, 8):
        for off in (*range(0, min(size, 1500), step), *range(max(0, size - 600), size + 24, step)):
            if off < 1 << 15:
                yield off, width
