"""A program in parts: it and its global functions, each walked on its own, by as many processes as there are.

The verdict and the log are those of one walk after the other: what a later part would have counted on from the ones
before it (ids, figures) is added afterwards. Where parts are not independent after all, the caller walks them in turn.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import NamedTuple

from verifier import global_functions, stack_depth
from verifier.explore import path
from verifier.log import Log
from verifier.options import Options
from verifier.rejection import Rejection
from verifier.subject import Subject
from verifier.verify import Figures, Verdict, decided, prepare, walk

_ID = re.compile(r"\b(id|ref_obj_id|ref_id|dynptr_id)=(\d+)")
_REFS = re.compile(r"\brefs=([\d,]+)")


class Part(NamedTuple):
    """What a walk of one function gave.

    refusal   (errno, message, slot), None where it is accepted
    ids       how many it gave; pointers: slot -> type of an access's base; stacks: bytes that each function needs
    stored    states that are kept at the end
    """

    lines: tuple[str, ...]
    refusal: tuple[int, str, int] | None
    called: frozenset[int]
    ids: int
    figures: Figures
    stored: int
    pointers: dict[int, int]
    stacks: tuple[int, ...]
    runs: tuple[tuple[int, int], ...]


def functions(subject: Subject, options: Options) -> list[int]:
    """The parts: 0 and the numbers of the global functions. Raises Rejection."""
    env = prepare(subject, options, Log())
    return [0, *(n for n in range(1, len(env.structure.subprograms)) if global_functions.is_global(env, n))]


def part(subject: Subject, options: Options, subprog: int) -> Part:
    """Walk one function. Raises Rejection for what is decided before the walk."""
    log = Log()
    env = prepare(subject, options, log)
    refusal = None
    try:
        walk(env, subprog)
    except Rejection as caught:
        refusal = (caught.errno, caught.message, caught.pc)
        if caught.message:
            log.add(caught.message)
    pointers = {pc: aux.pointer for pc, aux in enumerate(env.aux) if aux.pointer >= 0}
    stacks = tuple(subprogram.stack for subprogram in env.structure.subprograms)
    figures = Figures(env.processed, env.max_states, env.total_states, env.peak_states)
    return Part(
        tuple(log.lines), refusal, frozenset(env.called), env.ids, figures, env.stored + env.evicted, pointers, stacks,
        path(env) if refusal is not None and refusal[2] >= 0 else (),
    )  # fmt: skip


def together(subject: Subject, options: Options, of: Callable[[int], Part]) -> Verdict | None:
    """The verdict of parts, in the order of a walk; None where they depend on each other. Raises Rejection."""
    lines: list[str] | None = [] if options.log_level & 2 else None
    log = Log()
    env = prepare(subject, options, log, lines)
    figures, ids, stored = Figures(), 0, 0
    pointers: dict[int, int] = {}
    called: set[int] = set()
    done: set[int] = set()
    refusal: Rejection | None = None
    runs: tuple[tuple[int, int], ...] = ()
    turn: Sequence[int] = [0]
    while turn and refusal is None:
        for subprog in turn:
            done.add(subprog)
            one = of(subprog)
            if any(pointers.setdefault(pc, type_) != type_ for pc, type_ in one.pointers.items()):
                return None
            figures = Figures(
                figures.processed + one.figures.processed, max(figures.most, one.figures.most),
                figures.total + one.figures.total, max(figures.peak, stored + one.figures.peak),
            )  # fmt: skip
            if figures.processed > options.processed:
                return None
            if options.log_level & 3 == 1:
                log.cut(0)
            log.lines += [_shifted(line, ids) for line in one.lines]
            stored += one.stored
            ids += one.ids
            called |= one.called
            for subprogram, size in zip(env.structure.subprograms, one.stacks, strict=True):
                subprogram.stack = max(subprogram.stack, size)
            if one.refusal is not None:
                errno, message, pc = one.refusal
                refusal, runs = Rejection(errno, _shifted(message, ids - one.ids), pc), one.runs
                break
        turn = sorted(called - done)
    if refusal is None:
        try:
            stack_depth.check(env.structure)
        except Rejection as caught:
            refusal = caught
            log.add(caught.message)
    return decided(options, log.lines, refusal, figures, runs)


def _shifted(line: str, ids: int) -> str:
    """A line of the log with ids that start behind those of the parts before."""
    if not ids or "=" not in line:
        return line
    line = _ID.sub(lambda found: f"{found[1]}={int(found[2]) + ids}", line)
    return _REFS.sub(lambda found: "refs=" + ",".join(str(int(one) + ids) for one in found[1].split(",")), line)
