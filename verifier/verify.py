"""May this program run? The whole of it: shape, walk, stack, and what is said.

Source: bpf_check of Linux 6.18 (kernel/bpf/verifier.c): its order of checks and its last lines.
"""

from __future__ import annotations

from dataclasses import dataclass

from verifier import btf_context, stack_depth
from verifier.env import Env
from verifier.explore import explore
from verifier.log import Log
from verifier.options import Options
from verifier.rejection import Rejection
from verifier.state import entry
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
    """

    accepted: bool
    errno: int
    message: str
    pc: int
    log: str
    processed: int


def verify(subject: Subject, options: Options | None = None) -> Verdict:
    """Decide whether a program may run."""
    options = options or Options()
    log = Log()
    env: Env | None = None
    refusal: Rejection | None = None
    lines: list[str] | None = [] if options.log_level & 2 else None
    try:
        shape = structure(subject, options, lines, _ADDRESSES)
        env = Env(subject, options, shape, log)
        env.shown = {pc: where for pc in shape.map_of if (where := pointer(shape, pc, _ADDRESSES)) is not None}
        log.lines += lines or []
        env.void = btf_context.void(subject)
        state = entry()
        state.sleepable = subject.sleepable
        explore(env, state, 0)
        if env.level == 1:
            log.cut(0)
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
    return Verdict(False, refusal.errno, refusal.message, refusal.pc, text, processed)


def _figures(env: Env | None, options: Options) -> str:
    figures = (0, 0, 0, 0) if env is None else (env.processed, env.max_states, env.total_states, env.peak_states)
    processed, most, total, peak = figures
    return (
        f"processed {processed} insns (limit {options.processed}) max_states_per_insn {most} "
        f"total_states {total} peak_states {peak} mark_read 0\n"
    )
