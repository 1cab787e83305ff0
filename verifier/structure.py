"""What is decided of a program before it is walked: its size, functions, jumps, maps and graph, in the kernel's order.

As bpf_prog_load and bpf_check of Linux 6.18 do it before do_check; sentences and errnos are theirs.
"""

from __future__ import annotations

from verifier import btf_context, cfg, fastcall, functions, liveness, references, rules
from verifier.calls import WIDE
from verifier.insn_text import text
from verifier.options import Options
from verifier.raw import slots
from verifier.shape import Structure
from verifier.subject import Subject

_ADDRESSES = range(0xFFFF_8881_0000_0000, 1 << 64, 1 << 16)  # by number of a map

__all__ = ["Structure", "address", "live_lines", "structure"]


def structure(subject: Subject, options: Options, log: list[str] | None = None) -> Structure:
    """All that is decided before the first state. log: gets the lines of log level 2.

    Raises Rejection; a size, a type or an attach type that is refused has no sentence, since the verifier is not asked.
    """
    rules.check_load(subject, options)
    found = Structure(subject, options, slots(subject.code, subject.order))
    functions.find(found)
    if log is not None:
        log.extend(f"func#{number} @{start}" for number, start in enumerate(found.starts[:-1]))
    functions.check_jumps(found)
    functions.check_types(found)
    references.resolve(found)
    cfg.check(found)
    raws = found.raws
    found.successors = [cfg.successors(raws, pc) for pc in range(len(raws))]
    found.postorder = cfg.postorder(raws, found.successors, found.subprograms)
    rules.check_sleepable(subject)
    btf_context.check_target(subject)
    found.scc = cfg.components(len(raws), found.successors)
    found.live_before = liveness.live(found)
    if log is not None:
        log.extend(live_lines(found))
    fastcall.find(found)
    return found


def live_lines(found: Structure) -> list[str]:
    """The table of live registers of log level 2."""
    lines = ["Live regs before insn:"]
    raws, pc = found.raws, 0
    while pc < len(raws):
        live, cycle = found.live_before[pc], found.scc[pc]
        registers = "".join(str(n) if live >> n & 1 else "." for n in range(10))
        number = f"{cycle:3d} " if cycle else "    "
        lines.append(f"{number}{pc:3d}: {registers} {text(raws, pc, found.subject, address(found, pc))}")
        pc += 2 if raws[pc].code == WIDE else 1
    return lines


def address(found: Structure, pc: int) -> int | None:
    """What the lddw of a map at a slot loads, as the log shows it; None for other instructions.

    It is made up, but for its length: a map has no address before it is loaded. 0 for who may not see addresses.
    """
    if pc not in found.map_of:
        return None
    if not found.sees_pointers:
        return 0
    return _ADDRESSES[found.maps[found.map_of[pc]]] + found.values.get(pc, 0)
