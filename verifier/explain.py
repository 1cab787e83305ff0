"""A refusal in plain words: what the kernel's sentence means, and where the knowledge was lost that is missing.

The program is walked again, and the registers on the way to the refusal are looked at from its end.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from verifier.insn_text import text
from verifier.log import reg_text
from verifier.options import Options
from verifier.raw import slots
from verifier.state import Reg, State
from verifier.subject import Subject
from verifier.types import NOT_INIT
from verifier.verify import Verdict, verify


class _Seen(NamedTuple):
    """The registers of the running frame before an instruction."""

    pc: int
    frame: int
    regs: tuple[Reg, ...]


_MEANINGS: tuple[tuple[str, str], ...] = (
    (r"!read_ok", "The register is read, but nothing was written to it on this path. A call leaves R1-R5 undefined."),
    (r"invalid mem access '\w*_or_null_?'", "The pointer may be null here: compare it with 0 first."),
    (r"invalid mem access 'scalar'", "What is used as an address is a number: a pointer was lost, or never was one."),
    (r"offset is outside of the packet",
     "No comparison with data_end has shown that these bytes of the packet are there."),
    (r"min value is negative", "The index may be negative: make it unsigned, mask it, or compare it with 0."),
    (r"min value is outside|max value is outside|invalid access to map value",
     "The index may lead outside of the map's value: compare it with a limit that leaves room for the access."),
    (r"unbounded memory access",
     "Nothing limits the index or the size from above: mask it or compare it with a limit."),
    (r"invalid (indirect )?read from stack|allocated_stack",
     "Bytes of the stack are read that nothing wrote on this path."),
    (r"invalid.* write to stack|invalid.* stack R\d+ off", "The access leaves the 512 bytes of the function's stack."),
    (r"invalid bpf_context access",
     "The context has no such field for programs of this type, or it may not be accessed so."),
    (r"dereference of modified ctx|variable ctx access",
     "The context's fields are accessed by fixed offsets from the pointer that was passed."),
    (r"infinite loop detected", "The same state comes again: the loop does not end as far as can be seen."),
    (r"too large\. Processed", "There are too many paths, or a loop turns too often, for the limit of instructions."),
    (r"too complex", "Too many branches wait to be looked at."),
    (r"unreachable insn", "No path leads to this instruction."),
    (r"back-edge", "Loops are not allowed for who loads the program."),
    (r"reference leak|Unreleased reference", "Something that was acquired is not given back on this path."),
    (r"inside bpf_spin_lock", "A spin lock is held on this path."),
    (r"should have been in", "The value that is returned may be one that means nothing for this type of program."),
    (r"cannot use helper", "Programs of this type, or whoever loads this one, may not call this helper."),
    (r"type=\w+ expected=", "The helper takes another kind of argument."),
    (r"pointer arithmetic", "Pointers of this kind may not be moved so."),
    (r"leaks addr", "An address would get to where who loads the program could read it."),
    (r"prohibited for !root", "Only with CAP_PERFMON is this allowed, because of what processors do by misprediction."),
    (r"misaligned", "The access must be aligned to its size."),
    (r"same insn cannot be used with different pointers",
     "On two paths this access is rewritten in two ways: split it."),
    (r"div by zero|invalid shift|reserved fields|unknown opcode|is invalid", "The instruction itself is malformed."),
    (r"GPL-restricted", "The helper is for programs with a license that is compatible with the GPL."),
    (r"jump out of range|last insn|jump into the middle", "Control would leave the program."),
    (r"too deep|combined stack size", "The functions that call each other need more frames or stack than there are."),
)  # fmt: skip
_REGISTER = re.compile(r"\bR(\d+)\b")


def explain(subject: Subject, options: Options, verdict: Verdict) -> list[str]:
    """Lines of plain words for a refusal; none for an accepted program."""
    if verdict.accepted:
        return []
    message = verdict.message.splitlines()[-1] if verdict.message else ""
    lines = [meaning for pattern, meaning in _MEANINGS if re.search(pattern, verdict.message)][:1]
    if not message:
        lines = [f"Linux says nothing: {verdict.reason}."]
    found = _REGISTER.search(message)
    if found is not None and verdict.pc >= 0 and int(found[1]) <= 10:
        lines += _lost(subject, options, verdict, int(found[1]))
    return lines


def _lost(subject: Subject, options: Options, verdict: Verdict, number: int) -> list[str]:
    """Since when a register is what it is at the refusal, and what it was before."""
    seen: list[_Seen] = []

    def observe(pc: int, state: State) -> None:
        frame = state.frames[-1]
        seen.append(_Seen(pc, frame.number, tuple(frame.regs)))

    verify(subject, options, observe)
    trail = _trail(seen, verdict)
    if not trail:
        return []
    raws = slots(subject.code, subject.order)
    last = trail[-1]
    now = last.regs[number]
    said = reg_text(now, last.frame, False) if now.type != NOT_INIT else "undefined"
    for before, after in zip(reversed(trail[:-1]), reversed(trail), strict=False):
        if before.frame != after.frame:
            return [f"R{number} is {said} since insn {before.pc}: {text(raws, before.pc, subject)}"]
        old = before.regs[number]
        if not old.same(now):
            was = reg_text(old, before.frame, False) if old.type != NOT_INIT else "undefined"
            return [f"R{number} is {said} since insn {before.pc}: {text(raws, before.pc, subject)}; it was {was}"]
    return [f"R{number} is {said} since the program was entered"]


def _trail(seen: list[_Seen], verdict: Verdict) -> list[_Seen]:
    """What was seen along the path to the refusal, first to last."""
    pcs = [pc for first, last in verdict.path for pc in range(first, last + 1)]
    trail: list[_Seen] = []
    at = len(seen) - 1
    for pc in reversed(pcs):
        back = at
        while back >= 0 and seen[back].pc != pc:
            back -= 1
        if back >= 0:  # the second slot of an lddw is not walked
            trail.append(seen[back])
            at = back - 1
    return trail[::-1]
