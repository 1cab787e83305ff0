"""Jumps and calls near and far, what a callee saves, what a call destroys, what helpers are given; long programs."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random

from bpf.isa import ROW, ROWS, Kind, Row, make
from bpf.isa.opcodes import FRAME_POINTER
from bpf.order import Order
from bpf.plan import POISON
from fuzz.suite.exercise import DATA, RESULTS, Case, Exercise
from fuzz.suite.values import EDGES, IMMEDIATES

FAR = 40_000  # slots; 16 bits hold 32,767
FARTHEST = 32_767
SAVED = range(6, 10)


def flow(row: Row, order: Order) -> Iterator[Case]:
    """The cases of a row that has to do with control, and for one that writes a register, of saving it."""
    if row.kind is Kind.GOTO:
        yield from (_jumps(row, order), _far_jumps(row, order))
    elif row.op == "call_local":
        yield from (_calls(row, order), _far_calls(row, order), _lost(row, order), _frames(row, order))
    elif row.op == "call_helper":
        yield from (_helpers(row, order), _arguments(row, order), _five_arguments(row, order), _lost(row, order))
    elif row.kind is Kind.EXIT:
        yield from (_calls(row, order), _last(row, order))
    if row.writes_dst or row.fetch:
        yield _saves(row, order)


def _full(exercise: Exercise) -> None:
    for register in range(10):
        exercise.set(register, EDGES[-1 - register])


def _jumps(row: Row, order: Order) -> Case:
    """Over instructions, forward and back. Each is reached by a branch that is not taken, so that no verifier minds."""
    exercise = Exercise(f"{row.name} control")
    _full(exercise)
    exercise.point(9, DATA, 0)
    exercise.add("ldx8", 9, 9)
    never = [exercise.add("jeq64_imm", 9, imm=1) for _ in range(2)]
    over = exercise.append(make(row))
    back = len(exercise.slots)
    exercise.add("mov64_imm", 6, imm=1)
    out = exercise.append(make(row))
    exercise.land(never[0])
    exercise.add("mov64_imm", 7, imm=2)
    exercise.land(over)
    exercise.land(never[1])
    slot = exercise.append(make(row))
    exercise.slots[slot] = make(row).with_distance(back - slot - 1)
    exercise.land(out)
    exercise.store((0, 6, 7), 9)
    exercise.add("mov64_imm", 0, imm=3)
    never[0] = exercise.add("jeq64_imm", 6, imm=2)
    last = exercise.append(make(row))
    exercise.land(never[0])
    exercise.add("mov64_imm", 0, imm=4)
    exercise.land(last)
    return exercise.finish_function(order)


def _last(row: Row, order: Order) -> Case:
    """A branch to the last instruction, an exit."""
    exercise = Exercise(f"{row.name} last")
    exercise.point(9, DATA, 0)
    exercise.add("ldx8", 9, 9)
    exercise.add("mov64_imm", 0, imm=3)
    taken = exercise.add("jne64_imm", 9, imm=0)
    exercise.add("mov64_imm", 0, imm=4)
    exercise.land(taken)
    return exercise.finish_function(order)


def _far_jumps(row: Row, order: Order) -> Case:
    """As far as the field holds and for gotol farther, forward and back; branches too, over the same instructions."""
    exercise = Exercise(f"{row.name} far")
    distance = FAR if row.op == "gotol" else FARTHEST - 3
    exercise.add("mov64_imm", 0, imm=1)
    exercise.append(make(row).with_distance(distance))
    start = len(exercise.slots)
    back = len(exercise.slots)
    exercise.add("lsh64_imm", 0, imm=4)
    exercise.add("or64_imm", 0, imm=3)
    exercise.add("exit")
    while len(exercise.slots) < start + distance:
        exercise.add("add64_imm", 0, imm=1)
    exercise.add("lsh64_imm", 0, imm=4)
    exercise.add("or64_imm", 0, imm=2)
    if row.op == "gotol":
        exercise.add("jne64_imm", 0, imm=0x12, off=1)
        exercise.append(make(row).with_distance(back - len(exercise.slots) - 1))
        exercise.add("jne64_imm", 0, off=-FARTHEST - 1)
        exercise.add("exit")
    else:
        exercise.append(make(row).with_distance(back - len(exercise.slots) - 1))
    return exercise.finish_function(order)


def _calls(row: Row, order: Order) -> Case:
    """A call with every register full; exits of two functions."""
    exercise = Exercise(f"{row.name} control")
    _full(exercise)
    call = exercise.add("call_local")
    exercise.store((0, 6, 7, 8, 10), 9)
    exercise.add("mov64_imm", 0, imm=7)
    exercise.add("jne64_imm", 0, imm=8, off=1)
    exercise.add("exit")
    exercise.add("exit")
    exercise.land(call)
    for register in SAVED:
        exercise.add("mov64_imm", register, imm=register)
    exercise.add("stx64", FRAME_POINTER, 1, -8)
    exercise.add("mov64_reg", 0, 5)
    exercise.add("ldx64", 1, FRAME_POINTER, -8)
    exercise.add("add64_reg", 0, 1)
    return exercise.finish_function(order)


def _far_calls(row: Row, order: Order) -> Case:
    """Farther than 16 bits, forward and back: the farther function calls the nearer one."""
    exercise = Exercise(f"{row.name} far")
    exercise.set(1, EDGES[-1])
    first = exercise.add("call_local")
    exercise.store((0,), 9)
    exercise.add("exit")
    near = len(exercise.slots)
    exercise.add("mov64_reg", 0, 1)
    exercise.add("exit")
    for _ in range(FAR):
        exercise.add("add64_imm", 0, imm=1)
    exercise.add("exit")
    exercise.land(first)
    exercise.add("add64_imm", 1, imm=5)
    slot = exercise.add("call_local")
    exercise.slots[slot] = make(ROW["call_local"]).with_distance(near - slot - 1)
    exercise.add("lsh64_imm", 0, imm=1)
    return exercise.finish_function(order)


def _frames(row: Row, order: Order) -> Case:
    """Eight functions, each with a frame of its own that it fills before the call and looks at after it."""
    exercise = Exercise(f"{row.name} frames")
    exercise.add("mov64_imm", 1, imm=0)
    for depth in range(8):
        for register in SAVED[: depth % 5]:
            exercise.add("mov64_imm", register, imm=16 * depth + register)
        exercise.add("stx64", FRAME_POINTER, FRAME_POINTER, -8)
        exercise.add("st64", FRAME_POINTER, off=-512, imm=depth)
        if depth < 7:
            call = exercise.add("call_local")
        for off in (-8, -512):
            exercise.add("ldx64", 3, FRAME_POINTER, off)
            exercise.store((3,), 4)
        exercise.add("mov64_imm", 0, imm=depth)
        for register in SAVED[: depth % 5]:
            exercise.add("add64_reg", 0, register)
        exercise.store((0,), 4)
        if depth < 7:
            exercise.add("exit")
            exercise.land(call)
    return exercise.finish_function(order)


def _helpers(row: Row, order: Order) -> Case:
    """Helper calls with every register full, twice in a row, R6-R9 alive across them."""
    exercise = Exercise(f"{row.name} control")
    _full(exercise)
    for _ in range(2):
        exercise.add("call_helper", imm=7)
        exercise.store((0, 6, 7, 8), 9)
    return exercise.finish(order)


def _arguments(row: Row, order: Order) -> Case:
    """A result of 64 bits, a pointer as argument, a call in a function of its own."""
    exercise = Exercise(f"{row.name} arguments")
    exercise.add("call_helper", imm=14)  # get_current_pid_tgid: both halves
    exercise.store((0,), 9)
    exercise.add("mov64_reg", 1, FRAME_POINTER)
    exercise.add("add64_imm", 1, imm=-16)
    exercise.add("mov64_imm", 2, imm=16)
    exercise.add("call_helper", imm=16)  # get_current_comm(address, size)
    exercise.add("ldx64", 3, FRAME_POINTER, -16)
    exercise.store((0, 3), 9)
    call = exercise.add("call_local")
    exercise.store((0, 6, 7, 8), 9)
    exercise.add("mov64_imm", 0, imm=0)
    exercise.add("exit")
    exercise.land(call)
    for register in SAVED:
        exercise.add("mov64_imm", register, imm=register)
    exercise.add("call_helper", imm=14)
    exercise.add("add64_reg", 0, 9)
    exercise.append(make(ROW["mov64_imm"], 1))
    return exercise.finish_function(order)


def _five_arguments(row: Row, order: Order) -> Case:
    """csum_diff(from, size, to, size, seed)."""
    exercise = Exercise(f"{row.name} five arguments")
    for n, (first, second) in enumerate(((8, 16), (0, 8), (16, 0), (32, 64))):
        exercise.point(1, RESULTS, 0)
        exercise.add("mov64_imm", 2, imm=first)
        exercise.add("mov64_reg", 3, FRAME_POINTER)
        exercise.add("add64_imm", 3, imm=-64)
        exercise.add("mov64_imm", 4, imm=min(second, 16))
        exercise.set(5, EDGES[5 * n + 3])
        for at in range(8):
            exercise.add("st64", FRAME_POINTER, off=-64 + 8 * at, imm=0x1357 * (at + n))
        exercise.add("call_helper", imm=28)
        exercise.store((0,), 9)
    return exercise.finish(order)


def _lost(row: Row, order: Order) -> Case:
    """What a call destroys is the same everywhere: read at once, behind a branch, at the head of a loop.

    No verifier lets a program do this. Compiled code pays for it only where it is read, which it has to find out.
    """
    exercise = Exercise(f"{row.name} lost")
    calls = []

    def call() -> None:
        _full(exercise)
        calls.append(exercise.append(make(row, imm=14 if row.op == "call_helper" else 0)))

    for register in range(1, 6):
        call()
        exercise.store((register,), 9)
    call()
    exercise.add("jne64_imm", 0, imm=0, off=3)
    exercise.add("mov64_imm", 1, imm=1)
    exercise.add("mov64_imm", 2, imm=1)
    exercise.add("ja", off=1)
    exercise.add("mov64_reg", 3, 1)
    exercise.add("mov64_reg", 4, 2)
    exercise.store((3, 4, 5), 9)
    exercise.add("mov64_imm", 7, imm=0)
    exercise.add("mov64_imm", 6, imm=3)
    exercise.add("mov64_imm", 5, imm=1)
    head = len(exercise.slots)
    exercise.add("add64_reg", 7, 5)
    exercise.add("mov64_imm", 1, imm=8)
    calls.append(exercise.append(make(row, imm=14 if row.op == "call_helper" else 0)))
    exercise.add("sub64_imm", 6, imm=1)
    exercise.add("jne64_imm", 6, imm=0, off=head - len(exercise.slots) - 1)
    exercise.store((7,), 9)
    exercise.add("mov64_imm", 0, imm=0)
    exercise.add("exit")
    if row.op == "call_local":
        for slot in calls:
            exercise.land(slot)
    # R0 where a function starts is read by a compare-and-exchange, which finds it in memory, and by nothing else.
    exercise.set(1, POISON)
    exercise.add("stx64", FRAME_POINTER, 1, -8)
    exercise.append(make(ROW["atomic64_cmpxchg"], FRAME_POINTER, FRAME_POINTER, -8))
    exercise.add("ldx64", 0, FRAME_POINTER, -8)
    return exercise.finish_function(order)


def _saves(row: Row, order: Order) -> Case:
    """Functions that change one of R6-R9 by this instruction alone; their caller's are as they were."""
    exercise = Exercise(f"{row.name} saves")
    _full(exercise)
    calls = []
    for register in SAVED:
        exercise.add("mov64_imm", 1, imm=register)
        calls.append(exercise.add("call_local"))
    exercise.store(SAVED, 5)
    exercise.add("mov64_imm", 0, imm=0)
    exercise.add("exit")
    for register, call in zip(SAVED, calls, strict=True):
        exercise.land(call)
        if row.kind is Kind.ATOMIC:
            exercise.add("st64", FRAME_POINTER, off=-8, imm=register)
            exercise.append(make(row, FRAME_POINTER, register, -8))
        elif row.kind is Kind.LOAD:
            exercise.add("st64", FRAME_POINTER, off=-8, imm=register)
            exercise.append(make(row, register, FRAME_POINTER, -8))
        elif row.kind is Kind.WIDE:
            exercise.append(make(row, register, imm=_wide_operand(row, len(exercise.slots))))
        else:
            operand = {"src": 1} if "src" in row.fields else {"imm": 3} if "imm" in row.fields else {}
            exercise.append(make(row, register, **operand))
        exercise.add("mov64_imm", 0, imm=register)
        if register < SAVED[-1]:
            exercise.add("exit")
    return exercise.finish_function(order)


def _wide_operand(row: Row, slot: int) -> int:
    return -(slot + 1) & 0xFFFF_FFFF if row.op == "func" else 0


def long_programs(order: Order) -> Iterator[Case]:
    """Thousands of instructions of all kinds in a function, with short and long branches; results stored on the way."""
    for seed, size in ((1, 3_000), (2, 3_000), (3, 12_000)):
        yield _long(seed, size, order)


_COMPUTE = tuple(row for row in ROWS if row.kind is Kind.ALU)
_BRANCH = tuple(row for row in ROWS if row.kind is Kind.BRANCH)
_LOAD = tuple(row for row in ROWS if row.kind is Kind.LOAD)
_STORE = tuple(row for row in ROWS if row.kind is Kind.STORE)
_ATOMIC = tuple(row for row in ROWS if row.kind is Kind.ATOMIC)


def _long(seed: int, size: int, order: Order) -> Case:
    random = Random(seed)
    exercise = Exercise(f"long {seed}")
    _full(exercise)
    for at in range(-64, 0, 8):
        exercise.add("st64", FRAME_POINTER, off=at, imm=at * 77)
    open_: list[tuple[int, int]] = []
    while len(exercise.slots) < size:
        for slot, end in list(open_):
            if len(exercise.slots) >= end:
                exercise.land(slot)
                open_.remove((slot, end))
        dst, src, imm = random.randrange(9), random.randrange(9), random.choice(IMMEDIATES)
        pick = random.random()
        if pick < 0.55:
            row = random.choice(_COMPUTE)
            if row.op in ("lsh", "rsh", "arsh"):
                imm &= row.width - 1
            elif row.op in ("div", "mod", "sdiv", "smod"):
                imm = imm or 1
            exercise.append(make(row, dst, src if "src" in row.fields else 0, imm=imm if "imm" in row.fields else 0))
        elif pick < 0.65:
            exercise.set(dst, random.choice(EDGES) ^ random.getrandbits(16))
        elif pick < 0.75:
            row = random.choice(_BRANCH)
            slot = exercise.append(
                make(row, dst, src if "src" in row.fields else 0, imm=imm if "imm" in row.fields else 0)
            )
            open_.append((slot, len(exercise.slots) + random.choice((1, 2, 5, 12, 30, 200, 900))))
        elif pick < 0.97:
            _touch(exercise, random, dst, src, imm)
        else:
            exercise.store((dst, src), 9)
    for slot, _ in open_:
        exercise.land(slot)
    exercise.store(range(9), 9)
    return exercise.finish(order)


def _touch(exercise: Exercise, random: Random, dst: int, src: int, imm: int) -> None:
    """An access to the 64 bytes below R10."""
    row = random.choice(random.choice((_LOAD, _STORE, _ATOMIC)))
    off = -64 + random.randrange(512 // row.width) * row.width // 8
    if row.kind is Kind.LOAD:
        exercise.append(make(row, dst, FRAME_POINTER, off))
    elif "src" in row.fields:
        exercise.append(make(row, FRAME_POINTER, src, off))
    else:
        exercise.append(make(row, FRAME_POINTER, off=off, imm=imm))
