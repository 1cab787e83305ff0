"""May this program run? The whole of it: shape, walk, stack, and what is said.

Source: bpf_check of Linux 6.18 (kernel/bpf/verifier.c): its order of checks and its last lines.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from bpf.facts import Facts
from bpf.program import Line
from verifier import btf_context, global_functions, kfunc_calls, merge, stack_depth
from verifier.env import Env
from verifier.explore import explore, path
from verifier.facts import facts
from verifier.log import Log
from verifier.options import Options
from verifier.rejection import Rejection
from verifier.state import State, entry, entry_with_memory
from verifier.structure import address, structure
from verifier.subject import Subject


@dataclass(frozen=True, slots=True)
class Verdict:
    """The answer.

    accepted   whether the program may run; errno: what bpf() gives where not (0 where it may)
    message    the kernel's sentence, "" where it has none; pc: the slot that it is about, -1 for none
    reason     why it is refused, in our words, where the kernel has none
    log        lines with newlines, of the level that was asked for
    processed  how many instructions were walked
    path       the runs of slots without a jump that led to the refusal, (first, last); empty for an accepted program
    facts      what is known of an accepted program; None for a refused one, and for one that was walked in parts
    """

    accepted: bool
    errno: int
    message: str
    pc: int
    log: str
    processed: int
    path: tuple[tuple[int, int], ...] = ()
    facts: Facts | None = field(default=None, compare=False)
    reason: str = ""


def verify(
    subject: Subject, options: Options | None = None, observer: Callable[[int, State], None] | None = None
) -> Verdict:
    """Decide whether a program may run.

    observer: is shown the slot and the state before each instruction that is walked, and must not change it.
    """
    return walked(subject, options, observer)[0]


def walked(
    subject: Subject, options: Options | None = None, observer: Callable[[int, State], None] | None = None
) -> tuple[Verdict, Env | None]:
    """As verify; with what the walk leaves noted of each instruction, None where there was no walk."""
    options = options or Options()
    log = Log()
    env: Env | None = None
    refusal: Rejection | None = None
    ended = False  # all paths are walked
    lines: list[str] | None = [] if options.log_level & 2 else None
    try:
        env = prepare(subject, options, log, lines)
        env.observer = observer
        merged = _merged(subject, options) if options.merge else None
        if merged is not None:
            env = merged
        else:
            walk(env, 0)
        for subprog in in_turn(env):
            walk(env, subprog)
        ended = True
        stack_depth.check(env.structure)
        kfunc_calls.check_numbers(env)
    except Rejection as caught:
        refusal = caught
        if env is None:
            log.lines += lines or []
        if caught.message:
            log.add(caught.message)
    if env is None:
        figures = Figures() if refusal is not None and refusal.message else None
    else:
        figures = Figures(env.processed, env.max_states, env.total_states, env.peak_states)
    runs = path(env) if env is not None and refusal is not None and refusal.pc >= 0 and not ended else ()
    verdict = decided(options, log.lines, refusal, figures, runs)
    return (verdict if env is None or refusal is not None else replace(verdict, facts=facts(env))), env


class Figures(NamedTuple):
    """What the log ends with: instructions walked, the most states of one instruction, states kept, at once at most."""

    processed: int = 0
    most: int = 0
    total: int = 0
    peak: int = 0

    def text(self, options: Options) -> str:
        """The line."""
        return (
            f"processed {self.processed} insns (limit {options.processed}) max_states_per_insn {self.most} "
            f"total_states {self.total} peak_states {self.peak} mark_read 0\n"
        )


def decided(
    options: Options, lines: Sequence[str], refusal: Rejection | None, figures: Figures | None,
    runs: tuple[tuple[int, int], ...] = (),
) -> Verdict:  # fmt: skip
    """The verdict of a walk. figures: None where the verifier was not asked."""
    text = "".join(line + "\n" for line in lines)
    if options.log_level and figures is not None:
        text += figures.text(options)
    processed = figures.processed if figures is not None else 0
    if refusal is None:
        return Verdict(True, 0, "", -1, text, processed)
    return Verdict(False, refusal.errno, refusal.message, refusal.pc, text, processed, runs, reason=refusal.reason)


def prepare(subject: Subject, options: Options, log: Log, lines: list[str] | None = None) -> Env:
    """Decide what is decided before the walk. lines: gets what the log has of it. Raises Rejection."""
    shape = structure(subject, options, lines)
    env = Env(subject, options, shape, log)
    env.shown = {pc: address(shape, pc) or 0 for pc in shape.map_of}
    env.void = btf_context.void(subject)
    if env.level:
        env.lines = _covering(subject.lines, len(shape.raws))
    log.lines += lines or []
    return env


def _covering(lines: Mapping[int, Line], size: int) -> list[Line | None]:
    """By slot, the source line that covers it: the last that starts there or before."""
    covering: list[Line | None] = []
    line = None
    for pc in range(size):
        line = lines.get(pc, line)
        covering.append(line)
    return covering


def entered(env: Env) -> State:
    """The state in which the program itself is entered."""
    memory = env.subject.memory
    state = entry() if memory < 0 else entry_with_memory(memory)
    state.sleepable = env.subject.sleepable
    return state


def walk(env: Env, subprog: int) -> None:
    """Walk the program (0), or a global function on its own. Raises Rejection."""
    env.explored.clear()  # each is looked at afresh, whatever was walked before; counting goes on
    env.early.clear()
    env.visits.clear()
    env.line = None
    if not subprog:
        global_functions.note_entered(env)
        explore(env, entered(env), 0)
        if env.level == 1:
            env.log.cut(0)
        return
    name = global_functions.name(env, subprog)
    if env.level:
        env.log.add(f"Validating {name}() func#{subprog}...")
    explore(env, global_functions.entered(env, subprog), env.structure.starts[subprog])
    if env.level == 1:
        env.log.cut(0)
    if env.level:
        env.log.add(f"Func#{subprog} ('{name}') is safe for any args that match its prototype")


def _merged(subject: Subject, options: Options) -> Env | None:
    """What a walk with joined states leaves, None where that does not accept the program. Raises no Rejection."""
    try:
        env = prepare(subject, replace(options, log_level=0), Log())
        if not merge.joinable(env) or not env.spec_v1:
            return None
        merge.explore(env, entered(env), 0)
    except (Rejection, merge.Unjoinable):
        return None
    return env


def in_turn(env: Env) -> Iterator[int]:
    """The global functions that are called, in the order in which they are walked; a walk adds to env.called."""
    done: set[int] = set()
    while env.called - done:
        for subprog in range(1, len(env.structure.subprograms)):
            if subprog in env.called and subprog not in done:
                done.add(subprog)
                yield subprog
