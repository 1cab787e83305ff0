"""Tail calls and callbacks before anything runs: which map and which function a call names, how deep frames get.

As on Linux a tail call names one map: the verifier refuses a call that different paths reach with different maps
("tail_call abusing map_ptr"). Here the map has to be seen from the instructions of the function alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from bpf.errors import Refused
from bpf.isa import Insn, Kind
from bpf.program import MAX_FRAMES, Function, Program, call_graph
from bpf.spec.helpers import Helper

MAX_TAIL_CALLS = 33
"""Tail calls of one run: MAX_TAIL_CALL_CNT since Linux 5.17. Before, it was 32, which some JITs took for 33."""

Loaded = tuple[str, int]  # ("map", its index) or ("func", index of the function): what some lddw has put in a register
_Registers = tuple[Loaded | None, ...]
_NOTHING: _Registers = (None,) * 11


def loaded(prog: Program, function: Function) -> dict[int, _Registers]:
    """Slot of each call -> which of R0-R10 hold the same map or function there whichever way led there.

    Code that nothing reaches counts as entered where it starts, and changes nothing for the rest.
    """
    known: dict[int, _Registers] = {}
    for start in range(function.start, function.end):
        if start not in known and prog.insns[start] is not None:
            _spread(prog, start, known)
    calls = {}
    for pc, registers in known.items():
        insn = prog.insns[pc]
        if insn is not None and insn.row.kind is Kind.CALL:
            calls[pc] = registers
    return calls


def _spread(prog: Program, start: int, known: dict[int, _Registers]) -> None:
    """Work out what is known from a slot on, where nothing is; what is known already stays."""
    settled = frozenset(known)
    known[start] = _NOTHING
    work = [start]
    while work:
        pc = work.pop()
        insn = prog.insns[pc]
        assert insn is not None
        after = _after(prog, pc, insn, known[pc])
        following = [] if insn.row.kind in (Kind.GOTO, Kind.EXIT) else [pc + insn.slots]
        if insn.row.jumps:
            following.append(pc + 1 + insn.distance)
        for target in following:
            there = known.get(target)
            both = after if there is None else tuple(a if a == b else None for a, b in zip(there, after, strict=True))
            if both != there and target not in settled:
                known[target] = both
                work.append(target)


def _after(prog: Program, pc: int, insn: Insn, registers: _Registers) -> _Registers:
    row, now = insn.row, list(registers)
    if row.clobbers:
        now[:6] = _NOTHING[:6]
    elif row.writes_dst:
        now[insn.dst] = None
        if row.op in ("map_fd", "map_idx"):
            now[insn.dst] = ("map", insn.imm & 0xFFFF_FFFF)
        elif row.op == "func":
            now[insn.dst] = ("func", prog.function_at(pc + 1 + insn.distance))
        elif row.name == "mov64_reg":
            now[insn.dst] = registers[insn.src]
    if row.writes_src:
        now[insn.src] = None
    if row.op == "cmpxchg":
        now[0] = None
    return tuple(now)


def special(prog: Program, helpers: Mapping[int, Helper]) -> bool:
    """Whether a program calls helpers that this module has something to say about."""
    numbers = {number for number, helper in helpers.items() if helper.callback or helper.inline}
    return any(insn is not None and insn.imm in numbers and insn.row.op == "call_helper" for insn in prog.insns)


def tail_calls(prog: Program, helpers: Mapping[int, Helper], maps: int) -> dict[int, int]:
    """Slot of each tail call -> index of its map, below `maps`. Raises Refused where it is not a constant."""
    found: dict[int, int] = {}
    for pc, registers in _helper_calls(prog, helpers, "tail_call"):
        kind, index = registers[2] or ("", 0)
        if kind != "map" or index >= maps:
            raise Refused(
                f"insn {pc}: tail_call of a map that is not the same constant on every path to it",
                remedy="load the map into R2 in the function that calls",
            )
        found[pc] = index
    return found


def _helper_calls(prog: Program, helpers: Mapping[int, Helper], name: str = "") -> list[tuple[int, _Registers]]:
    """Calls of the helper of a name, or of all that call back, with what registers hold there."""
    places = []
    for pc, insn in enumerate(prog.insns):
        if insn is not None and insn.row.op == "call_helper":
            helper = helpers.get(insn.imm)
            if helper is not None and (helper.name == name if name else helper.callback):
                places.append(pc)
    if not places:
        return []
    known: dict[int, _Registers] = {}
    for index in {prog.function_at(pc) for pc in places}:
        known |= loaded(prog, prog.functions[index])
    return [(pc, known.get(pc, _NOTHING)) for pc in places]


def callback_graph(prog: Program, helpers: Mapping[int, Helper]) -> dict[int, frozenset[int]]:
    """The call graph with the calls that helpers make: of the function they are given, or of any that it may be."""
    graph = {index: set(callees) for index, callees in call_graph(prog).items()}
    for pc, registers in _helper_calls(prog, helpers):
        insn = prog.insns[pc]
        assert insn is not None
        helper = helpers[insn.imm]
        kind, index = registers[helper.callback] or ("", 0)
        caller = 0 if helper.later else prog.function_at(pc)  # later the entered function's frame is free
        graph[caller].update((index,) if kind == "func" else prog.address_taken)
    return {index: frozenset(callees) for index, callees in graph.items()}


def call_depth(prog: Program, graph: Mapping[int, frozenset[int]]) -> int:
    """The deepest chain of calls from the entry, in frames (1 = no calls).

    Raises Refused for recursion and for a chain of more than MAX_FRAMES.
    """
    depth: dict[int, int] = {}
    path: set[int] = set()

    def measure(index: int) -> int:
        if index in depth:
            return depth[index]
        if index in path:
            raise Refused(f"function {prog.functions[index].name} calls itself", remedy="recursion is not allowed")
        if len(path) >= MAX_FRAMES:
            raise Refused(f"calls are more than {MAX_FRAMES} frames deep at function {prog.functions[index].name}")
        path.add(index)
        depth[index] = 1 + max((measure(callee) for callee in graph[index]), default=0)
        path.remove(index)
        return depth[index]

    return measure(0)


def frames(programs: Sequence[Program], helpers: Mapping[int, Helper], tails: Sequence[Mapping[int, int]]) -> int:
    """Frames that a run of programs[0] may need. tails: per program, its tail calls (see tail_calls).

    A tail call keeps the frame and enters any program, so that a chain of calls goes on from there: with each of the
    MAX_TAIL_CALLS it may get deeper by what the program's own calls need. Raises Refused as call_depth.
    """
    graphs = [callback_graph(prog, helpers) if special(prog, helpers) else call_graph(prog) for prog in programs]
    alone = max(call_depth(prog, graph) for prog, graph in zip(programs, graphs, strict=True))
    if not any(tails):
        return alone
    leaving = [{prog.function_at(pc) for pc in places} for prog, places in zip(programs, tails, strict=True)]
    deepest = 0  # frames from a tail call's target on, with the tail calls that are left
    for _ in range(MAX_TAIL_CALLS + 1):
        needed = [_deepest(graph, leaves, deepest) for graph, leaves in zip(graphs, leaving, strict=True)]
        entered, deepest = needed[0], max(needed)
    return entered


def _deepest(graph: Mapping[int, frozenset[int]], leaves: set[int], target: int) -> int:
    """Frames from function 0 on, when those that tail-call need `target` frames instead of their own."""
    depth: dict[int, int] = {}

    def measure(index: int) -> int:
        if index not in depth:
            own = 1 + max((measure(callee) for callee in graph[index]), default=0)
            depth[index] = max(own, target) if index in leaves else own
        return depth[index]

    return measure(0)
