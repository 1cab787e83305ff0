"""The control-flow graph of a program, with the states at each block, in the DOT language."""

from __future__ import annotations

from collections import defaultdict

from verifier.insn_text import text
from verifier.log import frame_text
from verifier.options import Options
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
    heads = {0, *shape.starts[:-1]}
    for pc, after in enumerate(shape.successors):
        if len(after) > 1 or (after and after[0] != pc + 1):
            heads.update(after)
            heads.add(pc + 1)
    width = [2 if raw.code == 0x18 else 1 for raw in shape.raws]
    lines = [f"digraph {_quoted(name)} {{", '  node [shape=box fontname="monospace" fontsize=9];']
    pc, count = 0, len(shape.raws)
    while pc < count:
        head, body = pc, []
        while True:
            body.append(f"{pc}: {text(shape.raws, pc, subject)}")
            last, pc = pc, pc + width[pc]
            if pc >= count or pc in heads:
                break
        shown = states.get(head, [])
        above = [f"[{one}]" for one in shown[:STATES]]
        if len(shown) > STATES:
            above.append(f"[{len(shown) - STATES} more states]")
        label = "".join(_escaped(line) + "\\l" for line in above + body)
        colour = ' color="red"' if head <= verdict.pc <= last else "" if shown else ' style="dashed"'
        lines.append(f'  b{head} [label="{label}"{colour}];')
        behind = (after for after in dict.fromkeys(shape.successors[last]) if after in heads or after == pc)
        lines += [f"  b{head} -> b{after};" for after in behind]
    return "\n".join([*lines, "}", ""]), verdict


def _escaped(line: str) -> str:
    return line.replace("\\", "\\\\").replace('"', '\\"')


def _quoted(name: str) -> str:
    return '"' + _escaped(name) + '"'
