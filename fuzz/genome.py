"""A generated program is a tuple of 64-bit integers, each of them one gesture.

A gesture is one to eight instructions that are valid wherever they stand. Decoding is total: any tuple is a program,
0 is the simplest gesture, and a smaller number is a simpler one, because each choice takes the lowest digit left of
the number in a mixed radix and lists its simplest option first. So a fuzzer draws and cuts plain numbers, and a
shrinker that deletes elements and lowers them makes programs simpler.

Programs run to their exit: accesses lie within the stack frame, the data map or the arena, atomics are aligned, loops
are bounded, calls go to functions that stand later, packet loads have the context.
"""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

from bpf.isa import ROW, ROWS, Insn, Kind, Row, make
from bpf.isa.opcodes import FRAME_POINTER
from bpf.order import Order
from bpf.plan import FRAME
from bpf.program import Map, Program, program
from fuzz.digits import OFFSETS, VALUES, Digits

DATA_SIZE = 256
DATA = Map("data", value_size=DATA_SIZE, initial=bytes((31 * n + 7) & 0xFF for n in range(DATA_SIZE)))
"""The map that generated programs work on."""

ARENA = Map("arena", kind="arena", value_size=0)
"""The arena of those that use one; its index is 1."""

JUMPS = Map("jumps", kind="prog_array", max_entries=3, programs=(0, -1, 0))
"""The prog array of those that tail-call: the program again, nothing, the program. Its index is the last."""

MAX_GESTURES = 200
MAX_FUNCTIONS = 4
MAX_LOOPS = 8
"""Loops of one program; further ones run their body once. Each turns at most four times, nested ones multiply."""

_M64 = (1 << 64) - 1
_STACK = 64  # bytes below R10 that accesses use; loop counters lie below them
_RECORDS = -_STACK - 8 * (MAX_LOOPS + 1)  # the slots below it, down to the end of the frame, keep results
_CONTEXT = _RECORDS  # the first of these slots keeps the context where there is one
_ALU = tuple(row for row in ROWS if row.kind is Kind.ALU)
_BRANCHES = tuple(row for row in ROWS if row.kind in (Kind.BRANCH, Kind.GOTO))
_PACKETS = tuple(row for row in ROWS if row.kind is Kind.PACKET)
_CASTS = sorted(ROW["addr_space_cast"].immediates)
_LOADS = tuple(row for row in ROWS if row.kind is Kind.LOAD)
_STORES = tuple(row for row in ROWS if row.kind is Kind.STORE)
_ATOMICS = tuple(row for row in ROWS if row.kind is Kind.ATOMIC)
_ACCESSES = (*_LOADS, *_STORES, *_ATOMICS)
_KINDS = (
    *("alu",) * 8,
    *("value",) * 2,
    *("store",) * 2,
    *("load",) * 3,
    *("atomic",) * 2,
    *("jump",) * 3,
    *("aim",) * 6,
    *("loop", "helper", "call", "function", "leave"),
    *("may_goto", "indirect", "cast", "packet", "tail"),
)  # weights; the simplest first
_BARE = frozenset(_KINDS) - {"helper", "may_goto", "indirect", "cast", "packet", "tail"}
_HELPERS = (7, 8, 14)  # get_prandom_u32, get_smp_processor_id, get_current_pid_tgid
_GET_CURRENT_COMM, _TAIL_CALL = 16, 12
_INDICES = (0, 1, 2, 3, 1 << 32, 0xFFFF_FFFF, (1 << 32) + 2, (1 << 32) + 3, _M64, 0x8000_0000)  # of tail calls


class _Body:
    """A function under construction: instructions, open jumps and loops, and calls to be settled."""

    def __init__(self, bare: bool = False, packet: bool = False) -> None:
        self.bare = bare
        self.packet = packet
        self.slots: list[Insn | None] = []
        self.open: list[tuple[int, int]] = []  # (gestures until it lands, slot of the jump)
        self.loops: list[
            tuple[int, int, int]
        ] = []  # (gestures until it ends, first slot of the body, counter's offset)
        self.calls: list[tuple[int, int]] = []  # (slot, digit that picks the callee)
        self.indirect: list[tuple[int, int]] = []  # (slot of a callx, its helper, 0 for a function)
        self.casts = False
        self.tails: list[int] = []  # slots of the prog array's lddw
        self.aim: Digits | None = None  # says what the operands of the next operation are set to
        if packet:
            self.add("stx64", FRAME_POINTER, 1, _CONTEXT)

    def add(self, name: str, dst: int = 0, src: int = 0, off: int = 0, imm: int = 0) -> None:
        """Append an instruction by its row's name."""
        self.append(make(ROW[name], dst, src, off, imm))

    def append(self, insn: Insn) -> None:
        """Append an instruction."""
        self.slots.append(insn)
        if insn.slots == 2:
            self.slots.append(None)

    def tick(self) -> None:
        """A gesture is complete: close loops that end here, then land jumps."""
        self.loops = [(left - 1, start, counter) for left, start, counter in self.loops]
        while self.loops and self.loops[-1][0] <= 0:
            self._close()
        self.open = [(left - 1, slot) for left, slot in self.open]
        self._land(0)

    def _close(self) -> None:
        _, start, counter = self.loops.pop()
        # A jump out of the body would skip the counter: it lands in front of it instead.
        inside = [(left, slot) for left, slot in self.open if slot >= start]
        self.open = [(left, slot) for left, slot in self.open if slot < start]
        for _, slot in inside:
            self._settle(slot)
        self.add("ldx64", 9, 10, counter)
        self.add("sub64_imm", 9, imm=1)
        self.add("stx64", 10, 9, counter)
        self.add("jne64_imm", 9, imm=0, off=start - len(self.slots) - 1)

    def land_all(self) -> None:
        """Every jump lands here that has not landed yet."""
        self._land(MAX_GESTURES)

    def _land(self, within: int) -> None:
        for left, slot in self.open:
            if left <= within:
                self._settle(slot)
        self.open = [(left, slot) for left, slot in self.open if left > within]

    def _settle(self, slot: int) -> None:
        insn = self.slots[slot]
        assert insn is not None
        self.slots[slot] = insn.with_distance(len(self.slots) - slot - 1)

    def finish(self) -> None:
        """Close what is open, and exit."""
        while self.loops:
            self._close()
        self.land_all()
        self.add("exit")


def decode(
    genome: Sequence[int], order: Order = "little", *, bare: bool = False, packet: bool = False,
    read: list[Digits] | None = None,
) -> Program:  # fmt: skip
    """The program of a genome, in a byte order. Total: never raises.

    bare: for runtimes that know code and memory only: no map, no helper, and nothing is read that was not set: every
    function sets the registers and the stack first, and after a call the caller sets R1-R5 again. packet: with loads
    from the packet, for the packet convention; R1 must be the context. read: is given the digits of each gesture.
    """
    bodies = [_Body(bare, packet)]
    if bare:
        _set_up(bodies[0])
    loops = 0
    for number in genome[:MAX_GESTURES]:
        digits = Digits(number)
        if read is not None:
            read.append(digits)
        kind = _KINDS[digits.below(len(_KINDS))]
        body = bodies[-1]
        if kind == "function":
            if len(bodies) < MAX_FUNCTIONS:
                bodies.append(_Body(bare, packet))
                if bare:
                    _set_up(bodies[-1])
            continue
        if kind == "aim":
            body.aim = digits
            continue
        if kind == "loop":
            if loops < MAX_LOOPS and len(body.loops) < 2:
                loops += 1
                _loop(body, digits, loops)
            continue
        if not bare or kind in _BARE:
            _GESTURES[kind](body, digits)
        if kind not in ("jump", "may_goto"):
            body.tick()
    for body in bodies:
        body.finish()
    return _link(bodies, order)


def radices(genome: Sequence[int]) -> list[list[int]]:
    """The radices of the digits that decoding reads of each gesture."""
    read: list[Digits] = []
    decode(genome, packet=True, read=read)
    return [digits.radices for digits in read] + [[]] * len(genome[MAX_GESTURES:])


def _set_up(body: _Body) -> None:
    """Every register and every byte of the stack that gestures use get a value."""
    for register in range(10):
        body.add("lddw_imm", register, imm=VALUES[-1 - register])
    for at in range(-_STACK, 0, 8):
        body.add("stx64", 10, -at // 8, at)


def _operation(row: Row, dst: int, body: _Body, digits: Digits) -> Insn:
    """An instruction of the row; after an aim, its operands are set first to values that suit it and each other."""
    src = imm = 0
    if "src" in row.fields:
        src = digits.below(12)
        src = dst if src > FRAME_POINTER else src
    elif "imm" in row.fields:
        imm = digits.immediate()
    if body.aim is not None:
        value = body.aim.beside(imm) if "imm" in row.fields else body.aim.edge()
        if dst != FRAME_POINTER:
            body.add("lddw_imm", dst, imm=value)
        if "src" in row.fields and src not in (dst, FRAME_POINTER):
            body.add("lddw_imm", src, imm=body.aim.edge() if body.aim.below(3) else body.aim.beside(value))
    return make(row, dst, src, imm=imm)


def _record(body: _Body, dst: int) -> None:
    """After an aim, what came of it may be kept where little else is: a register, or (R10) that we were here."""
    number = body.aim.below((_RECORDS + FRAME) // 8 + 1) if body.aim is not None else 0
    if number:
        slot = _RECORDS - 8 * number
        if dst == FRAME_POINTER:
            body.add("st64", FRAME_POINTER, off=slot, imm=1)
        else:
            body.add("stx64", FRAME_POINTER, dst, slot)
    body.aim = None


def _alu(body: _Body, digits: Digits) -> None:
    row, dst = digits.row(_ALU), digits.register()
    body.append(_operation(row, dst, body, digits))
    _record(body, dst)


def _value(body: _Body, digits: Digits) -> None:
    body.add("lddw_imm", digits.register(), imm=digits.value())


def _access(rows: Sequence[Row], body: _Body, digits: Digits) -> None:
    """One access: to the stack through R10, or to the data map through a register that is set up for it."""
    row = digits.row(rows)
    size = row.width // 8
    step = size if row.aligned else 1
    other = digits.register()
    if digits.below(2) == 0 or body.bare:
        base, off = 10, digits.below((_STACK - size) // step + 1) * step - _STACK
    else:
        base = digits.register()
        at = digits.below((DATA_SIZE - size) // step + 1) * step
        off = OFFSETS[digits.below(len(OFFSETS))]
        body.add("lddw_map_idx_value", base, imm=at << 32)
        if off:
            body.add("add64_imm", base, imm=-off)
    imm = digits.immediate() if "imm" in row.fields else 0
    dst, src = (other, base) if row.kind is Kind.LOAD else (base, other if "src" in row.fields else 0)
    if (
        row.op == "cmpxchg" and base != 0 and (guess := digits.below(3))
    ):  # R0 is what memory holds, under some upper half
        body.add("ldx64" if row.width == 64 else "ldx32" if guess == 1 else "ldsx32", 0, base, off)
    body.append(make(row, dst, src, off, imm))


def _jump(body: _Body, digits: Digits) -> None:
    """A jump, nearly always a conditional one, over the next one to four gestures."""
    row = digits.row(_BRANCHES)
    if row.kind is Kind.GOTO:
        body.open.append((1 + digits.below(4), len(body.slots)))
        body.append(make(row))
        return
    dst, reach = digits.below(11), 1 + digits.below(4)
    insn = _operation(row, dst, body, digits)
    body.open.append((reach, len(body.slots)))
    body.append(insn)
    _record(body, FRAME_POINTER)


def _may_goto(body: _Body, digits: Digits) -> None:
    body.open.append((1 + digits.below(4), len(body.slots)))
    body.append(make(ROW["may_goto"]))


def _leave(body: _Body, digits: Digits) -> None:
    """An exit that a conditional jump leaps over."""
    row = digits.row([row for row in _BRANCHES if row.kind is Kind.BRANCH])
    insn = _operation(row, digits.below(11), body, digits)
    body.aim = None
    body.append(insn.with_distance(1))
    body.add("exit")


def _loop(body: _Body, digits: Digits, number: int) -> None:
    """The head of a loop over the next one to four gestures, which turns one to four times; R9 counts in memory."""
    body.land_all()  # a jump into the body would go past the counter's first value
    counter = -_STACK - 8 * number
    body.add("st64", 10, off=counter, imm=1 + digits.below(4))
    body.loops.append((1 + digits.below(4), len(body.slots), counter))


def _helper(body: _Body, digits: Digits) -> None:
    """A helper without arguments, or one that is given 16 bytes of the stack."""
    helper = digits.below(len(_HELPERS) + 1)
    if helper < len(_HELPERS):
        body.add("call_helper", imm=_HELPERS[helper])
        return
    body.add("mov64_reg", 1, 10)
    body.add("add64_imm", 1, imm=-_STACK + digits.below(_STACK - 15))
    body.add("mov64_imm", 2, imm=16)
    body.add("call_helper", imm=_GET_CURRENT_COMM)


def _call(body: _Body, digits: Digits) -> None:
    _hand_on(body)
    body.calls.append((len(body.slots), digits.below(MAX_FUNCTIONS)))
    body.add("mov64_imm", 0, imm=0)  # becomes the call where there is a function to call
    if body.bare:
        for register in range(1, 6):
            body.add("mov64_imm", register, imm=register)


def _hand_on(body: _Body) -> None:
    """Before a call: the callee gets the context too."""
    if body.packet:
        body.add("ldx64", 1, FRAME_POINTER, _CONTEXT)


def _indirect(body: _Body, digits: Digits) -> None:
    """A call of a helper without arguments by a register, or (see _link) of the last function."""
    register, pick = digits.register(), digits.below(len(_HELPERS) + 2)
    helper = _HELPERS[pick] if pick < len(_HELPERS) else 0
    if not helper:
        _hand_on(body)
        register = register or 2  # not R1, which has the context
        register += register == 1
    body.add("lddw_imm", register, imm=helper)
    body.indirect.append((len(body.slots), helper))
    body.add("callx", register)


def _cast(body: _Body, digits: Digits) -> None:
    """A cast of any number, or of an address in the arena with an access there."""
    body.casts = True
    row, dst, imm = ROW["addr_space_cast"], digits.register(), _CASTS[digits.below(len(_CASTS))]
    if digits.below(2) == 0:
        body.append(make(row, dst, digits.below(11), imm=imm))
        return
    access = digits.row(_ACCESSES)
    size = access.width // 8
    step = size if access.aligned else 1
    at = 8 + digits.below((DATA_SIZE - size) // step + 1) * step  # not the start, whose lower half may be null
    body.add("lddw_map_idx_value", dst, imm=at << 32 | 1)
    if digits.below(2):
        body.add("mov32_reg", dst, dst)
    body.append(make(row, dst, dst, imm=imm))
    other = digits.register()
    value = digits.immediate() if "imm" in access.fields else 0
    load = access.kind is Kind.LOAD
    body.append(make(access, other if load else dst, dst if load else other if "src" in access.fields else 0, 0, value))


def _packet(body: _Body, digits: Digits) -> None:
    """A load from the packet, mostly from one of its first bytes by any of the three ways to count."""
    if not body.packet:
        return
    row, at = digits.row(_PACKETS), digits.below(24) + (0, 0, -0x10_0000, -0x20_0000)[digits.below(4)]
    offset = at if digits.below(8) else digits.immediate()
    body.add("ldx64", 6, FRAME_POINTER, _CONTEXT)
    if "src" not in row.fields:
        body.append(make(row, imm=offset))
        return
    src, imm = digits.register(), digits.immediate()
    if src != 6:
        body.add("lddw_imm", src, imm=(digits.edge() & -1 << 32 | (offset - imm) & 0xFFFF_FFFF) & _M64)
    body.append(make(row, src=src, imm=imm))


def _tail(body: _Body, digits: Digits) -> None:
    """A tail call, which has the context; what it leaves in R0 may be overwritten, since nobody may read it on Linux.

    Taken or not, a run ends: it enters the program 34 times at most.
    """
    if not body.packet:
        return
    body.add("lddw_imm", 3, imm=_INDICES[digits.below(len(_INDICES))])
    _hand_on(body)
    body.tails.append(len(body.slots))
    body.add("lddw_map_idx", 2)
    body.add("call_helper", imm=_TAIL_CALL)
    if digits.below(3) < 2:
        body.add("mov64_imm", 0, imm=digits.below(256))


_GESTURES = {
    "alu": _alu,
    "value": _value,
    "store": lambda body, digits: _access(_STORES, body, digits),
    "load": lambda body, digits: _access(_LOADS, body, digits),
    "atomic": lambda body, digits: _access(_ATOMICS, body, digits),
    "jump": _jump,
    "helper": _helper,
    "call": _call,
    "leave": _leave,
    "may_goto": _may_goto,
    "indirect": _indirect,
    "cast": _cast,
    "packet": _packet,
    "tail": _tail,
}


def _link(bodies: Sequence[_Body], order: Order) -> Program:
    """Put the functions that are reached one after the other, and settle the calls.

    Only the last function's address is taken, and it contains no callx then: that could be a call of itself.
    """
    last = len(bodies) - 1
    reached, taken = [0], False
    for index in reached:
        callees = [index + 1 + digit for _, digit in bodies[index].calls if index + 1 + digit <= last]
        if index < last and any(not helper for _, helper in bodies[index].indirect):
            taken = True
            callees.append(last)
        reached += [callee for callee in dict.fromkeys(callees) if callee not in reached]
    reached.sort()
    starts, total = {}, 0
    for index in reached:
        starts[index] = total
        total += len(bodies[index].slots)
    slots: list[Insn | None] = []
    for index in reached:
        slots += bodies[index].slots
        for slot, digit in bodies[index].calls:
            callee = index + 1 + digit
            if callee < len(bodies):
                at = starts[index] + slot
                slots[at] = make(ROW["call_local"], imm=starts[callee] - at - 1)
        for slot, helper in bodies[index].indirect:
            at = starts[index] + slot
            address = slots[at - 2]
            assert address is not None
            if helper and index == last and taken:
                slots[at] = make(ROW["call_helper"], imm=helper)
            elif not helper and index < last:
                slots[at - 2] = make(ROW["lddw_func"], address.dst, imm=starts[last] - at + 1 & 0xFFFF_FFFF)
            elif not helper:
                slots[at] = make(ROW["mov64_imm"])
    maps = (DATA, ARENA) if any(bodies[index].casts for index in reached) else (DATA,)
    tails = [starts[index] + slot for index in reached for slot in bodies[index].tails]
    for at in tails:
        slots[at] = make(ROW["lddw_map_idx"], 2, imm=len(maps))
    if tails:
        maps = (*maps, JUMPS)
    return program(slots, name="fuzz", order=order, maps=() if bodies[0].bare else maps)


def draw(random: Random, size: int = 30) -> tuple[int, ...]:
    """A random genome of 1 to `size` gestures; small numbers, and so simple gestures and edges, are frequent."""
    return tuple(
        random.getrandbits(64) >> random.choice((0, 0, 0, 16, 32, 40, 48)) for _ in range(random.randint(1, size))
    )
