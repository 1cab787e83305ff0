"""Verification: instructions a second by shape of program, joined states against paths, two processes against one."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_all_start_methods, get_context
from random import Random

from bench.measure import Cell, Table, best, main
from bpf.object.btf import Btf, Kind, Param, Type
from bpf.program import Map, program
from bpf.spec.program_types import PROGRAM_TYPES
from bpf.text import assemble
from runtime.verifying import subject
from verifier import Options, Subject, parts, verify

_QUIET = Options(log_level=0)
_MERGED = Options(log_level=0, merge=True)


def _subject(lines: list[str], maps: tuple[Map, ...] = ()) -> Subject:
    assembled = assemble("\n".join([*lines, "r0 = 0", "exit"]))
    names = {function.start: function.name for function in assembled.functions}
    return subject(program(assembled.insns, names=names, maps=maps), "sched_cls")


def straight(count: int) -> Subject:
    """Arithmetic, spills and fills in one line."""
    random = Random(1)
    lines = ["call 7", "r6 = r0", "r7 = r0", "r8 = 5", "r9 = 9"]
    for number in range(count):
        a, b, slot = 6 + random.randrange(4), 6 + random.randrange(4), 8 * (1 + number % 32)
        lines.append((
            f"r{a} += r{b}", f"r{a} &= 255", f"w{a} += 7", f"r{a} = r{b}", f"r{a} ^= r{b}",
            f"*(u64 *)(r10 - {slot}) = r{a}", f"r{a} |= 3", f"r{a} >>= 2", f"r{a} = {number}", f"r{a} *= 3",
        )[number % 10])  # fmt: skip
    return _subject(lines)


def branchy(count: int) -> Subject:
    """A branch in every four instructions, on something new each time."""
    lines = ["r9 = r1", "r7 = 0"]
    for number in range(count):
        lines += ["r6 = *(u32 *)(r9 + 8)", f"if r6 > {number} goto +1", f"r7 += {number}", "r7 &= 63"]
    return _subject(lines)


def forking(count: int) -> Subject:
    """Branches on one number, each of which says something of it that the next ones need."""
    lines = ["call 7", "r6 = r0", "r7 = r0"]
    for number in range(count):
        lines += [f"if r6 > {number * 7 % 1000} goto +1", f"r7 += {number}", "r8 = r7", "r8 &= 63"]
    return _subject(lines)


def looping(turns: int) -> Subject:
    """A counted loop around accesses of the stack."""
    lines = ["r6 = 0", "r7 = r10", "r7 += -64", "*(u64 *)(r7 + 0) = r6", "r8 = *(u64 *)(r7 + 0)", "r8 &= 7", "r6 += 1"]
    return _subject([*lines, f"if r6 < {turns} goto -5"])


def functions(count: int, turns: int) -> Subject:
    """Global functions of the same work, each verified on its own."""
    types = [Type(Kind.INT, "int", 4, encoding=1, bits=32), Type(Kind.FUNC_PROTO, type=1, params=(Param("a", 1),))]
    lines = [line for number in range(count) for line in ("r1 = 1", f"call f{number}")] + ["r0 = 0", "exit"]
    for number in range(count):
        loop = ["r6 = 0", "r6 += 1", "r7 = r6", "r7 &= 31", "r7 *= 3", f"if r6 < {turns} goto -5", "r0 = 0", "exit"]
        lines += [f"f{number}:", *loop]
    assembled = assemble("\n".join(lines))
    names = {function.start: function.name for function in assembled.functions}
    types += [Type(Kind.FUNC, name or "main", type=2, linkage=1) for name in names.values()]
    made = program(assembled.insns, names=names)
    known = {start: 3 + at for at, start in enumerate(names)}
    return Subject(made.encode(), "little", PROGRAM_TYPES["sched_cls"], btf=Btf((_VOID, *types)), types=known)


_VOID = Type(Kind.TYPEDEF, "void")


def _rate(made: Subject, repeats: int) -> tuple[int, float]:
    verdict = verify(made, _QUIET)
    assert verdict.accepted, verdict.message
    return verdict.processed, best([partial(verify, made, _QUIET)], repeats)[0]


def _paths(repeats: int, quick: bool) -> Table:
    shapes: list[tuple[str, Callable[[int], Subject], int]] = [
        ("straight line", straight, 4000), ("branches", branchy, 1000), ("a loop", looping, 2000),
    ]  # fmt: skip
    rows: list[list[Cell]] = []
    for name, make, size in shapes:
        processed, spent = _rate(make(size // 10 if quick else size), repeats)
        rows.append([name, processed, processed / spent / 1000, spent * 1000])
    note = "thousands of instructions processed a second; aimed at: 40 in straight lines, 25 in branches"
    return Table("Verification", ("program", "instructions", "k/s", "ms"), rows, note)


def _merging(repeats: int, quick: bool) -> Table:
    made = forking(10 if quick else 60)
    apart, merged = best([partial(verify, made, _QUIET), partial(verify, made, _MERGED)], repeats)
    rows: list[list[Cell]] = [["one state a block", merged * 1000, merged / apart], ["all paths", apart * 1000, 1.0]]
    note = "branches whose ways meet again, each knowing more of one number"
    return Table("Joined states", ("search", "ms", "ratio"), rows, note)


def _parallel(repeats: int, quick: bool) -> Table:
    count, turns = (4, 200) if quick else (16, 4000)
    made = functions(count, turns)
    one = two = float("inf")
    if "fork" not in get_all_start_methods():
        seconds = _wall(partial(verify, made, _QUIET))
        return Table("Two processes", ("processes", "s"), [["one", seconds]], "no fork here")
    global _SHARED
    _SHARED = made
    with ProcessPoolExecutor(2, mp_context=get_context("fork")) as pool:
        list(pool.map(_walk, [(0, parts.NONE)] * 2))  # both are there
        for _ in range(repeats):
            one = min(one, _wall(partial(verify, made, _QUIET)))
            start = time.perf_counter()
            guesses = parts.functions(made, _QUIET)
            found = dict(zip(guesses, pool.map(_walk, guesses.items()), strict=True))
            verdict = parts.together(made, _QUIET, found.__getitem__)
            two = min(two, time.perf_counter() - start)
            assert verdict == verify(made, _QUIET)
    return Table("Two processes", ("processes", "s", "times as fast"), [["one", one, 1.0], ["two", two, one / two]])


_SHARED: Subject | None = None


def _walk(one: tuple[int, parts.Since]) -> parts.Part:
    assert _SHARED is not None
    return parts.part(_SHARED, _QUIET, *one)


def _wall(function: Callable[[], object]) -> float:
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def tables(quick: bool) -> list[Table]:
    """Shapes of programs; joined states; processes."""
    repeats = 1 if quick else 3
    return [_paths(repeats, quick), _merging(repeats, quick), _parallel(repeats, quick)]


if __name__ == "__main__":
    sys.exit(main([tables], __doc__))
