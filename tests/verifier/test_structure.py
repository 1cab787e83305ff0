"""What is refused before a program is walked, each sentence by a program of its own, as the live kernel refuses it."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from bpf.program import Map
from fuzz.parity import oracle
from tests.verifier import programs
from tests.verifier.live import needs_linux
from tests.verifier.programs import (
    FUNCTION,
    HASH,
    LOCKED,
    MANY,
    MAPS,
    NOTHING,
    ONE,
    STACKS,
    STORAGE,
    STORAGE2,
    TIMED,
    TYPES,
)  # fmt: skip
from verifier.insn_text import text
from verifier.options import ALL, BPF, Options
from verifier.raw import slots
from verifier.rejection import Rejection
from verifier.structure import structure
from verifier.subject import Subject


@dataclass
class Refused:
    """A program and the answer. pc: the slot that is named; caps: None for all; fields: of the Subject."""

    errno: int
    message: str
    words: str
    kind: str = "socket_filter"
    pc: int = -1
    caps: frozenset[str] | None = None
    fields: dict[str, Any] = field(default_factory=dict)

    @property
    def subject(self) -> Subject:
        """The program."""
        return programs.subject(self.words, self.kind, **({"maps": MAPS, "btf": TYPES} | self.fields))

    @property
    def options(self) -> Options:
        """Who loads it."""
        return Options() if self.caps is None else Options(caps=self.caps)


END = "b7 95"  # r0 = 0; exit
CALLS = "85:0:1:0:1 95"  # call the function behind
MANY_FUNCTIONS = " ".join(f"85:0:1:0:{256 + i}" for i in range(256)) + " b7 95" + " b7 95" * 256
KFUNC = "85:0:2:0:5"

TABLE = [
    Refused(7, "", ""),
    Refused(22, "", END, "sk_lookup"),
    Refused(22, "", END, "cgroup_skb", fields={"attach": 2}),
    Refused(1, "", END, "xdp", caps=frozenset({BPF})),
    Refused(1, "", END, "kprobe", caps=frozenset({BPF})),
    Refused(1, "", END, "tracepoint", caps=frozenset()),
    Refused(7, "", "b7 " * 4096 + "95", caps=frozenset()),
    # functions
    Refused(22, "call to invalid destination", "85:0:1:0:5 95", pc=0),
    Refused(22, "call to invalid destination", "85:0:1:0:-2 95", pc=0),
    Refused(22, "call to invalid destination", "18:2:4:0:7 0 b7 95", pc=0),
    Refused(7, "too many subprograms", MANY_FUNCTIONS, pc=255),
    Refused(
        1, "loading/calling other bpf or kernel functions are allowed for CAP_BPF and CAP_SYS_ADMIN",
        f"{CALLS} {END}", pc=0, caps=frozenset(),
    ),
    Refused(22, "cannot call kernel function from non-GPL compatible program", f"{KFUNC} {END}", pc=0,
            fields={"license": "Proprietary"}),
    Refused(22, "negative offset disallowed for kernel module function call\nfailed to find BTF for kernel function",
            f"85:0:2:-1:5 {END}", pc=0),
    Refused(71, "kfunc offset > 0 without fd_array is invalid\nfailed to find BTF for kernel function",
            f"85:0:2:1:5 {END}", pc=0),
    Refused(22, "kernel btf_id 777777777 is not a function", f"85:0:2:0:777777777 {END}", pc=0),
    # jumps
    Refused(22, "jump out of range from insn 0 to 3", f"05:0:0:2 {END}", pc=0),
    Refused(22, "jump out of range from insn 1 to -1", "b7 05:0:0:-3 95", pc=1),
    Refused(22, "jump out of range from insn 0 to 7", f"06:0:0:0:6 {END}", pc=0),
    Refused(22, "jump out of range from insn 1 to 3", f"85:0:1:0:2 15:0:0:1 95 {END}", pc=1),
    Refused(22, "last insn is not an exit or jmp", "b7", pc=0),
    Refused(22, "last insn is not an exit or jmp", f"85:0:1:0:1 b7 {END}", pc=1),
    Refused(22, "last insn is not an exit or jmp", "b7 85:0:0:0:7", pc=1),
    # functions' types
    Refused(22, "LD_ABS is not allowed in subprogs without BTF", f"{CALLS} 30 95"),
    Refused(22, "LD_ABS is not allowed in subprogs without BTF", f"{CALLS} 40 95"),
    Refused(22, "tail_call is not allowed in subprogs without BTF", f"{CALLS} 85:0:0:0:12 95"),
    Refused(22, "number of funcs in func_info doesn't match number of subprogs", f"{CALLS} {END}",
            fields={"types": {0: FUNCTION}}),
    Refused(22, "func_info BTF section doesn't match subprog layout in BPF program", f"{CALLS} {END}",
            fields={"types": {0: FUNCTION, 3: FUNCTION}}),
    Refused(22, "LD_ABS is only allowed in functions that return 'int'.", f"{CALLS} 30 95",
            fields={"types": {0: FUNCTION, 2: NOTHING}}),
    Refused(22, "tail_call is only allowed in functions that return 'int'.", f"{CALLS} 85:0:0:0:12 95",
            fields={"types": {0: FUNCTION, 2: NOTHING}}),
    # opcodes and lddw
    Refused(22, "unknown opcode ff", f"ff {END}", pc=0),
    Refused(22, "unknown opcode 8d", f"b7 8d {END}", pc=1),
    Refused(22, "unknown opcode 00", f"00 {END}", pc=0),
    Refused(22, "BPF_LDX uses reserved fields", f"61:0:1:0:1 {END}", pc=0),
    Refused(22, "BPF_LDX uses reserved fields", f"b7 c1 {END}", pc=1),
    Refused(22, "invalid bpf_ld_imm64 insn", f"18 b7:1 {END}", pc=0),
    Refused(22, "invalid bpf_ld_imm64 insn", f"18 0:1 {END}", pc=0),
    Refused(22, "invalid bpf_ld_imm64 insn", f"18 0:0:1 {END}", pc=0),
    Refused(22, "invalid bpf_ld_imm64 insn", f"18 0:0:0:1 {END}", pc=0),
    Refused(22, "unrecognized bpf_ld_imm64 insn", f"18:1:7 0 {END}", pc=0),
    Refused(22, "unrecognized bpf_ld_imm64 insn", f"18:1:1:0:0 0:0:0:0:4 {END}", pc=0),
    Refused(71, "fd_idx without fd_array is invalid", f"18:1:5 0 {END}", pc=0, fields={"maps": ()}),
    Refused(9, "fd 100000 is not pointing to valid bpf_map", f"18:1:1:0:100000 0 {END}", pc=0),
    Refused(9, "fd -1 is not pointing to valid bpf_map", f"18:1:2:0:-1 0 {END}", pc=0),
    Refused(22, "direct value offset of 536870912 is not allowed", f"18:1:2:0:{ONE} 0:0:0:0:{1 << 29} {END}", pc=0),
    Refused(22, "direct value offset of 4294967295 is not allowed", f"18:1:2:0:{HASH} 0:0:0:0:-1 {END}", pc=0),
    Refused(22, "no direct value access support for this map type", f"18:1:2:0:{HASH} 0 {END}", pc=0),
    Refused(22, "invalid access to map value pointer, value_size=16 off=16", f"18:1:2:0:{ONE} 0:0:0:0:16 {END}", pc=0),
    Refused(524, "invalid access to map value pointer, value_size=16 off=0", f"18:1:2:0:{MANY} 0 {END}", pc=0),
    # maps
    Refused(22, "socket filter progs cannot use bpf_spin_lock yet", f"18:1:1:0:{LOCKED} 0 {END}", pc=0),
    Refused(22, "tracing progs cannot use bpf_spin_lock yet", f"18:1:1:0:{LOCKED} 0 {END}", "kprobe", pc=0),
    Refused(22, "tracing progs cannot use bpf_timer yet", f"18:1:1:0:{TIMED} 0 {END}", "raw_tracepoint", pc=0),
    Refused(22, "Sleepable programs can only use array, hash, ringbuf and local storage maps",
            f"18:1:1:0:{STACKS} 0 {END}", "syscall", pc=0, fields={"sleepable": True}),
    Refused(16, "only one cgroup storage of each type is allowed",
            f"18:1:1:0:{STORAGE} 0 18:1:1:0:{STORAGE} 0 18:1:1:0:{STORAGE2} 0 {END}", "cgroup_skb", pc=4),
    # the graph
    Refused(22, "unreachable insn 1", f"05:0:0:1 b7 {END}", pc=1),
    Refused(22, "unreachable insn 2", f"{END} {END}", pc=2),
    Refused(22, "jump into the middle of ldimm64 insn 1", f"15:0:0:1 18 0 {END}", pc=1),
    Refused(22, "back-edge from insn 1 to 0", "b7 15:0:0:-2 95", pc=1, caps=frozenset()),
    # sleeping and targets
    Refused(22, "Syscall programs can only be sleepable", END, "syscall"),
    Refused(22, "Only fentry/fexit/fmod_ret, lsm, iter, uprobe, and struct_ops programs can be sleepable", END,
            fields={"sleepable": True}),
    Refused(22, "Tracing programs must provide btf_id", END, "tracing", fields={"attach": 24}),
]  # fmt: skip


def answer(one: Refused) -> tuple[int, str, int]:
    """What is said of a program."""
    try:
        structure(one.subject, one.options)
    except Rejection as refusal:
        return refusal.errno, refusal.message, refusal.pc
    return 0, "", -1


@pytest.mark.parametrize("one", TABLE, ids=lambda one: f"{one.message or one.errno} {one.words[:20]}")
def test_refused(one: Refused) -> None:
    """Errno, sentence and place."""
    assert answer(one) == (one.errno, one.message, one.pc)


def test_too_many_maps() -> None:
    """64 are allowed; the same one again is none more."""
    maps = tuple(MAPS[ONE] for _ in range(65))
    uses = [f"18:1:1:0:{number} 0" for number in range(65)]
    assert structure(programs.subject(" ".join([*uses[:64], uses[0], END]), maps=maps), Options()).maps == [*range(64)]
    with pytest.raises(Rejection, match="The total number of maps per program has reached the limit of 64") as refusal:
        structure(programs.subject(" ".join([*uses, END]), maps=maps), Options())
    assert (refusal.value.errno, refusal.value.pc) == (7, 128)


def test_an_arena_needs_two_capabilities() -> None:
    """And an address for its user, and there is one at most."""
    arena = Map("arena", "arena", 0, 0, 10, flags=0x400, extra=1 << 44)
    one, two = f"18:1:1 0 {END}", f"18:1:1 0 18:1:1:0:1 0 {END}"
    cases = [
        (one, (arena,), frozenset({BPF}), 1, "CAP_BPF and CAP_PERFMON are required to use arena"),
        (one, (replace(arena, extra=0),), ALL, 22, "arena's user address must be set via map_extra or mmap()"),
        (two, (arena, replace(arena, name="b")), ALL, 16, "Only one arena per program"),
    ]
    for words, maps, caps, errno, message in cases:
        with pytest.raises(Rejection) as refusal:
            structure(programs.subject(words, maps=maps), Options(caps=caps))
        assert (refusal.value.errno, refusal.value.message) == (errno, message)
    assert structure(programs.subject(one, maps=(arena,)), Options()).maps == [0]


CYCLES = "b7:1:0:0:3 b7:2:0:0:3 17:2:0:0:1 55:2:0:-2 17:1:0:0:1 55:1:0:-5 b7 15:0:0:-1 95"


def test_cycles_and_pruning() -> None:
    """Nested loops are one cycle, a jump to itself is one; states are compared at branches and where they lead."""
    found = structure(programs.subject(CYCLES), Options())
    assert found.scc == [0, 2, 2, 2, 2, 2, 0, 1, 0]
    assert [pc for pc, mark in enumerate(found.prune_point) if mark] == [1, 2, 3, 5, 7]
    assert [pc for pc, mark in enumerate(found.jump_point) if mark] == [1, 2, 7]
    assert found.postorder == [8, 7, 6, 5, 4, 3, 2, 1, 0]
    assert not any(found.force_checkpoint)


def test_functions_and_callbacks() -> None:
    """A caller does what its callees do; a loop's callback is walked again and again, so a state is always kept."""
    words = (
        "b7:1:0:0:5 18:2:4:0:7 0 b7:3 b7:4 85:0:0:0:181 85:0:1:0:4 b7 95 "  # loop(5, the second, 0, 0); the third()
        "b7 95 "
        "b7:2 85:0:0:0:39 b7 95"  # skb_pull_data
    )
    found = structure(programs.subject(words, "sched_cls"), Options())
    assert found.starts == [0, 9, 11, 15]
    assert [found.subprogram_at(pc) for pc in (0, 9, 11, 1, -1, 15)] == [0, 1, 2, -1, -1, -1]
    assert [pc for pc, mark in enumerate(found.calls_callback) if mark] == [5]
    assert [pc for pc, mark in enumerate(found.force_checkpoint) if mark] == [5]
    assert [part.changes_packet for part in found.subprograms] == [True, False, True]
    assert found.prune_point[6] and found.jump_point[6] and found.prune_point[9] and found.prune_point[11]


def test_may_goto_keeps_a_state() -> None:
    """Like a call of an iterator's next."""
    found = structure(programs.subject("b7 e5:0:0:1 05:0:0:-2 95"), Options())
    assert found.force_checkpoint == [False, True, False, False]


LOG = """
func#0 @0
func#1 @5
Live regs before insn:
      0: .12345.... (bf) r6 = r1
  1   1: ..23456... (bf) r1 = r6
  1   2: .123456... (85) call pc+2
  1   3: 0.23456... (15) if r0 == 0x0 goto pc-3
      4: 0......... (95) exit
      5: .1........ (61) r0 = *(u32 *)(r1 +8)
      6: 0......... (95) exit
"""


def test_the_log() -> None:
    """The lines of level 2."""
    lines: list[str] = []
    structure(programs.subject("bf:6:1 bf:1:6 85:0:1:0:2 15:0:0:-3 95 61:0:1:8 95"), Options(), lines)
    assert "\n".join(["", *lines, ""]) == LOG


ODD = {
    "d4:1:0:0:13": "(d4) r1 = le13 r1",
    "dc:1:2:0:16": "(dc) r1 = be16 r1",
    "d7:1:0:0:5": "(d7) r1 = bswap5 r1",
    "87:1:2:3:4": "(87) r1 = -r1",
    "84:1": "(84) w1 = -w1",
    "34:1:0:1:3": "(34) w1 s/= 3",
    "3f:1:2:7": "(3f) r1 /= r2",
    "9f:1:2:1": "(9f) r1 s%= r2",
    "bf:1:2:32": "(bf) r1 = (s32)r2",
    "bc:1:2:32": "(bc) w1 = (s32)w2",
    "bc:1:2:16": "(bc) w1 = (s16)w2",
    "bf:1:2:5": "(bf) r1 = r2",
    "bf:1:2:-1": "(bf) r1 = &(void __percpu *)(r2)",
    "bf:1:2:1:1": "(bf) r1 = addr_space_cast(r2, 0, 1)",
    "c3:1:2:-4:5": "BUG_c3",
    "c3:10:2:-4:0xf1": "(c3) r0 = atomic_cmpxchg((u32 *)(r10 -4), r0, r2)",
    "cb:10:2:-4:1": "(cb) r2 = atomic_fetch_add((u16 *)(r10 -4), r2)",
    "db:10:2:-8:0x51": "(db) r2 = atomic64_fetch_and((u64 *)(r10 -8), r2)",
    "d3:1:2:0:0xa0": "(d3) lock *(u8 *)(r1 +0) ^= r2",
    "cb:1:2:2:0x100": "(cb) r1 = load_acquire((u16 *)(r2 +2))",
    "d3:1:2:2:0x110": "(d3) store_release((u8 *)(r1 +2), r2)",
    "62:10:0:-4:-1": "(62) *(u32 *)(r10 -4) = -1",
    "91:12:1:2": "(91) r12 = *(s8 *)(r1 +2)",
    "20:0:0:0:-2097152": "(20) r0 = *(u32 *)skb[-2097152]",
    "50:0:8:0:-70": "(50) r0 = *(u8 *)skb[r8 + -70]",
    "a5:3:0:0:-3": "(a5) if r3 < 0xfffffffd goto pc+0",
    "56:1:0:0:1": "(56) if w1 != 0x1 goto pc+0",
    "e5:0:1:0": "(e5) if r0 (null) 0x0 goto pc+0",
    "85": "(85) call bpf_unspec#0",
    "85:0:0:0:1": "(85) call bpf_map_lookup_elem#1",
    "85:0:0:0:-1": "(85) call unknown#-1",
    "85:0:3:0:5": "(85) call unknown#5",
    "06": "(06) gotol pc+0",
    "05": "(05) goto pc+0",
}
"""Instructions that are well-formed enough to be written, and what the log has of them."""


@pytest.mark.parametrize("words", ODD)
def test_text(words: str) -> None:
    """One instruction as the log has it."""
    assert text(slots(programs.code(words), "little"), 0, programs.subject(words)) == ODD[words]


def test_text_of_addresses() -> None:
    """A map's address is shown to who may see it; a number is what both halves make."""
    raws = slots(programs.code(f"18:1:1:0:{ONE} 0 18:2:0:0:-1 0:0:0:0:1"), "little")
    given = programs.subject(END)
    assert text(raws, 0, given) == "(18) r1 = 0x0"
    assert text(raws, 0, given, 0xFFFF888100001000) == "(18) r1 = 0xffff888100001000"
    assert text(raws, 2, given) == "(18) r2 = 0x1ffffffff"


class TestLive:
    """The same of the live kernel."""

    pytestmark = needs_linux

    def test_it_refuses_the_same(self) -> None:
        """All that a loader with all capabilities can ask; tracing programs may be refused by the machine's policy."""
        differ = []
        for one in TABLE:
            if one.caps is None and one.kind != "tracing":
                said = oracle.ask(one.subject, one.options)
                lines = one.message.splitlines()
                if (said.errno, said.message) != (one.errno, lines[-1] if lines else ""):
                    differ.append((one.words, one.message, said.errno, said.message))
        assert not differ

    def test_it_writes_the_same(self) -> None:
        """Functions, cycles, live registers and the text of instructions."""
        for words in ("bf:6:1 bf:1:6 85:0:1:0:2 15:0:0:-3 95 61:0:1:8 95", CYCLES, f"{' '.join(ODD)} {END}"):
            lines: list[str] = []
            given = programs.subject(words)
            structure(given, Options(), lines)
            assert oracle.ask(given, Options(), level=2).log.splitlines()[: len(lines)] == lines
