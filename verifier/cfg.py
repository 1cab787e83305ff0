"""The control-flow graph: is every slot reached and does every jump land on an instruction; cycles; an order of visits.

As check_cfg, compute_postorder and compute_scc of Linux 6.18's kernel/bpf/verifier.c, whose numbers and sentences these
are. All walks keep their own stack, so a program of a million instructions is none's recursion.
"""

from __future__ import annotations

from bpf.isa import opcodes
from bpf.isa.opcodes import JMP, JMP32
from bpf.spec.errno import EINVAL
from bpf.spec.kfunc_signatures import SIGNATURES
from verifier import calls
from verifier.raw import Raw
from verifier.rejection import Rejection
from verifier.shape import Structure, Subprogram

_JA, _CALL, _EXIT, _JCOND = (opcodes.JMP_OPS[op] for op in ("ja", "call", "exit", "jcond"))
_GOTOL = JMP32 | _JA
_WIDE = calls.WIDE


def check(found: Structure) -> None:
    """Explore from slot 0, note where states are to be kept, and refuse what is not reached.

    Raises Rejection.
    """
    explored = _Exploration(found)
    explored.walk(0)
    if found.exception_callback and not explored.begun[found.starts[found.exception_callback]]:
        explored.walk(found.starts[found.exception_callback])
    pc, end, raws = 0, len(found.raws), found.raws
    while pc < end:
        if not explored.done[pc]:
            raise Rejection(EINVAL, f"unreachable insn {pc}", pc)
        if raws[pc].code == _WIDE:
            if explored.begun[pc + 1]:
                raise Rejection(EINVAL, f"jump into the middle of ldimm64 insn {pc}", pc)
            pc += 1
        pc += 1


class _Exploration:
    """A depth-first walk. begun, done: per slot, whether it was met, and whether all behind it was."""

    __slots__ = ("begun", "done", "followed", "found")

    def __init__(self, found: Structure) -> None:
        self.found = found
        self.begun = bytearray(len(found.raws))
        self.done = bytearray(len(found.raws))
        self.followed = bytearray(len(found.raws))

    def walk(self, start: int) -> None:
        """Explore what is reached from a slot."""
        self.begun[start] = 1
        stack = [start]
        followed = self.followed
        while stack:
            pc = stack[-1]
            targets = self.edges(pc)
            while followed[pc] < len(targets):
                target = targets[followed[pc]]
                followed[pc] += 1
                if self.is_new(pc, target):
                    stack.append(target)
                    break
            else:
                stack.pop()
                self.leave(pc)

    def is_new(self, pc: int, target: int) -> bool:
        """Whether the target of an edge is met for the first time."""
        if not 0 <= target < len(self.done):
            raise Rejection(EINVAL, f"jump out of range from insn {pc} to {target}", pc)
        if not self.begun[target]:
            self.begun[target] = 1
            return True
        if not self.done[target] and not self.found.capable:
            raise Rejection(EINVAL, f"back-edge from insn {pc} to {target}", pc)
        return False

    def leave(self, pc: int) -> None:
        """All behind a slot is explored: a caller takes on what its callee does."""
        self.done[pc] = 1
        found = self.found
        raw = found.raws[pc]
        if calls.is_local_call(raw) or calls.is_function_address(raw):
            caller = found.subprograms[found.subprogram_of[pc]]
            callee = found.subprograms[found.subprogram_of[pc + 1 + raw.imm]]
            caller.changes_packet |= callee.changes_packet
            caller.might_sleep |= callee.might_sleep

    def edges(self, pc: int) -> tuple[int, ...]:
        """Where control goes from a slot, in the order in which the kernel follows; marks what it says of pruning."""
        found = self.found
        raw = found.raws[pc]
        code = raw.code
        cls = code & 7
        if cls not in (JMP, JMP32):
            if code != _WIDE:
                return (pc + 1,)
            if raw.src != opcodes.WIDE_FORMS["func"]:
                return (pc + 2,)
            _mark(found.prune_point, pc)
            return self.call(pc, pc + 2, pc + 1 + raw.imm)
        op = code & 0xF0
        if op == _EXIT:
            return ()
        if op == _CALL:
            self.mark_call(pc, raw)
            if raw.src != opcodes.CALL_LOCAL:
                return self.call(pc, pc + 1, None)
            _mark(found.prune_point, pc)
            return self.call(pc, pc + 1, pc + 1 + raw.imm)
        if op == _JA:
            if code & opcodes.X:
                raise Rejection(EINVAL, "", pc, reason="a jump to where a register points")
            target = pc + 1 + (raw.imm if cls == JMP32 else raw.off)
            self.join(target)
            return (target,)
        _mark(found.prune_point, pc)
        if code == JMP | _JCOND and raw.src == opcodes.MAY_GOTO:  # others are refused, when they are met
            _mark(found.force_checkpoint, pc)
        target = pc + 1 + raw.off
        self.join(target)
        return (pc + 1, target)

    def join(self, target: int) -> None:
        """Control jumps to a slot."""
        _mark(self.found.prune_point, target)
        _mark(self.found.jump_point, target)

    def call(self, pc: int, behind: int, callee: int | None) -> tuple[int, ...]:
        """The edges of a call, to what is behind it and to its callee."""
        self.join(behind)
        if callee is None:
            return (behind,)
        self.join(callee)
        return (behind, callee)

    def mark_call(self, pc: int, raw: Raw) -> None:
        """What a call says of its function and of pruning."""
        found = self.found
        of = found.subprograms[found.subprogram_of[pc]]
        helper = calls.is_helper_call(raw)
        kfunc = found.subject.kfuncs.get(pc, "") if calls.is_kfunc_call(raw) else ""
        later = helper and calls.helper_name(raw) in calls.ASYNC_CALLBACK
        if later or kfunc in calls.ASYNC_KFUNCS:
            found.prune_point[pc] = True
        if (helper and not later and calls.calls_back(raw.imm)) or kfunc in calls.SYNC_KFUNCS:
            found.calls_callback[pc] = found.force_checkpoint[pc] = True
            self.join(pc)
        if kfunc and calls.is_iterator_step(raw, pc, found.subject):
            found.prune_point[pc] = found.force_checkpoint[pc] = True
        signature = calls.callable_signature(raw, found.subject, found.options.caps)
        of.might_sleep |= kfunc in SIGNATURES and SIGNATURES[kfunc].sleeps
        of.might_sleep |= signature is not None and signature.might_sleep
        of.changes_packet |= kfunc in calls.MOVES_PACKET_KFUNCS or (helper and calls.moves_packet(raw.imm))


def _mark(marks: list[bool], pc: int) -> None:
    if 0 <= pc < len(marks):
        marks[pc] = True


def successors(raws: list[Raw], pc: int) -> tuple[int, ...]:
    """Where control goes within a function: fall-through before branch; a call falls through."""
    raw = raws[pc]
    code = raw.code
    cls = code & 7
    if cls not in (JMP, JMP32):
        after = pc + (2 if code == _WIDE else 1)
        return (after,) if pc + 1 < len(raws) else ()
    op = code & 0xF0
    if op == _EXIT:
        return ()
    if op == _JA:
        return (pc + 1 + (raw.imm if code == _GOTOL else raw.off),)
    if op == _CALL:
        return (pc + 1,) if pc + 1 < len(raws) else ()
    target = pc + 1 + raw.off
    if pc + 1 >= len(raws):
        return (target,)
    return (pc + 1,) if target == pc + 1 else (pc + 1, target)


def postorder(raws: list[Raw], of: list[tuple[int, ...]], subprograms: list[Subprogram]) -> list[int]:
    """The slots of one function after the other, a slot behind what it leads to."""
    order: list[int] = []
    seen, expanded = bytearray(len(raws)), bytearray(len(raws))
    for subprogram in subprograms:
        subprogram.postorder = len(order)
        stack = [subprogram.start]
        while stack:
            top = stack[-1]
            seen[top] = 1
            if expanded[top]:
                order.append(stack.pop())
                continue
            expanded[top] = 1
            for target in of[top]:
                if not seen[target]:
                    seen[target] = 1
                    stack.append(target)
    return order


def components(count: int, of: list[tuple[int, ...]]) -> list[int]:
    """Per slot the number of the cycle that it lies on, from 1 in the order of Tarjan's algorithm; 0 for none."""
    number = [0] * count
    before, low = [0] * count, [0] * count  # preorder numbers; a slot that has left the stack has an infinite `low`
    gone = count + 1
    stack: list[int] = []
    clock = named = 0
    for first in range(count):
        if before[first]:
            continue
        walk = [first]
        while walk:
            pc = walk[-1]
            if not before[pc]:
                clock += 1
                before[pc] = low[pc] = clock
                stack.append(pc)
            targets = of[pc]
            lowest = low[pc]
            unseen = -1
            for target in targets:
                if not before[target]:
                    unseen = target
                    break
                lowest = min(lowest, low[target])
            low[pc] = lowest
            if unseen >= 0:
                walk.append(unseen)
                continue
            walk.pop()
            if lowest < before[pc]:
                continue
            cycle = stack[-1] != pc or pc in targets
            named += cycle
            while True:
                member = stack.pop()
                low[member] = gone
                if cycle:
                    number[member] = named
                if member == pc:
                    break
    return number
