"""What a run gave, and whether two runs gave the same."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

from bpf.order import Order
from bpf.plan import Unit
from vm.maps.base import Contents, Value
from vm.network import Sent

Status = Literal["done", "fault", "limit", "unspecified"]


@dataclass(frozen=True, slots=True)
class Fault:
    """Why a run ended early.

    kind     read, write: memory that is not there or not writable; context: a load from the packet without R6 being
             the context, or a helper that needs it and gets something else; call target: callx of what is neither;
             map handle, map operation, ringbuf record, deadlock: a helper was asked for what no verifier lets through;
             fetch, trap: native code went wrong;
             abi: native code returned but broke the calling convention (`detail` says how);
             error: an external runtime failed in its own way (`detail` is what it said)
    program  index of the program in the unit
    pc       8-byte slot of the instruction, -1 where it is none of the program's (native prologue, say)
    address  the first byte that could not be reached; 0 where there is none
    """

    kind: str
    program: int = 0
    pc: int = -1
    address: int = 0
    detail: str = ""

    def __str__(self) -> str:
        where = f" at insn {self.pc}" if self.pc >= 0 else ""
        where += f" of program {self.program}" if self.program else ""
        address = f" of 0x{self.address:x}" if self.address else ""
        return f"{self.kind} fault{address}{where}" + (f" ({self.detail})" if self.detail else "")


def located(fault: Fault | None, unit: Unit) -> Fault | None:
    """A fault at a slot of Unit.whole as one of a program."""
    if fault is None or fault.pc < 0 or len(unit.programs) == 1:
        return fault
    number, pc = unit.place(fault.pc)
    return replace(fault, program=number, pc=pc)


@dataclass(frozen=True, slots=True)
class Call:
    """A helper call: the helper's name and the arguments that its prototype has."""

    helper: str
    arguments: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Moved:
    """Where an engine that chooses addresses itself has put things: how far from where the plan has them.

    order      byte order of the program
    distances  actual address - the plan's, modulo 2**64, for each region and whatever else has an address

    A value that is off by one of these distances is the same address, whichever of them it belongs to.
    """

    order: Order = "little"
    distances: frozenset[int] = frozenset()

    def same(self, planned: int, actual: int) -> bool:
        """Whether two 64-bit values are equal, or the same address here and there."""
        return planned == actual or (actual - planned) & (1 << 64) - 1 in self.distances

    def first(self, planned: bytes, actual: bytes) -> int | None:
        """The first byte that differs and belongs to no address; None where there is none."""
        at = 0
        while planned[at:] != actual[at:]:
            at = next(i for i in range(at, len(planned)) if planned[i] != actual[i])
            words = (
                start
                for start in range(max(at - 7, 0), min(at, len(planned) - 8) + 1)
                if self.same(*(int.from_bytes(side[start : start + 8], self.order) for side in (planned, actual)))
            )
            start = next(words, None)
            if start is None:
                return at
            at = start + 8
        return None


AT_THE_PLAN = Moved()


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a run gave. A field that the engine cannot show is None.

    status     done, fault, limit (instructions or time ran out), unspecified (no engine must agree: a misaligned
               atomic, a compare-and-exchange with read-only memory that holds another value)
    r0         64 bits unsigned
    registers  R0-R9 at the entered function's exit; only with Options.observe; None for one that is not shown
    regions    name -> bytes of every region after the run, whole pages
    calls      helper calls in order
    printed    lines that helpers printed
    counts     "instructions": executed BPF instructions; "native": executed native ones (where counted);
               "ran_out": how many may_goto have gone elsewhere (where counted, and not 0)
    moved      how far addresses are from the plan's
    maps       name -> contents of every map but global data and arenas, which are regions
    context    field name -> value of the context after the run; packet: the packet then. Of a program type
    sent       where helpers have directed packets, in order; which of them counts the return value says
    """

    status: Status
    r0: int = 0
    registers: tuple[int | None, ...] | None = None
    regions: Mapping[str, bytes] | None = None
    calls: tuple[Call, ...] | None = None
    printed: tuple[str, ...] | None = None
    fault: Fault | None = None
    counts: Mapping[str, int] = field(default_factory=dict)
    moved: Moved = AT_THE_PLAN
    maps: Mapping[str, Contents] | None = None
    context: Mapping[str, int] | None = None
    packet: bytes | None = None
    sent: tuple[Sent, ...] | None = None

    def summary(self) -> str:
        """R0 or the way the run ended, in a few words."""
        if self.status == "done":
            return f"0x{self.r0:x}"
        return str(self.fault) if self.fault else self.status


@dataclass(frozen=True, slots=True)
class Difference:
    """The first field in which two outcomes differ, in words, and what could not be compared.

    what     "" where nothing differs
    decided  False when one of the two ran into a limit or is unspecified: then nothing was compared
    skipped  names of fields that one of the two does not show
    why      why nothing was decided, where the statuses do not say it
    """

    what: str = ""
    decided: bool = True
    skipped: tuple[str, ...] = ()
    why: str = ""

    def __bool__(self) -> bool:
        return bool(self.what)


def difference(a: Outcome, b: Outcome, *, stack: bool = True) -> Difference:
    """Compare two outcomes of the same unit, plan and input, a being the one that is believed, at the plan's addresses.

    stack: whether the BPF stack counts (without Options.observe, passes may leave dead stores out).
    """
    if "limit" in (a.status, b.status):
        return Difference(decided=False, what="")
    if "unspecified" in (a.status, b.status):
        return Difference(decided=False)
    if a.status != b.status or not _same_fault(a.fault, b.fault):
        return Difference(f"ended with {b.summary()}, expected {a.summary()}")
    skipped = [
        name
        for name in ("registers", "regions", "calls", "printed", "maps")
        if (getattr(a, name) is None) != (getattr(b, name) is None)
    ]
    if (a.sent is None or b.sent is None) and (a.sent or b.sent):
        skipped.append("sent")
    if a.status == "done":
        if not b.moved.same(a.r0, b.r0):
            return Difference(f"R0 is 0x{b.r0:x}, expected 0x{a.r0:x}")
        if a.registers is not None and b.registers is not None:
            for number, (left, right) in enumerate(zip(a.registers, b.registers, strict=True)):
                if left is not None and right is not None and not b.moved.same(left, right):
                    return Difference(f"R{number} is 0x{right:x}, expected 0x{left:x}")
    if a.calls is not None and b.calls is not None and a.calls != b.calls:
        return Difference(_first_call(a.calls, b.calls))
    if a.printed is not None and b.printed is not None and a.printed != b.printed:
        return Difference(f"printed {list(b.printed)}, expected {list(a.printed)}")
    if a.sent is not None and b.sent is not None and a.sent != b.sent:
        return Difference(f"sent {list(map(str, b.sent))}, expected {list(map(str, a.sent))}")
    if a.maps is not None and b.maps is not None and (what := _maps(a.maps, b.maps, b.moved)):
        return Difference(what)
    if what := _first_of_context(a, b):
        return Difference(what)
    if a.regions is not None and b.regions is not None:
        for name, left_bytes in a.regions.items():
            right_bytes = b.regions.get(name)
            if right_bytes is None or right_bytes == left_bytes or (name == "stack" and not stack):
                continue
            at = b.moved.first(left_bytes, right_bytes)
            if at is not None:
                return Difference(f"{name} byte {at} is 0x{right_bytes[at]:02x}, expected 0x{left_bytes[at]:02x}")
    return Difference(skipped=tuple(skipped))


def _first_of_context(expected: Outcome, got: Outcome) -> str:
    """The first field that both contexts have, or byte of the packet, in which two outcomes differ; "" for none."""
    for name, value in (expected.context or {}).items():
        other = (got.context or {}).get(name, value)
        if value != other:
            return f"context field {name} is 0x{other:x}, expected 0x{value:x}"
    left, right = expected.packet, got.packet
    if left is None or right is None or left == right:
        return ""
    if len(left) != len(right):
        return f"the packet has {len(right)} bytes, expected {len(left)}"
    at = next(i for i in range(len(left)) if left[i] != right[i])
    return f"packet byte {at} is 0x{right[at]:02x}, expected 0x{left[at]:02x}"


def _same_fault(a: Fault | None, b: Fault | None) -> bool:
    """Whether two faults are one; that of an external runtime, which says nothing of it, is like any other."""
    return a == b or (a is not None and b is not None and "error" in (a.kind, b.kind))


def _maps(expected: Mapping[str, Contents], got: Mapping[str, Contents], moved: Moved) -> str:
    """The first map that two outcomes both show and that differs, in words; "" for none."""
    for name, left in expected.items():
        right = got.get(name)
        if right is None or left == right:
            continue
        what = _elements(left, right, moved)
        if what:
            return f"map {name} {what}"
    return ""


def _elements(left: Contents, right: Contents, moved: Moved) -> str:
    pairs: list[tuple[str, Value, Value]]
    if isinstance(left, tuple) or isinstance(right, tuple):
        if len(left) != len(right):
            return f"has {len(right)} values, expected {len(left)}"
        pairs = [(str(n), one, other) for n, (one, other) in enumerate(zip(left, right, strict=True))]
    else:
        for name in (*left, *right):
            if name not in right or name not in left:
                return f"has no key {name.hex()}" if name in left else f"has a key {name.hex()}, expected none"
        pairs = [(key.hex(), value, right[key]) for key, value in left.items()]
    for key, one, other in pairs:
        for cpu, mine, its in _by_cpu(one, other):
            if mine is None or its is None or mine == its:
                continue
            if len(mine) != len(its) or moved.first(mine, its) is not None:
                return f"[{key}]{cpu} is {its.hex()}, expected {mine.hex()}"
    return ""


def _by_cpu(one: Value, other: Value) -> list[tuple[str, bytes | None, bytes | None]]:
    if isinstance(one, bytes) or isinstance(other, bytes):
        assert isinstance(one, bytes)
        assert isinstance(other, bytes)
        return [("", one, other)]
    return [(f" on CPU {n}", mine, its) for n, (mine, its) in enumerate(zip(one, other, strict=True))]


def _first_call(expected: tuple[Call, ...], got: tuple[Call, ...]) -> str:
    for number, (left, right) in enumerate(zip(expected, got, strict=False)):
        if left != right:
            return f"helper call {number} is {_call(right)}, expected {_call(left)}"
    return f"{len(got)} helper calls, expected {len(expected)}"


def _call(call: Call) -> str:
    return f"{call.helper}({', '.join(f'0x{argument:x}' for argument in call.arguments)})"
