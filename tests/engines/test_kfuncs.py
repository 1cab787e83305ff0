"""Kernel functions in small programs: the interpreter, every target, the CPU and the live kernel give the same."""

from __future__ import annotations

import os
import sys

import pytest

from bpf.errors import BadText, Refused
from bpf.isa import ROW, make
from bpf.plan import Unit
from bpf.program import Program
from bpf.spec.conventions import TYPED
from bpf.spec.kfuncs import BY_NAME, FIRST, KFUNCS
from bpf.spec.program_types import PROGRAM_TYPES
from bpf.text import assemble, disassemble
from engines import ENGINES, Engine, kernel_types, syscall
from engines.judging import trial
from engines.linux import LinuxEngine, unavailable
from jit.registry import TARGETS
from jit.target import Target
from tests.engines.kfunc_programs import CASES, VALUE
from tests.engines.test_helper_programs import LIMITS, OBSERVE, agree, cpu, given, unit_of
from tests.engines.typed import FRAME
from tests.live_kernel import live
from vm.helpers.kfuncs import KFUNCS as IMPLEMENTED
from vm.outcome import Fault, difference
from vm.world import Input, Limits, World

__all__ = ["cpu"]  # the fixture

M64 = (1 << 64) - 1


def targets_for(name: str) -> list[Target]:
    """All targets; calls that differ in texts alone take turns on one of each byte order."""
    if not name.startswith("str"):
        return list(TARGETS.values())
    turn = list(CASES).index(name)
    orders = ([one for one in TARGETS.values() if one.order == order] for order in ("little", "big"))
    return [found[turn % len(found)] for found in orders]


@pytest.mark.parametrize("name", CASES)
def test_programs(name: str) -> None:
    case = CASES[name]
    for target in targets_for(name):
        outcome, world = agree(ENGINES[target.name], unit_of(case, target.order), given(case), World(**case.world))
        assert outcome.status == "done", outcome.fault
        assert case.r0 is None or outcome.r0 == case.r0 & M64, hex(outcome.r0)
        if isinstance(case.after, int):
            assert (outcome.regions or {})["memory"].startswith((case.after & M64).to_bytes(8, target.order))
        elif case.after is not None:
            assert (outcome.regions or {})["memory"].startswith(case.after)
        assert not world.held


@pytest.mark.parametrize("name", CASES)
def test_programs_on_the_cpu(name: str, cpu: Engine) -> None:
    case = CASES[name]
    agree(cpu, unit_of(case, cpu.target.order), given(case), World(**case.world))  # type: ignore[attr-defined]


@live
@pytest.mark.parametrize("name", [name for name, case in CASES.items() if not case.here])
def test_programs_on_the_kernel(name: str) -> None:
    case = CASES[name]
    unit, kernel = unit_of(case, sys.byteorder), LinuxEngine()
    expected = ENGINES["interpreter"].prepare(unit, OBSERVE).run(given(case), World(), LIMITS)
    try:
        judged = trial(kernel, unit, expected, given(case), World(), LIMITS, options=OBSERVE)
    except Refused as reason:
        if not reason.message.startswith("this kernel has no function"):
            raise
        pytest.skip(str(reason))
    assert not judged.found, judged.found.what
    assert judged.found.decided, judged.found.why


def test_every_one_is_implemented() -> None:
    assert set(IMPLEMENTED) == set(BY_NAME)


def test_text() -> None:
    prog = assemble("r1 = 0; call kfunc bpf_strlen; exit")
    assert prog.insns[1] == make(ROW["call_kfunc"], imm=BY_NAME["bpf_strlen"].number)
    assert "call kfunc bpf_strlen" in disassemble(prog)
    assert assemble(disassemble(prog)).insns == prog.insns
    with pytest.raises(BadText, match="no kernel function 'bpf_nonsense' is here"):
        assemble("call kfunc bpf_nonsense; exit")


def test_what_is_refused() -> None:
    with pytest.raises(Refused, match="insn 0: kernel function 5 has no name"):
        Unit((assemble("call kfunc 5; exit"),))
    with pytest.raises(Refused, match="insn 0: calling kernel function bpf_throw is not allowed") as caught:
        Unit((assemble("call kfunc bpf_throw; exit"),), convention=TYPED["socket_filter"])
    assert "sched_cls" in caught.value.remedy


@pytest.mark.parametrize("name", ENGINES)
def test_callx_knows_helpers_alone(name: str) -> None:
    number = BY_NAME["bpf_rcu_read_lock"].number
    (order, *_) = sorted(ENGINES[name].abilities.orders)
    unit = Unit((assemble(f"r6 = {number}; callx r6; exit", order=order),))
    assert number >= FIRST
    assert ENGINES[name].prepare(unit).run(Input(), World(), Limits()).fault == Fault("call target", 0, 1, number)


SLICES = """
    r6 = r1; r2 = 0; r3 = r10; r3 += -16; call kfunc bpf_dynptr_from_{kind}; r7 = r0
    r1 = r10; r1 += -16; call kfunc bpf_dynptr_size; r7 += r0
    r1 = r10; r1 += -16; r2 = {at}; r3 = 0; r4 = 2; call kfunc bpf_dynptr_slice; if r0 == 0 goto none
    r1 = *(u8 *)(r0 + 1); r7 += r1
    none: {rest}r0 = r7; exit"""
WRITE = """r1 = r10; r1 += -16; r2 = 6; r3 = 0; r4 = 1; call kfunc bpf_dynptr_slice_rdwr; if r0 == 0 goto no
    *(u8 *)(r0 + 0) = 0x5a; no: r1 = r10; r1 += -16; call kfunc bpf_dynptr_is_rdonly; r0 <<= 8; r7 += r0
    *(u32 *)(r10 - 24) = 0x01020304; r1 = r10; r1 += -16; r2 = 8; r3 = r10; r3 += -24; r4 = 4; r5 = 0; call 202
    r0 &= 15; r0 <<= 12; r7 += r0; """
READ = "r1 = r10; r1 += -24; r2 = 4; r3 = r10; r3 += -16; r4 = 58; r5 = 0; call 201; r0 &= 0xff; r0 <<= 16; r7 += r0; "
PACKETS = {
    "xdp": ("xdp", SLICES.format(kind="xdp", at=22, rest=WRITE), 60 + 17),
    "xdp beyond": ("xdp", SLICES.format(kind="xdp", at=59, rest=READ), 60 + (-7 << 16 & 0xFF_0000)),
    "tc": ("sched_cls", SLICES.format(kind="skb", at=22, rest=WRITE), 60 + 17),
    "cgroup_skb": ("cgroup_skb", SLICES.format(kind="skb", at=8, rest="r7 &= 1; "), 46 + 17 & 1),
    "socket_filter": ("socket_filter", SLICES.format(kind="skb", at=8, rest=READ.replace("58", "40")), 46 + 17),
}  # fmt: skip


@pytest.mark.parametrize("case", PACKETS)
def test_dynptrs_of_packets(case: str) -> None:
    name, text, r0 = PACKETS[case]
    entry = Input(packet=FRAME)
    for one in ENGINES.values():
        for order in one.abilities.orders:
            unit = Unit((assemble(text, order=order),), convention=TYPED[name])
            expected = ENGINES["interpreter"].prepare(unit, OBSERVE).run(entry, World(), Limits())
            assert (expected.status, expected.r0) == ("done", r0), expected
            assert expected.packet is not None
            assert (expected.packet[6] == 0x5A) == (expected.packet != FRAME) == (WRITE in text)
            assert not difference(expected, one.prepare(unit, OBSERVE).run(entry, World(), Limits()))
    if not unavailable():
        unit = Unit((assemble(text, order=sys.byteorder),), convention=TYPED[name])
        expected = ENGINES["interpreter"].prepare(unit).run(entry, World(), Limits())
        judged = trial(LinuxEngine(), unit, expected, entry, World(), LIMITS)
        assert not judged.found, judged.found.what


def test_the_dynptr_of_a_filter_that_may_not_write() -> None:
    text = SLICES.format(kind="skb", at=8, rest=WRITE)
    for one in ENGINES.values():
        for order in one.abilities.orders:
            unit = Unit((assemble(text, order=order),), convention=TYPED["cgroup_skb"])
            outcome = one.prepare(unit).run(Input(packet=FRAME), World(), Limits())
            assert outcome.r0 == 46 + 17 + (1 << 8) + ((-22 & 15) << 12)
            assert outcome.packet == FRAME


STATE, SKB = 0xFFFF_8890_0000_0000, 0xFFFF_8890_0000_1000
FILTER = """
    r7 = *(u64 *)(r1 + 0); r8 = *(u64 *)(r1 + 8); r1 = r8; r2 = 0; r3 = r10; r3 += -16; call kfunc bpf_dynptr_from_skb
    r6 = *(u8 *)(r7 + 0); r2 = *(u8 *)(r7 + 1); r6 *= 16; r6 += r2
    r1 = r10; r1 += -16; r2 = 8; r3 = 0; r4 = 2; call kfunc bpf_dynptr_slice; if r0 == 0 goto none
    r1 = *(u8 *)(r0 + 1); r6 <<= 8; r6 |= r1; none: r0 = 0; if r6 != 0x1211 goto out; r0 = 1; out: exit"""


@pytest.mark.parametrize("hook", [1, 4])
def test_netfilter(hook: int) -> None:
    entry = Input(packet=FRAME, context={"state": STATE, "skb": SKB})
    world = World(kernel={STATE: bytes((hook, 2)) + bytes(38), SKB: bytes(8)})
    text = FILTER if hook == 1 else FILTER.replace("0x1211", "0x4211")
    for one in ENGINES.values():
        for order in one.abilities.orders:
            unit = Unit((assemble(text, order=order),), convention=TYPED["netfilter"])
            outcome = one.prepare(unit).run(entry, world.copy(), Limits())
            assert (outcome.status, outcome.r0) == ("done", 1)
    if not unavailable():
        unit = Unit((assemble(text, order=sys.byteorder),), convention=TYPED["netfilter"])
        assert LinuxEngine().prepare(unit).run(entry, world, Limits()).r0 == 1


NEEDS_ATTACHMENT = {"tracing", "lsm", "struct_ops", "ext", "unspec", "lirc_mode2"}
ATTACH = {
    "cgroup_sock": 2, "cgroup_device": 6, "cgroup_sock_addr": 8, "flow_dissector": 17, "cgroup_sysctl": 18,
    "cgroup_sockopt": 21, "sk_lookup": 36, "sk_reuseport": 39, "netfilter": 45,
}  # fmt: skip


@live
def test_who_may_call_is_what_the_kernel_says() -> None:
    """A call alone is a program that the kernel refuses, and its words say whether the type is why."""
    for one in KFUNCS.values():
        if one.name == "bpf_copy_from_user_str":
            continue  # the kernel first says that the program must sleep
        try:
            call = make(ROW["call_kfunc"], imm=kernel_types.function(one.name))
        except Refused:
            continue
        code = Program("p", (call, make(ROW["mov64_imm"], 0, imm=0), make(ROW["exit"])), sys.byteorder).encode()
        for name, kind in PROGRAM_TYPES.items():
            if name in NEEDS_ATTACHMENT:
                continue
            log = ""
            try:
                os.close(syscall.load(code, kind=kind.number, attach=ATTACH.get(name, 0))[0])
            except syscall.LoadError as error:
                if not error.log.strip():
                    continue  # the kernel does not know the type
                log = error.log
            allowed = not one.types or name in one.types
            assert allowed == ("is not allowed" not in log), (one.name, name)


CAST = "call kfunc bpf_cast_to_kern_ctx; r2 = *(u32 *)(r0 + {}); r3 = *(u64 *)(r0 + 4088); r0 = r2; r0 += r3; exit"


@pytest.mark.parametrize("name", ENGINES)
def test_the_structure_behind_a_context(name: str) -> None:
    """Of a kprobe it is the context itself, of others what is described."""
    (order, *_) = sorted(ENGINES[name].abilities.orders)
    world = World(kernel={SKB: bytes(112) + (77).to_bytes(4, order)}, context_object=SKB)  # type: ignore[arg-type]
    for kind, offset, expected in (("sched_cls", 112, 77), ("kprobe.x86_64", 112, 5)):
        unit = Unit((assemble(CAST.format(offset), order=order),), convention=TYPED[kind])
        context = {"di": 5 if order == "little" else 5 << 32} if kind != "sched_cls" else {}
        outcome = ENGINES[name].prepare(unit).run(Input(packet=FRAME, context=context), world.copy(), Limits())
        assert (outcome.status, outcome.r0) == ("done", expected)
    unit = Unit((assemble(CAST.format(112), order=order),), convention=TYPED["sched_cls"])
    outcome = ENGINES[name].prepare(unit).run(Input(packet=FRAME), World(), Limits())
    assert outcome.fault == Fault("kernel context", 0, 0, unit.context)


CASTED = """
    r9 = r1; r1 = {address}; r2 = {type}; call kfunc bpf_rdonly_cast; r8 = r0
    r7 = *(u64 *)(r8 + 0); r6 = *(u32 *)(r8 + 4); r7 += r6; r6 = *(s16 *)(r8 + 2); r7 += r6; r6 = *(s8 *)(r8 + 9)
    r7 += r6; r6 = *(u16 *)(r8 + 30); r7 += r6; r0 = r7; exit"""
ADDRESSES = ("0", "8", "0x7ffff000 ll", "0x7ffffffff000 ll", "0x800000000000 ll", "0x0123456789abcdef ll",
             "0x8000000000000000 ll", "0xfffffffffffff000 ll",
             "map_value[idx:0][0]", "map_value[idx:0][16]")  # fmt: skip


@live
@pytest.mark.parametrize("address", ADDRESSES)
def test_probe_loads_of_the_kernel(address: str) -> None:
    """What the kernel's own JIT gives where nothing is there, and where something is."""
    try:
        number = kernel_types.structure("task_struct")
        kernel_types.function("bpf_rdonly_cast")
    except Refused as reason:
        pytest.skip(str(reason))
    text = CASTED.format(address=address, type=number)
    unit = Unit((assemble(text, order=sys.byteorder),), (VALUE,))
    expected = ENGINES["interpreter"].prepare(unit).run(Input(bytes(64)), World(), LIMITS)
    assert (expected.r0 != 0) == ("map_value" in address)
    judged = trial(LinuxEngine(), unit, expected, Input(bytes(64)), World(), LIMITS)
    assert not judged.found, judged.found.what
    assert judged.found.decided, judged.found.why


@live
@pytest.mark.parametrize(
    "text",
    [
        "r1 = 41; call kfunc bpf_throw; r0 = 1; exit",
        "r1 = 41; call f; r0 = 1; exit; f: r6 = 3; call kfunc bpf_throw; r0 = 2; exit",
    ],
)
def test_the_kernel_unwinds(text: str) -> None:
    unit = Unit((assemble(text, order=sys.byteorder),), convention=TYPED["sched_cls"])
    assert ENGINES["interpreter"].prepare(unit).run(Input(packet=FRAME), World(), Limits()).r0 == 41
    try:
        assert LinuxEngine().prepare(unit).run(Input(packet=FRAME), World(), Limits()).r0 == 41
    except Refused as reason:
        pytest.skip(str(reason))
