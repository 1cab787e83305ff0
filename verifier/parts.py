"""A program in parts: it and its global functions, each walked on its own, by as many processes as there are.

The verdict and the log are those of one walk after the other. What a later part would have counted on from the ones
before it (ids, figures) is added afterwards. When its first state is stored depends on how long ago that was before,
which is guessed; a part that was guessed wrong is walked again. Where parts are not independent after all, the caller
walks them in turn.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from itertools import chain
from typing import NamedTuple

from verifier import global_functions, kfunc_calls, prune, stack_depth
from verifier.explore import path
from verifier.log import Log
from verifier.options import Options
from verifier.rejection import Rejection
from verifier.subject import Subject
from verifier.verify import Figures, Verdict, decided, in_turn, prepare, walk

_ID = re.compile(r"\b(id|ref_obj_id|ref_id|dynptr_id)=(\d+)")
_REFS = re.compile(r"\brefs=([\d,]+)")


_GUESSING = 1000  # instructions that are walked to guess what parts start with


class Since(NamedTuple):
    """How long ago a state was last stored: jumps and instructions."""

    jumps: int = 0
    processed: int = 0


NONE = Since()


class Opening(NamedTuple):
    """How a part began: what decides when it stored its first state.

    early   see Env.early; stored: whether the last of them was stored
    """

    early: tuple[tuple[int, int, bool], ...]
    stored: bool

    def same(self, since: Since) -> bool:
        """Whether the part is walked as it was where a state was last stored so long ago."""
        before = len(self.early) - self.stored
        return all(
            (forced or prune.due(since.jumps + jumps, since.processed + processed)) == (number == before)
            for number, (jumps, processed, forced) in enumerate(self.early)
        )


class Part(NamedTuple):
    """What a walk of one function gave.

    refusal   (errno, message, slot, reason), None where it is accepted
    ids       how many it gave; pointers: slot -> type of an access's base; stacks: bytes that each function needs
    stored    states that are kept at the end
    doubted   functions of which the log says, as it does once, why their types are not relied on
    jumps     how many it walked; left: what the next one starts with, where this one stored a state
    """

    lines: tuple[str, ...]
    refusal: tuple[int, str, int, str] | None
    called: frozenset[int]
    ids: int
    figures: Figures
    stored: int
    pointers: dict[int, int]
    stacks: tuple[int, ...]
    runs: tuple[tuple[int, int], ...]
    jumps: int
    doubted: frozenset[int]
    opening: Opening
    left: Since

    def after(self, since: Since) -> Since:
        """What the next part starts with, where this one did with `since`."""
        if self.opening.stored:
            return self.left
        return Since(since.jumps + self.jumps, since.processed + self.figures.processed)


def functions(subject: Subject, options: Options) -> dict[int, Since]:
    """The parts, 0 and the numbers of the global functions, with a guess of what each starts with. Raises Rejection.

    Small parts are walked for it. A part of some size ends in ways that are long, or not stored any more.
    """
    env = prepare(subject, replace(options, processed=_GUESSING, log_level=0), Log())
    numbers = [0, *(n for n in range(1, len(env.structure.subprograms)) if global_functions.is_global(env, n))]
    guesses = dict.fromkeys(numbers, Since(_GUESSING, _GUESSING))
    try:
        for subprog in chain((0,), in_turn(env)):
            guesses[subprog] = Since(env.jumps - env.last_jumps, env.processed - env.last_processed)
            walk(env, subprog)
    except Rejection:
        pass  # too long, or refused
    return guesses


def part(
    subject: Subject, options: Options, subprog: int, since: Since = NONE, doubted: frozenset[int] = frozenset()
) -> Part:
    """Walk one function, after others that left `since` and `doubted`. Raises Rejection for what is decided before."""
    log = Log()
    env = prepare(subject, options, log)
    env.last_jumps, env.last_processed = -since.jumps, -since.processed
    env.unreliable = dict.fromkeys(doubted, "")
    refusal = None
    try:
        walk(env, subprog)
    except Rejection as caught:
        refusal = (caught.errno, caught.message, caught.pc, caught.reason)
        if caught.message:
            log.add(caught.message)
    pointers = {pc: aux.pointer for pc, aux in enumerate(env.aux) if aux.pointer >= 0}
    stacks = tuple(subprogram.stack for subprogram in env.structure.subprograms)
    figures = Figures(env.processed, env.max_states, env.total_states, env.peak_states)
    return Part(
        tuple(log.lines), refusal, frozenset(env.called), env.ids, figures, env.stored + env.evicted, pointers, stacks,
        path(env) if refusal is not None and refusal[2] >= 0 else (), env.jumps,
        frozenset(subprog for subprog, said in env.unreliable.items() if said),
        Opening(tuple(env.early), bool(env.explored)),
        Since(env.jumps - env.last_jumps, env.processed - env.last_processed),
    )  # fmt: skip


def together(subject: Subject, options: Options, of: Callable[[int], Part]) -> Verdict | None:
    """The verdict of parts, in the order of a walk; None where they depend on each other. Raises Rejection.

    of: gives parts, walked with whatever they may start with.
    """
    lines: list[str] | None = [] if options.log_level & 2 else None
    log = Log()
    env = prepare(subject, options, log, lines)
    figures, ids, stored = Figures(), 0, 0
    pointers: dict[int, int] = {}
    doubted: frozenset[int] = frozenset()
    since = NONE
    refusal: Rejection | None = None
    runs: tuple[tuple[int, int], ...] = ()
    if kfunc_calls.of_number_0(env):
        return None
    for subprog in chain((0,), in_turn(env)):
        one = of(subprog)
        if not one.opening.same(since) or doubted & one.doubted:
            one = part(subject, options, subprog, since, doubted)
        since = one.after(since)
        if any(pointers.setdefault(pc, type_) != type_ for pc, type_ in one.pointers.items()):
            return None
        doubted |= one.doubted
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
        env.called |= one.called
        for subprogram, size in zip(env.structure.subprograms, one.stacks, strict=True):
            subprogram.stack = max(subprogram.stack, size)
        if one.refusal is not None:
            errno, message, pc, reason = one.refusal
            refusal, runs = Rejection(errno, _shifted(message, ids - one.ids), pc, reason=reason), one.runs
            break
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
