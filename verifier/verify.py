"""May this program run? The whole of it: shape, walk, stack, and what is said.

Source: bpf_check of Linux 6.18 (kernel/bpf/verifier.c): its order of checks and its last lines.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from verifier import btf_context, global_functions, stack_depth
from verifier.env import Env
from verifier.explore import explore, path
from verifier.log import Log
from verifier.options import Options
from verifier.rejection import Rejection
from verifier.state import State, entry, entry_with_memory
from verifier.structure import pointer, structure
from verifier.subject import Subject

_ADDRESSES = range(0xFFFF_8881_0000_0000, 0xFFFF_8881_0100_0000, 0x1_0000)
"""What the log has for the addresses of maps: those of no kernel, which differ from load to load."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """The answer.

    accepted   whether the program may run; errno: what bpf() gives where not (0 where it may)
    message    the kernel's sentence, "" where it has none; pc: the slot that it is about, -1 for none
    log        lines with newlines, of the level that was asked for
    processed  how many instructions were walked
    path       the runs of slots without a jump that led to the refusal, (first, last); empty for an accepted program
    """

    accepted: bool
    errno: int
    message: str
    pc: int
    log: str
    processed: int
    path: tuple[tuple[int, int], ...] = ()


def verify(
    subject: Subject, options: Options | None = None, observer: Callable[[int, State], None] | None = None
) -> Verdict:
    """Decide whether a program may run.

    observer: is shown the slot and the state before each instruction that is walked, and must not change it.
    """
    options = options or Options()
    log = Log()
    env: Env | None = None
    refusal: Rejection | None = None
    lines: list[str] | None = [] if options.log_level & 2 else None
    try:
        shape = structure(subject, options, lines, _ADDRESSES)
        env = Env(subject, options, shape, log)
        env.observer = observer
        env.shown = {pc: where for pc in shape.map_of if (where := pointer(shape, pc, _ADDRESSES)) is not None}
        log.lines += lines or []
        env.void = btf_context.void(subject)
        env.lines = dict(subject.lines)
        state = entry() if subject.memory < 0 else entry_with_memory(subject.memory)
        state.sleepable = subject.sleepable
        explore(env, state, 0)
        if env.level == 1:
            log.cut(0)
        _global_functions(env)
        stack_depth.check(shape)
    except Rejection as caught:
        refusal = caught
        if env is None:
            log.lines += lines or []
        if caught.message:
            log.add(caught.message)
    text = "".join(line + "\n" for line in log.lines)
    if options.log_level and (env is not None or refusal is None or refusal.message):
        text += _figures(env, options)
    if refusal is None:
        return Verdict(True, 0, "", -1, text, env.processed if env is not None else 0)
    processed = env.processed if env is not None else 0
    runs = path(env) if env is not None and refusal.pc >= 0 else ()
    return Verdict(False, refusal.errno, refusal.message, refusal.pc, text, processed, runs)


def _global_functions(env: Env) -> None:
    """Verify the global functions that are called, one after the other; they may call more. Raises Rejection."""
    done: set[int] = set()
    while left := sorted(env.called - done):
        for subprog in left:
            done.add(subprog)
            name = global_functions.name(env, subprog)
            if env.level:
                env.log.add(f"Validating {name}() func#{subprog}...")
            explore(env, global_functions.entered(env, subprog), env.structure.starts[subprog])
            if env.level == 1:
                env.log.cut(0)
            if env.level:
                env.log.add(f"Func#{subprog} ('{name}') is safe for any args that match its prototype")


def _figures(env: Env | None, options: Options) -> str:
    figures = (0, 0, 0, 0) if env is None else (env.processed, env.max_states, env.total_states, env.peak_states)
    processed, most, total, peak = figures
    return (
        f"processed {processed} insns (limit {options.processed}) max_states_per_insn {most} "
        f"total_states {total} peak_states {peak} mark_read 0\n"
    )
