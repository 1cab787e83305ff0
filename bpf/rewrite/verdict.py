"""What becomes of a program after the verdict, in the kernel's order: the end of bpf_check of Linux 6.18 on x86_64."""

from __future__ import annotations

from bpf.facts import Facts
from bpf.program import Program
from bpf.rewrite.arena import halve
from bpf.rewrite.calls import bind_calls
from bpf.rewrite.context import convert_context
from bpf.rewrite.dead import drop_spills, hard_wire, remove_dead, remove_nops, trap_dead
from bpf.rewrite.division import guard
from bpf.rewrite.loops import count_down, inline_loops
from bpf.rewrite.masks import mask, stop
from bpf.rewrite.prologue import unclone
from bpf.spec.contexts import VIEWS

_KEPT = frozenset({"cgroup_device"})
"""Types whose context the kernel has as the program sees it, and we have not."""


def reduced(prog: Program, facts: Facts) -> Program:
    """The program without what is never run, which any engine can run in its place."""
    return remove_nops(remove_dead(hard_wire(drop_spills(prog, facts), facts), facts))


def after_verdict(prog: Program, facts: Facts, kind: str) -> Program:
    """The program as `dump xlated` shows it; it is for reading, since it names what only the kernel has.

    facts: of an accepted program. kind: its type. Raises Refused where a jump would no longer reach.
    """
    made = inline_loops(drop_spills(prog, facts), facts)
    made = remove_nops(remove_dead(hard_wire(made, facts), facts)) if facts.privileged else trap_dead(made, facts)
    made = unclone(made, facts, kind)
    made = stop(made, facts)
    if kind in VIEWS and kind not in _KEPT:
        made = convert_context(made, facts, VIEWS[kind])
    return bind_calls(count_down(mask(guard(halve(made, facts)), facts), facts), facts)
