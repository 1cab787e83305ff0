"""Programs near the border that call: locks, ring buffers, dynptrs, iterators, callbacks, functions, tail calls.

The gestures of fuzz/border.py and some more. Most of these do all that is right and leave out a part now and then. What
they call back or call is a function behind the program, of a few gestures itself.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from bpf.isa import ROW, Insn, make
from bpf.object.btf import Btf, Kind, Member, Type
from bpf.order import Order
from bpf.program import Map, Program, program
from bpf.spec.kfuncs import BY_NAME
from fuzz import border
from fuzz.border import CONTEXT, FP, GESTURES, MAPS, POINTER, Body, after_call
from fuzz.digits import Digits

_LOCKED, _FUNCTION = 4, 5  # types
_TYPES = (
    Type(Kind.TYPEDEF, "void"),
    Type(Kind.INT, "int", 4, encoding=1, bits=32),
    Type(Kind.INT, "unsigned long", 8, bits=64),
    Type(Kind.STRUCT, "bpf_spin_lock", 4, members=(Member("val", 1, 0),)),
    Type(Kind.STRUCT, "locked", 16, members=(Member("a", 1, 0), Member("lock", 3, 32), Member("b", 2, 64))),
    Type(Kind.FUNC_PROTO, "", type=1),
)
RING = Map("ring", "ringbuf", 0, 0, 4096)
LOCKED = Map("locked", "array", 4, 16, 2, lock=4, value_type=_LOCKED)
PROGRAMS = Map("programs", "prog_array", 4, 4, 2)
_RING, _LOCKS, _PROGRAMS = range(len(MAPS), len(MAPS) + 3)
_MAX_FUNCTIONS = 6
_MORE = 0x9E37_79B9_7F4A_7C15
_PLAIN = tuple(
    one
    for one in GESTURES
    if one.__name__ in ("_number", "_mask", "_alu", "_copy", "_compare", "_access", "_stack", "_spill")
)
_SIZES = (8, 16, 1, 0, 24, 4096)


class _Calls(Body):
    """A program with functions behind it.

    calls  slots of what names a function, and which; mays: open loops of may_goto, (gestures left, start)
    """

    def __init__(self) -> None:
        super().__init__()
        self.functions: list[Body] = []
        self.calls: list[tuple[int, int]] = []
        self.mays: list[tuple[int, int]] = []

    def kfunc(self, name: str) -> None:
        """Call a kernel function."""
        self.add("call_kfunc", imm=BY_NAME[name].number)

    def names(self, name: str, dst: int, function: int) -> None:
        """An instruction that names a function."""
        self.calls.append((len(self.slots), function))
        self.add(name, dst)

    def tick(self) -> None:
        """A gesture is complete."""
        super().tick()
        self.mays = [(left - 1, start) for left, start in self.mays]
        while self.mays and self.mays[-1][0] <= 0:
            _, start = self.mays.pop()
            self.land(lambda left, slot, start=start: slot >= start)  # type: ignore[misc]
            self.add("ja", off=start - len(self.slots) - 1)
            head = self.slots[start]
            assert head is not None
            self.slots[start] = head.with_distance(len(self.slots) - start - 1)


def _function(body: _Calls, digits: Digits, *, callback: bool) -> int:
    """A new function of a few gestures, or an old one; its number."""
    old = digits.below(4) == 3
    if body.functions and (old or len(body.functions) == _MAX_FUNCTIONS):
        return digits.below(len(body.functions))
    made = Body()
    made.add("mov64_reg", 9, 2 if callback else 1)
    made.add("mov64_imm", 0)
    for register in (3, 4, 5) if callback else ():
        made.add("mov64_imm", register, imm=register)
    for turn in range(digits.below(4)):
        own = Digits(digits.rest * _MORE + turn)
        _PLAIN[own.below(len(_PLAIN))](made, own)
        made.tick()
    made.land(lambda left, slot: True)
    result = digits.below(5)
    if result < 4:
        made.add("mov64_imm", 0, imm=(0, 1, 0, 2)[result])
    made.add("exit")
    body.functions.append(made)
    return len(body.functions) - 1


def _call(body: _Calls, digits: Digits) -> None:
    function = _function(body, digits, callback=False)
    if digits.below(2):
        body.add("mov64_reg", 1, (POINTER, FP, CONTEXT)[digits.below(3)])
        body.add("mov64_imm", 2, imm=2)
    body.names("call_local", 0, function)
    after_call(body)


def _loop(body: _Calls, digits: Digits) -> None:
    function = _function(body, digits, callback=True)
    body.add("mov64_imm", 1, imm=(3, 0, 1, 100)[digits.below(4)])
    body.names("lddw_func", 2, function)
    body.add("mov64_reg", 3, (FP, FP, POINTER, 5)[digits.below(4)])
    if digits.below(2):
        body.add("add64_imm", 3, imm=-8 * (1 + digits.below(8)))
    body.add("mov64_imm", 4)
    body.add("call_helper", imm=181)
    after_call(body)


def _each(body: _Calls, digits: Digits) -> None:
    function = _function(body, digits, callback=True)
    body.add("lddw_map_idx", 1, imm=digits.below(3))
    body.names("lddw_func", 2, function)
    body.add("mov64_reg", 3, (FP, POINTER)[digits.below(2)])
    body.add("mov64_imm", 4)
    body.add("call_helper", imm=164)
    after_call(body)


def _ring(body: _Calls, digits: Digits) -> None:
    """Reserve, write, give back; each but the first may be left out."""
    parts = digits.below(12)
    size = _SIZES[digits.below(len(_SIZES))]
    body.add("lddw_map_idx", 1, imm=_RING)
    body.add("mov64_imm", 2, imm=size)
    body.add("mov64_imm", 3)
    body.add("call_helper", imm=131)
    after_call(body)
    over = len(body.slots)
    if parts != 1:
        body.slots.append(make(ROW["jeq64_imm"], 0))
    if parts != 2:
        body.add("st64", 0, off=8 * digits.below(3), imm=7)
    if parts == 4:
        body.add("mov64_reg", POINTER, 0)
    if parts != 3:
        body.add("mov64_reg", 1, 0)
        body.add("mov64_imm", 2)
        body.add("call_helper", imm=132 + digits.below(2))
        after_call(body)
    _lands(body, over)


def _lands(body: Body, slot: int) -> None:
    """The jump at a slot, if there is one, lands here."""
    insn = body.slots[slot]
    if insn is not None and insn.row.name.startswith("jeq"):
        body.slots[slot] = insn.with_distance(len(body.slots) - slot - 1)


def _lock(body: _Calls, digits: Digits) -> None:
    """Look up, lock, a gesture, unlock; each may be left out."""
    parts = digits.below(10)
    body.add("st32", FP, off=-68, imm=digits.below(3))
    body.add("mov64_reg", 2, FP)
    body.add("add64_imm", 2, imm=-68)
    body.add("lddw_map_idx", 1, imm=_LOCKS)
    body.add("call_helper", imm=1)
    body.add("mov64_reg", POINTER, 0)
    after_call(body)
    over = len(body.slots)
    if parts != 1:
        body.slots.append(make(ROW["jeq64_imm"], POINTER))
    for helper in (93, 94):
        if parts != helper - 91:
            body.add("mov64_reg", 1, POINTER)
            body.add("add64_imm", 1, imm=4)
            body.add("call_helper", imm=helper)
            after_call(body)
        if helper == 93 and digits.below(2):
            own = Digits(digits.rest * _MORE)
            _PLAIN[own.below(len(_PLAIN))](body, own)
    _lands(body, over)


def _tail(body: _Calls, digits: Digits) -> None:
    body.add("mov64_reg", 1, CONTEXT)
    body.add("lddw_map_idx", 2, imm=_PROGRAMS)
    body.add("mov64_imm", 3, imm=digits.below(3))
    body.add("call_helper", imm=12)
    after_call(body)


def _may(body: _Calls, digits: Digits) -> None:
    """The head of a loop over the next gestures that ends by itself."""
    if len(body.mays) + len(body.loops) >= 2:
        return
    body.land(lambda left, slot: True)
    body.mays.append((2 + digits.below(3), len(body.slots)))
    body.slots.append(make(ROW["may_goto"]))


def _slot(body: Body, register: int, digits: Digits) -> None:
    """A register points to one of few places on the stack."""
    body.add("mov64_reg", register, FP)
    body.add("add64_imm", register, imm=(-24, -48, -24, -40, -16, -20)[digits.below(6)])


def _dynptr(body: _Calls, digits: Digits) -> None:
    body.add("mov64_reg", 1, POINTER)
    body.add("mov64_imm", 2, imm=(16, 8, 48, 0)[digits.below(4)])
    body.add("mov64_imm", 3)
    _slot(body, 4, digits)
    body.add("call_helper", imm=197)
    after_call(body)


def _use_dynptr(body: _Calls, digits: Digits) -> None:
    way = digits.below(5)
    if way == 0:  # read
        _slot(body, 3, digits)
        body.add("mov64_reg", 1, FP)
        body.add("add64_imm", 1, imm=-8 * (1 + digits.below(8)))
        body.add("mov64_imm", 2, imm=(8, 16, 1)[digits.below(3)])
        body.add("mov64_imm", 4)
        body.add("mov64_imm", 5)
        body.add("call_helper", imm=201)
    elif way == 1:  # write
        _slot(body, 1, digits)
        body.add("mov64_imm", 2)
        body.add("mov64_reg", 3, FP)
        body.add("add64_imm", 3, imm=-64)
        body.add("mov64_imm", 4, imm=8)
        body.add("mov64_imm", 5)
        body.add("call_helper", imm=202)
    else:
        _slot(body, 1, digits)
        body.add("mov64_imm", 2)
        if way == 4:
            body.kfunc("bpf_dynptr_size")
        elif way == 3:
            body.add("mov64_imm", 3)
            body.add("mov64_imm", 4, imm=8)
            body.kfunc("bpf_dynptr_slice_rdwr")
        else:
            body.add("mov64_imm", 3, imm=8)
            body.add("call_helper", imm=203)
        body.add("mov64_reg", POINTER, 0)
    after_call(body)
    if way in (2, 3) and digits.below(3):
        body.jump(make(ROW["jeq64_imm"], POINTER), 1 + digits.below(3))


def _iterate(body: _Calls, digits: Digits) -> None:
    """A loop with an iterator, around a gesture."""
    parts = digits.below(12)
    at = -8 * (1 + digits.below(8))

    def step(name: str) -> None:
        body.add("mov64_reg", 1, FP)
        body.add("add64_imm", 1, imm=at)
        if name == "new":
            body.add("mov64_imm", 2)
            body.add("mov64_imm", 3, imm=(3, 10, 0)[digits.below(3)])
        body.kfunc(f"bpf_iter_num_{name}")

    if parts != 1:
        step("new")
    body.land(lambda left, slot: True)
    head = len(body.slots)
    step("next")
    after_call(body)
    over = len(body.slots)
    body.slots.append(make(ROW["jeq64_imm"], 0))
    body.add("ldx32", digits.below(6), 0)
    for turn in range(digits.below(3)):
        own = Digits(digits.rest * _MORE + turn)
        _PLAIN[own.below(len(_PLAIN))](body, own)
    body.land(lambda left, slot: True)
    if parts != 2:
        body.add("ja", off=head - len(body.slots) - 1)
    _lands(body, over)
    if parts != 3:
        step("destroy")
    body.add("mov64_imm", 0)
    after_call(body)


_CALLS: tuple[Callable[[_Calls, Digits], None], ...] = (
    _call, _loop, _each, _ring, _lock, _tail, _may, _dynptr, _dynptr, _use_dynptr, _use_dynptr, _iterate, _call, _loop,
)  # fmt: skip


def decode(genome: Sequence[int], order: Order = "little") -> Program:
    """The program of a genome. Total: never raises."""
    body = _Calls()
    border.begin(body)
    for number in genome[: border.MAX_GESTURES]:
        digits = Digits(number)
        which = digits.below(len(GESTURES) + len(_CALLS))
        if which < len(_CALLS):
            _CALLS[which](body, digits)
        else:
            GESTURES[which - len(_CALLS)](body, digits)
        body.tick()
    while body.mays:
        body.mays = [(0, start) for _, start in body.mays]
        body.tick()
    border.end(body)
    starts = [0]
    slots: list[Insn | None] = list(body.slots)
    for function in body.functions:
        starts.append(len(slots))
        slots += function.slots
    for slot, function_number in body.calls:
        insn = slots[slot]
        assert insn is not None
        slots[slot] = insn.with_distance(starts[1 + function_number] - slot - 1)
    made = program(slots, name="border", order=order, maps=(*MAPS, RING, LOCKED, PROGRAMS))
    types = (*_TYPES, *(Type(Kind.FUNC, f"f{start}", type=_FUNCTION) for start in starts))
    return replace(made, btf=Btf(types), types={start: len(_TYPES) + at for at, start in enumerate(starts)})
