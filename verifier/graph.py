"""The control-flow graph of a program, with the states at each block, in the DOT language."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence

from verifier.calls import WIDE
from verifier.cfg import successors
from verifier.insn_text import text
from verifier.log import frame_text
from verifier.options import Options
from verifier.raw import Raw
from verifier.state import State
from verifier.structure import structure
from verifier.subject import Subject
from verifier.verify import Verdict, verify

STATES = 3  # that are shown of a block


def dot(subject: Subject, options: Options, name: str) -> tuple[str, Verdict]:
    """The graph, and the verdict. Raises Rejection for a program that has no graph."""
    states: dict[int, list[str]] = defaultdict(list)

    def observe(pc: int, state: State) -> None:
        said = frame_text(state, state.frames[-1]).strip()
        if said not in states[pc]:
            states[pc].append(said)

    shape = structure(subject, options)
    verdict = verify(subject, options, observe)

    def label(block: Sequence[int]) -> tuple[list[str], str]:
        shown = states.get(block[0], [])
        above = [f"[{one}]" for one in shown[:STATES]]
        if len(shown) > STATES:
            above.append(f"[{len(shown) - STATES} more states]")
        colour = ' color="red"' if verdict.pc in block else "" if shown else ' style="dashed"'
        return above + [f"{pc}: {text(shape.raws, pc, subject)}" for pc in block], colour

    return drawing(name, shape.raws, shape.starts[:-1], label), verdict


def drawing(
    name: str, raws: list[Raw], starts: Sequence[int], label: Callable[[Sequence[int]], tuple[list[str], str]]
) -> str:
    """The graph of a program's blocks. starts: where functions start; label: the lines and attributes of a block."""
    lines = [f"digraph {_quoted(name)} {{", '  node [shape=box fontname="monospace" fontsize=9];']
    after = [successors(raws, pc) for pc in range(len(raws))]
    blocks = _blocks(raws, after, starts)
    heads = {block[0] for block in blocks}
    for block in blocks:
        shown, attributes = label(block)
        joined = "".join(_escaped(line) + "\\l" for line in shown)
        lines.append(f'  b{block[0]} [label="{joined}"{attributes}];')
        lines += [f"  b{block[0]} -> b{to};" for to in dict.fromkeys(after[block[-1]]) if to in heads]
    return "\n".join([*lines, "}", ""])


def _blocks(raws: list[Raw], after: list[tuple[int, ...]], starts: Sequence[int]) -> list[list[int]]:
    """The blocks of a program, each the slots where its instructions start."""
    heads = {0, *starts}
    for pc, targets in enumerate(after):
        if len(targets) > 1 or (targets and targets[0] not in (pc + 1, pc + 2 * (raws[pc].code == WIDE))):
            heads.update(targets)
            heads.add(pc + 1)
    found: list[list[int]] = []
    pc = 0
    while pc < len(raws):
        if pc in heads or not found:
            found.append([])
        found[-1].append(pc)
        pc += 2 if raws[pc].code == WIDE else 1
    return found


def _escaped(line: str) -> str:
    return line.replace("\\", "\\\\").replace('"', '\\"')


def _quoted(name: str) -> str:
    return '"' + _escaped(name) + '"'
