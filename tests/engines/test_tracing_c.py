"""C programs that look into the kernel: kprobes, tracepoints, fentry and fexit, LSM, iterators, netfilter, syscall."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from bpf.errors import BadInput, NotHere, Refused
from bpf.object import load
from bpf.object.btf import Btf, Kind
from bpf.object.btf_build import Structure
from bpf.object.parts import open_parts
from bpf.plan import Unit
from bpf.program import Program
from bpf.spec.contexts import LAYOUTS
from bpf.spec.conventions import TYPED
from bpf.spec.program_types import of_section
from bpf.spec.registers import ARGUMENTS, REGISTERS
from bpf.text import assemble
from crossbpf import cc
from crossbpf.inputs import read_types
from engines import ENGINES, Engine, Options
from engines.binding import bind
from engines.iterating import inputs, iterates
from engines.linux import LinuxEngine, unavailable
from tests.engines.test_helper_programs import cpu
from tests.engines.typed import FRAME
from tests.live_kernel import live
from vm.outcome import difference
from vm.world import Content, Input, Limits, World

__all__ = ["cpu"]  # the fixture

SOURCES = Path(__file__).parents[1] / "data" / "types"
CHILD, PARENT, FIRST, BROTHER, FILE, STATE, SKB, NUMBER, META, COUNTER = (
    0xFFFF_8890_0000_0000 + 0x1100 * n for n in range(10)
)
SYMBOLS = {"counter": COUNTER, "init_task": PARENT, "nr_tasks": NUMBER, "text_start": 0xFFFF_FFFF_8100_0000}
MACHINE = {"little": "x86", "big": "s390"}
M64 = (1 << 64) - 1
LOCAL_OUT = 3  # NF_INET_LOCAL_OUT


@dataclass(frozen=True)
class Case:
    """A program, what it is given, what it returns (low 32 bits), how many probe loads it has.

    call    context of type syscall: two numbers; after: the third after the run
    lines   what it prints
    """

    name: str
    r0: int
    context: Mapping[str, int] = field(default_factory=dict)
    probes: int = 0
    call: tuple[int, int] | None = None
    after: int | None = None
    lines: tuple[str, ...] = ()


def words(*values: int) -> dict[str, int]:
    return {f"args[{at}]": value for at, value in enumerate(values)}


CASES = (
    Case("on_wake", 3 * 100 + 7 + 5 + 1, words(CHILD, 5), 5),
    Case("on_wake", 5, words(0, 5), 5),
    Case("after_wake", 12 - 3 + ord("b") + 64, words(CHILD, 5, 12), 5),
    Case("after_find", 3, words(CHILD, PARENT), 1),
    Case("on_switch", 3 * 10 + 7 + 1, words(1, PARENT, CHILD), 2),
    Case("on_open", -1, words(FILE, CHILD), 2),
    Case("on_open", 0, words(FILE, PARENT), 2),
    Case("dump", 7, words(META, CHILD), 6, lines=("pid comm", "  7 child")),
    Case("dump", 1000, words(META), 6, lines=("end",)),
    Case("by_number", 5 + 12 + 300 + 4, words(5, 6, 12), 2),
    Case("too_early", -95 + 7, words(5, 6, 12)),
    Case("filter", 1, {"state": STATE, "skb": SKB}, 3),
    Case("filter", 0, {"state": STATE, "skb": 0}, 3),
    Case("loops", sum(map(ord, "child")) * 2 - ord("d") + 3 + 18, words(CHILD), 1),
    Case("raw", 11, words(2, 5)),
    Case("called", 0, call=(3, 9), after=33),
    Case("parent", 3, call=(7, 0), probes=2),
    Case("parent", 0, call=(8, 0), probes=2),
    Case("symbols", 1 * 10 + 12, call=(0, 0), after=SYMBOLS["text_start"], probes=3),
)  # fmt: skip


@dataclass(frozen=True)
class Built:
    """What the compiler made in a byte order."""

    machine: Btf
    data: bytes
    types: Btf

    def program(self, name: str, symbols: Mapping[str, int] | None = None) -> Program:
        """A program for the machine."""
        return load(self.data, name=name, target=self.machine, symbols=SYMBOLS if symbols is None else symbols)[0]

    def structure(self, name: str, fields: Mapping[str, int | str]) -> Structure:
        """A structure of the machine's."""
        number = self.machine.find(name)
        assert number is not None
        return Structure(self.machine, number, fields)

    def world(self) -> World:
        """The machine's memory."""
        kernel: dict[int, Content] = {
            CHILD: self.structure("task_struct", {
                "pid": 7, "real_parent": PARENT, "mm": FIRST, "cred.nice": -3, "siblings[1]": BROTHER, "comm": "child",
            }),
            PARENT: self.structure("task_struct", {"pid": 3, "real_parent": FIRST}),
            FIRST: self.structure("task_struct", {"state": 64, "pid": 1}),
            BROTHER: self.structure("task_struct", {"comm": "bro"}),
            FILE: self.structure("file", {"f_mode": 2}),
            STATE: self.structure("nf_hook_state", {"hook": 3, "pf": 2}),
            SKB: self.structure("sk_buff", {"len": 60}),
            META: bytes(24),
            **{at: n.to_bytes(4, self.machine.order) for at, n in  # type: ignore[arg-type]
               ((NUMBER, 12), (COUNTER + (1 << 20), 3), (COUNTER + (2 << 20), 4))},
        }  # fmt: skip
        return World(kernel=kernel, tasks={7: CHILD}, cpu=1)


@pytest.fixture(scope="module")
def built() -> dict[str, Built]:
    try:
        cc.find()
    except NotHere as error:
        pytest.skip(str(error))
    found = {}
    for order, machine in MACHINE.items():
        data = cc.compile_c(SOURCES / "tracing.c", order, cflags=[f"-D__TARGET_ARCH_{machine}"])
        types, own = open_parts(cc.compile_c(SOURCES / "machine.c", order)).types, open_parts(data).types
        assert types is not None
        assert own is not None
        found[order] = Built(types, data, own)
    return found


def unit_of(prog: Program, kind: str = "") -> Unit:
    known = of_section(prog.section)
    assert known is not None
    return Unit((prog,), convention=TYPED[kind or known.name])


def everywhere(
    unit: Unit, entry: Input, world: World, r0: int, *more: Engine, lines: tuple[str, ...] = ()
) -> dict[str, int]:  # fmt: skip
    """Run on every engine of the unit's order; the context after the run."""
    expected = ENGINES["interpreter"].prepare(unit).run(entry, world.copy(), Limits())
    assert expected.status == "done", expected.fault
    assert expected.r0 & 0xFFFF_FFFF == r0 & 0xFFFF_FFFF
    assert expected.printed == lines
    for one in (*ENGINES.values(), *more):
        if unit.order in one.abilities.orders:
            outcome = one.prepare(unit, Options(observe=True)).run(entry, world.copy(), Limits())
            found = difference(expected, outcome)
            assert found.decided, one.name
            assert not found, (one.name, found.what)
    return dict(expected.context or {})


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.name} {case.r0}")
def test_programs(case: Case, built: dict[str, Built], cpu: Engine) -> None:
    for order, made in built.items():
        record = b"" if case.call is None else b"".join(n.to_bytes(4, order) for n in case.call) + bytes(8)  # type: ignore[arg-type]
        unit = unit_of(made.program(case.name))
        assert len(bind(unit).whole.probes) == case.probes
        entry = Input(context=case.context, record=record)
        context = everywhere(unit, entry, made.world(), case.r0, cpu, lines=case.lines)
        assert case.after is None or context["+8"] == case.after
    if case.name in ("called", "raw") and not unavailable():
        record = b"".join(n.to_bytes(4, sys.byteorder) for n in case.call or ()) + bytes(8)
        unit = unit_of(built[sys.byteorder].program(case.name))
        entry = Input(context=case.context, record=record if case.call else b"")
        outcome = LinuxEngine().prepare(unit).run(entry, World(), Limits())
        assert outcome.r0 & 0xFFFF_FFFF == case.r0
        assert case.after is None or (outcome.context or {})["+8"] == case.after


def test_a_tracepoint_by_the_fields_of_its_event(built: dict[str, Built]) -> None:
    for order, made in built.items():
        number = made.types.find("event")
        assert number is not None
        record = Structure(made.types, number, {"pid": 30, "comm": "\1\4"})
        unit = unit_of(made.program("traced"))
        everywhere(unit, Input(record=record), World(), 34)
        with pytest.raises(BadInput, match="a context of 12 bytes, and the program uses 14"):
            everywhere(unit, Input(record=record.encode(order)[:12]), World(), 0)


def test_kprobes_by_the_registers_of_a_machine(built: dict[str, Built]) -> None:
    for order, machine in (("little", "x86_64"), ("big", "s390x")):
        made, names = built[order], ARGUMENTS[machine]
        entry = Input(context={names[0]: CHILD, names[1]: 5})
        for kind in ("", f"kprobe.{machine}"):
            everywhere(unit_of(made.program("probe"), kind), entry, made.world(), 12)
        layout = LAYOUTS[f"pt_regs.{machine}"]
        record = bytearray(layout.size)
        for name, value in entry.context.items():
            at = layout.by_name[name].offset
            record[at : at + 8] = value.to_bytes(8, order)  # type: ignore[arg-type]
        unit = unit_of(made.program("probe"))
        everywhere(unit, Input(record=bytes(record)), made.world(), 12)
        everywhere(unit, Input(record=bytes(record), context={"arg2": 8}), made.world(), 15)
        with pytest.raises(BadInput, match=r"bytes of context: a pt_regs\.\w+ takes at most"):
            everywhere(unit, Input(record=bytes(record) + b"1"), made.world(), 12)
        result = "ax" if machine == "x86_64" else "gprs[2]"
        everywhere(unit_of(made.program("probed")), Input(context={result: 41}), World(), 42)


ARCHITECTURES = {"x86_64": "x86", "arm64": "arm64", "riscv64": "riscv", "ppc64": "powerpc", "s390x": "s390"}
RESULTS = {"x86_64": "ax", "arm64": "regs[0]", "riscv64": "a0", "ppc64": "gpr[3]", "s390x": "gprs[2]"}
PLACES = {"x86_64": "ip", "arm64": "pc", "riscv64": "pc", "ppc64": "nip", "s390x": "psw.addr"}
POINTERS = {"x86_64": "sp", "arm64": "sp", "riscv64": "sp", "ppc64": "gpr[1]", "s390x": "gprs[15]"}
SUM = """
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>
SEC("kprobe")
long sum(struct pt_regs *ctx)
{
    return PT_REGS_PARM1(ctx) + PT_REGS_PARM2(ctx) * 3 + PT_REGS_PARM3(ctx) * 9 + PT_REGS_PARM4(ctx) * 27 +
           PT_REGS_PARM5(ctx) * 81 + PT_REGS_RC(ctx) * 243 + PT_REGS_IP(ctx) * 729 + PT_REGS_SP(ctx) * 2187;
}
"""


@pytest.mark.deep
@pytest.mark.parametrize("machine", REGISTERS)
def test_the_macros_know_the_registers(machine: str, tmp_path: Path) -> None:
    (tmp_path / "sum.c").write_text(SUM, encoding="utf-8")
    order = "big" if machine == "s390x" else "little"
    try:
        data = cc.compile_c(tmp_path / "sum.c", order, cflags=[f"-D__TARGET_ARCH_{ARCHITECTURES[machine]}"])
    except NotHere as error:
        pytest.skip(str(error))
    names = [*ARGUMENTS[machine][:5], RESULTS[machine], PLACES[machine], POINTERS[machine]]
    values = {name: 1000 + at for at, name in enumerate(dict.fromkeys(names))}
    unit = unit_of(load(data)[0], f"kprobe.{machine}")
    everywhere(unit, Input(context=values), World(), sum(values[name] * 3**at for at, name in enumerate(names)))


def test_bytes_of_a_context_that_has_fields() -> None:
    unit = Unit((assemble("r0 = 0; exit"),), convention=TYPED["xdp"])
    with pytest.raises(BadInput, match="4 bytes of context: a xdp_md takes no bytes"):
        ENGINES["interpreter"].prepare(unit).run(Input(record=bytes(4)), World(), Limits())


def test_what_is_refused_by_name(built: dict[str, Built]) -> None:
    made = built["little"]
    with pytest.raises(Refused, match="kernel symbol text_start has no address") as caught:
        made.program("symbols", {})
    assert "--ksyms" in (caught.value.remedy or "")
    with pytest.raises(Refused, match="func 'find_parent' doesn't have 3-th argument"):
        bind(unit_of(replace(made.program("after_wake"), section="fexit/find_parent")))


def iterated(one: Engine, unit: Unit, world: World) -> tuple[list[int], list[str], World]:
    """What the runs of an iterator return and write."""
    prepared, found = one.prepare(unit), []
    for entry in inputs(unit, world):
        outcome = prepared.run(entry, world, Limits())
        assert outcome.status == "done", outcome.fault
        found.append(outcome.r0)
    return found, world.printed, world


def test_iterators_go_through_elements(built: dict[str, Built], cpu: Engine) -> None:
    for order, made in built.items():
        world = made.world()
        world.tasks[3] = PARENT
        for one in (*ENGINES.values(), cpu):
            if order in one.abilities.orders:
                unit = unit_of(made.program("dump"))
                found, printed, _ = iterated(one, unit, world.copy())
                assert found == [3, 7, 1000]
                assert printed == ["pid comm", "  3 ", "  7 child", "end"]
                unit = unit_of(made.program("elements"))
                counts = World(elements={"counts": [(5, 50), (6, 60)]})
                found, printed, counts = iterated(one, unit, counts)
                assert (found, printed) == ([0, 0, 0], ["5: 50", "6: 60", "2 elements"])
                assert counts.maps["counts"].value((6).to_bytes(4, order)) == (66).to_bytes(8, order)  # type: ignore[arg-type]


def test_what_no_iterator_goes_through(built: dict[str, Built]) -> None:
    prog = built["little"].program("dump")
    assert iterates(prog)
    assert not iterates(built["little"].program("on_wake"))
    with pytest.raises(BadInput, match="needs a hash or an array"):
        list(inputs(unit_of(replace(prog, section="iter/bpf_map_elem")), World()))
    with pytest.raises(Refused, match="no type says what an iterator of cgroup is called with"):
        list(inputs(unit_of(replace(prog, section="iter/cgroup")), World()))


@pytest.mark.deep
@live
def test_the_running_kernels_own_structures(built: dict[str, Built]) -> None:
    """A filter with CO-RE against the running kernel's types: the kernel has the structures, we describe them."""
    try:
        types = read_types("kernel")
    except BadInput as reason:
        pytest.skip(str(reason))
    prog = load(built[sys.byteorder].data, name="filter", target=types)[0]
    numbers = {name: types.find(name, Kind.STRUCT) or 0 for name in ("nf_hook_state", "sk_buff")}
    for frame, hook in ((FRAME, LOCAL_OUT), (FRAME, 2), (FRAME[:40], LOCAL_OUT)):
        size = len(frame) - 14 * (hook != LOCAL_OUT)  # what goes out has no link-layer header yet
        expected = int(hook == LOCAL_OUT and size > 40)
        state = Structure(types, numbers["nf_hook_state"], {"hook": hook, "pf": 2})
        skb = Structure(types, numbers["sk_buff"], {"len": size})
        entry = Input(packet=frame, context={"state": STATE, "skb": SKB})
        world = World(kernel={STATE: state, SKB: skb})
        everywhere(unit_of(prog), entry, world, expected)
        outcome = LinuxEngine().prepare(unit_of(prog)).run(entry, world, Limits())
        assert outcome.r0 == expected
