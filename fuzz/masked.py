"""Programs near the border of what a loader without CAP_PERFMON may do: a profile of the genome (see fuzz/genome.py).

Each number is one gesture: a number within bounds, a pointer moved by it either way, an access at the edge, paths that
meet with other bounds or other pointers, pointers that get to where they could be read, compared pointers, spilled ones
that are overwritten in part, stack that nothing was written to, a function that is given a pointer. Decoding is total.
The programs are of type sched_cls or cgroup_skb, which have the fields of the context that are used.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from bpf.order import Order
from bpf.program import Map, Program
from bpf.text import assemble
from fuzz.border import DATA, LIST, TABLE
from fuzz.digits import Digits

MAX_GESTURES = 40
MAPS: tuple[Map, ...] = (DATA, TABLE, LIST)
_START = (
    "r6 = r1", "r9 = map_value[idx:0][0]", "r0 = *(u64 *)(r9 + 0)", "r1 = *(u32 *)(r9 + 8)", "r2 = *(u8 *)(r9 + 16)",
    "r3 = 8", "r4 = r10", "r4 += -32", "r5 = 1", "r7 = *(u32 *)(r6 + 76)", "r8 = *(u32 *)(r6 + 80)",
)  # fmt: skip
_END = ("r0 = 0", "exit")
_FUNCTIONS = (
    "first:", "r0 = *(u8 *)(r1 + 0)", "exit", "second:", "r2 &= 7", "r1 += r2", "r0 = *(u8 *)(r1 + 0)", "exit",
    "third:", "if r2 > 15 goto +1", "r1 += r2", "r0 = 0", "*(u8 *)(r1 + 0) = r0", "exit",
)  # fmt: skip
_BOUNDS = (7, 15, 31, 1, 63, 64, 47, 48, 8, 40, 255)
_SIZES = (1, 2, 4, 8)
_EDGES = (0, 0, 1, 7, 8, 16, 31, 32, 40, 47, 48, 56, 57, 60, 63, 64, -1, -8)
_COMPARISONS = ("==", "!=", ">", ">=", "<", "<=", "s>", "s>=", "s<", "s<=", "&")
_Gesture = Callable[[Digits], list[str]]


def _pick(digits: Digits, among: Sequence[int]) -> int:
    return among[digits.below(len(among))]


def _scalar(digits: Digits) -> str:
    return f"r{digits.below(4)}"


def _pointer(digits: Digits) -> str:
    return f"r{_pick(digits, (9, 9, 9, 4, 4, 5, 0, 1, 2, 3, 7, 6, 10, 8))}"


def _at(pointer: str, digits: Digits) -> str:
    return f"({pointer} {_pick(digits, _EDGES):+d})".replace(" +", " + ").replace(" -", " - ")


def _number(digits: Digits) -> list[str]:
    """A number from the map, and what is known of it."""
    dst, most = _scalar(digits), _pick(digits, _BOUNDS)
    lines = [
        f"{dst} = map_value[idx:0][{8 * digits.below(4)}]",
        f"{dst} = *(u{8 * _pick(digits, _SIZES)} *)({dst} + 0)",
    ]
    how = digits.below(7)
    if how in (0, 1, 2):
        lines.append(f"{dst} &= {most}")
    elif how == 3:
        lines += [f"if {dst} <= {most} goto +2", "r0 = 0", "exit"]
    elif how == 4:
        lines += [f"{dst} &= {most}", f"{dst} = -{dst}"]
    elif how == 5:
        lines += [f"{dst} &= {most}", f"{dst} -= {_pick(digits, _BOUNDS)}"]
    return lines


def _constant(digits: Digits) -> list[str]:
    return [f"{_scalar(digits)} = {_pick(digits, _EDGES)}"]


def _move(digits: Digits) -> list[str]:
    """A pointer moved by a register, or a register by a pointer."""
    pointer, scalar = _pointer(digits), _scalar(digits)
    pointer = "r9" if pointer in ("r10", "r8") else pointer
    how = digits.below(8)
    if how < 4:
        return [f"{pointer} += {scalar}"]
    return [f"{pointer} -= {scalar}" if how < 6 else f"{scalar} {'+-'[how - 6]}= {pointer}"]


def _step(digits: Digits) -> list[str]:
    return [f"r{_pick(digits, (9, 4, 5, 7, 0))} += {_pick(digits, _EDGES)}"]


def _fresh(digits: Digits) -> list[str]:
    """A pointer into a map's value or the stack."""
    dst = _pick(digits, (9, 9, 4, 5, 0))
    how = digits.below(3)
    if how == 0:
        return [f"r{dst} = map_value[idx:0][{_pick(digits, (0, 0, 8, 16, 32, 56, 63))}]"]
    return (
        [f"r{dst} = r10", f"r{dst} += {-8 * (1 + digits.below(8))}"] if how == 1 else [f"r{dst} = r{digits.below(11)}"]
    )


def _look_up(digits: Digits) -> list[str]:
    lines = [f"*(u32 *)(r10 - 68) = {digits.below(6)}", "r2 = r10", "r2 += -68", f"r1 = map[idx:{1 + digits.below(2)}]"]
    lines += ["call 1", "r9 = r0", "r1 = 1", "r2 = 2", "r3 = 3", "r4 = r10", "r4 += -32", "r5 = 5"]
    if digits.below(5):
        lines += ["if r9 != 0 goto +2", "r0 = 0", "exit"]
    return lines


def _paths(digits: Digits) -> list[str]:
    """Two ways that meet: with other bounds, or with another pointer."""
    a, b = _scalar(digits), _scalar(digits)
    how = digits.below(4)
    if how == 0:
        return [
            f"if {a} > {_pick(digits, _BOUNDS)} goto +2",
            f"{b} &= {_pick(digits, _BOUNDS)}",
            "goto +1",
            f"{b} &= 15",
        ]
    if how == 1:
        return [f"{b} = {_pick(digits, _EDGES)}", f"if {a} > 7 goto +1", f"{b} = {_pick(digits, _EDGES)}"]
    if how == 2:
        return [f"if {a} > 7 goto +2", "r9 = r10", f"r9 += {-8 * (1 + digits.below(4))}"]
    return [f"if {a} > 7 goto +2", f"r9 = map_value[idx:0][{8 * digits.below(8)}]"]


def _load(digits: Digits) -> list[str]:
    signed = "s" if digits.below(5) == 0 else "u"
    size = 8 * _pick(digits, (1, 2, 4) if signed == "s" else _SIZES)
    return [f"{_scalar(digits)} = *({signed}{size} *){_at(_pointer(digits), digits)}"]


def _store(digits: Digits) -> list[str]:
    target = f"*(u{8 * _pick(digits, _SIZES)} *){_at(_pointer(digits), digits)}"
    return [f"{target} = {_scalar(digits) if digits.below(3) else digits.below(3)}"]


def _leak(digits: Digits) -> list[str]:
    """A pointer, to where it could be read."""
    pointer = _pointer(digits)
    return [
        [f"*(u64 *)(r9 + 0) = {pointer}"],
        [f"*(u32 *)(r6 + 48) = {pointer}"],
        [f"r0 = {pointer}", "exit"],
        [f"lock *(u64 *)(r9 + 8) += {pointer}"],
        [f"*(u64 *)(r7 + 0) = {pointer}"],
        [f"w{pointer[1:] if pointer not in ('r10', 'r6') else 9} = {pointer.replace('r', 'w')}"],
        [f"{_scalar(digits)} ^= {pointer}"],
        [f"r0 = {pointer}", f"r0 -= {_pointer(digits)}"],
        [f"r0 = {pointer}", f"r0 {('*=', '&=', '|=', '<<=', 's>>=')[digits.below(5)]} {1 + digits.below(8)}"],
        [f"r0 = *(u64 *)({pointer} + 0)", "*(u64 *)(r9 + 0) = r0"],
        [f"r0 = {pointer}", "r0 = -r0"],
        [f"r0 = {pointer}", "r0 = bswap16 r0"],
    ][digits.below(12)]


def _compare(digits: Digits) -> list[str]:
    op, pointer = _COMPARISONS[digits.below(len(_COMPARISONS))], _pointer(digits)
    other = (_pointer(digits), _scalar(digits), "0", str(_pick(digits, _BOUNDS)))[digits.below(4)]
    if digits.below(4) == 0:
        pointer, other = pointer.replace("r", "w"), other.replace("r", "w")
    return [f"if {pointer} {op} {other} goto ahead{digits.below(3)}"]


def _branch(digits: Digits) -> list[str]:
    op, scalar = _COMPARISONS[digits.below(len(_COMPARISONS))], _scalar(digits)
    other = _scalar(digits) if digits.below(3) == 0 else str(_pick(digits, _EDGES))
    return [f"if {scalar} {op} {other} goto ahead{digits.below(3)}"]


def _dead(digits: Digits) -> list[str]:
    """A branch that is always or never taken, and behind it what only a misprediction reaches."""
    scalar, pointer = _scalar(digits), _pointer(digits)
    bad = (
        f"r0 = *(u64 *)({scalar} + 0)",
        f"*(u64 *)(r9 + 0) = {pointer}",
        f"{pointer.replace('10', '9')} += r2",
        "r0 = r11",
    )
    return [f"{scalar} = 1", f"if {scalar} {('!= 0', '== 1', '> 0')[digits.below(3)]} goto +1", bad[digits.below(3)]]


def _spill(digits: Digits) -> list[str]:
    slot, how = 8 * (1 + digits.below(5)), digits.below(5)
    if how < 2:
        return [f"*(u64 *)(r10 - {slot}) = {_pointer(digits)}"]
    if how == 2:
        return [f"*(u{8 * _pick(digits, _SIZES)} *)(r10 - {slot - _pick(digits, (0, 0, 4, 2, 1))}) = {_scalar(digits)}"]
    if how == 3:
        return [f"r{_pick(digits, (0, 1, 9, 4, 5))} = *(u64 *)(r10 - {slot})"]
    return [f"{_scalar(digits)} = *(u{8 * _pick(digits, _SIZES)} *)(r10 - {slot - _pick(digits, (0, 0, 4, 2, 1))})"]


def _sum(digits: Digits) -> list[str]:
    """csum_diff over some bytes."""
    size = f"r2 = {_pick(digits, (8, 4, 16, 0, 64))}" if digits.below(2) else f"r2 &= {_pick(digits, (7, 4, 12, 8))}"
    return [f"r1 = {_pointer(digits)}", size, "r3 = 0", "r4 = 0", "r5 = 0", "call 28", *_after()]


def _after() -> list[str]:
    return ["r1 = 1", "r2 = 2", "r3 = 3", "r4 = r10", "r4 += -32", "r5 = 5"]


def _helper(digits: Digits) -> list[str]:
    """A pointer where a helper wants a number; what a helper writes."""
    if digits.below(2):
        return [
            f"r1 = {_pointer(digits)}",
            "r2 = 0",
            "r3 = 0",
            "r4 = 0",
            "r5 = 0",
            f"call {(28, 7, 8)[digits.below(3)]}",
            *_after(),
        ]
    return [
        "r1 = r6",
        f"r2 = {_pointer(digits)}",
        "r3 = r10",
        "r3 += -16",
        f"r4 = {_pick(digits, (8, 4, 16))}",
        "call 26",
        *_after(),
    ]


def _call(digits: Digits) -> list[str]:
    return [f"r1 = {_pointer(digits)}", f"call {('first', 'second', 'third')[digits.below(3)]}", *_after()]


def _loop(digits: Digits) -> list[str]:
    scalar, pointer = _scalar(digits), ("r9", "r4")[digits.below(2)]
    inside = (
        f"{pointer} += 1",
        f"{pointer} += {scalar}",
        f"r5 = *(u8 *)({pointer} + 0)",
        f"*(u8 *)({pointer} + 0) = 1",
    )
    body = inside[digits.below(4)]
    return [f"{scalar} = 0", body, f"{scalar} += 1", f"if {scalar} < {1 + digits.below(6)} goto -3"]


def _absolute(digits: Digits) -> list[str]:
    return [f"r0 = *(u{8 * _pick(digits, (1, 2, 4))} *)skb[{digits.below(20)}]", *_after()]


_GESTURES: tuple[_Gesture, ...] = (
    _number, _number, _number, _move, _move, _move, _constant, _step, _fresh, _fresh, _look_up, _paths, _paths, _load,
    _load, _store, _leak, _compare, _branch, _branch, _dead, _spill, _spill, _sum, _helper, _call, _loop, _absolute,
)  # fmt: skip


def source(genome: Sequence[int]) -> str:
    """The program of a genome as text, a line for each instruction."""
    lines = list(_START)
    for at, number in enumerate(genome[:MAX_GESTURES]):
        digits = Digits(number)
        lines.append(f"at{at}:")
        for line in _GESTURES[digits.below(len(_GESTURES))](digits):
            head, far, reach = line.partition("ahead")
            lines.append(f"{head}at{min(at + 1 + int(reach), len(genome[:MAX_GESTURES]))}" if far else line)
    calls = any(line.startswith("call ") and not line[5].isdigit() for line in lines)
    return "\n".join([*lines, f"at{len(genome[:MAX_GESTURES])}:", *_END, *(_FUNCTIONS if calls else ())])


def decode(genome: Sequence[int], order: Order = "little") -> Program:
    """The program of a genome. Total: never raises."""
    return replace(assemble(source(genome), order=order), maps=MAPS, name="masked", lines={})
