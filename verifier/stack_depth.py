"""How much stack all functions of a call chain use together: known once every function was walked.

As check_max_stack_depth of Linux 6.18's kernel/bpf/verifier.c with its x86_64 JIT.
"""

from __future__ import annotations

from bpf.program import MAX_FRAMES
from bpf.spec.errno import E2BIG, EACCES, EINVAL
from verifier import calls, fastcall
from verifier.rejection import Rejection
from verifier.rules import attached_to
from verifier.shape import Structure, Subprogram
from verifier.subject import Subject

LIMIT = 512  # MAX_BPF_STACK
BEFORE_TAIL_CALL = 256
OWN_STACK = 64  # BPF_PRIV_STACK_MIN_SIZE
_GRANULE = 16


def check(found: Structure) -> None:
    """Refuse what needs more than 512 bytes or 8 frames; sets Subprogram.tail_call_reachable.

    Subprogram.stack, callback and asynchronous say what exploration found. Raises Rejection.
    """
    fastcall.remove(found)
    own = may_have_own_stack(found.subject) and not any(part.has_tail_call for part in found.subprograms)
    apart = [own and _size(part) >= OWN_STACK for part in found.subprograms]
    for subprogram in reversed(found.subprograms):
        if not subprogram.number or subprogram.asynchronous:
            _chain(found, subprogram.number, apart, own and not subprogram.number)


def _size(subprogram: Subprogram) -> int:
    return -(-subprogram.stack // _GRANULE) * _GRANULE


def may_have_own_stack(subject: Subject) -> bool:
    """Whether the kernel may give each function of such a program a stack of its own."""
    kind = subject.type.name
    if kind == "tracing":
        return attached_to(subject) != "trace_iter"
    return kind in ("kprobe", "tracepoint", "perf_event", "raw_tracepoint")


def _chain(found: Structure, first: int, apart: list[bool], own: bool) -> None:
    """All call chains from one function on.

    apart: which functions have a stack of their own; own: those met here may, else they have none from now on.
    """
    raws, subprograms = found.raws, found.subprograms
    sizes = [_size(part) for part in subprograms]
    callers: list[tuple[int, int]] = []  # function and the slot to go on at
    seen: set[tuple[int, int, int, bool]] = set()  # a function that is entered like this again says nothing new
    number, depth = first, 0
    reachable = False

    def enter(number: int, depth: int) -> int:
        apart[number] = apart[number] and own
        if number and subprograms[number].has_tail_call and depth >= BEFORE_TAIL_CALL:
            what = f"tail_calls are not allowed when call stack of previous frames is {depth} bytes. Too large"
            raise Rejection(EACCES, what)
        if apart[number]:
            if sizes[number] > LIMIT:
                raise Rejection(EACCES, f"stack size of subprog {number} is {sizes[number]}. Too large")
            return depth
        depth += sizes[number]
        if depth > LIMIT:
            raise Rejection(EACCES, f"combined stack size of {len(callers) + 1} calls is {depth}. Too large")
        return depth

    depth = enter(number, depth)
    pc = subprograms[number].start
    while True:
        callee = -1
        while pc < subprograms[number].end:
            raw = raws[pc]
            if calls.is_kfunc_call(raw) and not raw.off:
                if found.subject.kfuncs.get(pc) == "bpf_throw":
                    _check_throw(found, pc, number, callers)
            elif calls.is_local_call(raw) or calls.is_function_address(raw):
                callee = found.subprogram_at(pc + 1 + raw.imm)
                if not subprograms[callee].asynchronous:
                    break
                if calls.is_local_call(raw):
                    if subprograms[callee].exception:
                        raise Rejection(EINVAL, f"insn {pc} cannot call exception cb directly", pc)
                    break
                callee = -1
            pc += 1
        if callee >= 0:
            callers.append((number, pc + 1))
            called_back = any(subprograms[caller].callback for caller, _ in callers)
            way = (callee, depth, len(callers), called_back)
            if way in seen:
                number, pc = callers.pop()
                continue
            seen.add(way)
            number, pc = callee, subprograms[callee].start
            reachable |= subprograms[number].has_tail_call
            if len(callers) >= MAX_FRAMES:
                raise Rejection(E2BIG, f"the call stack of {len(callers)} frames is too deep !")
            depth = enter(number, depth)
            continue
        if reachable:
            for caller, _ in callers:
                if subprograms[caller].exception:
                    raise Rejection(EINVAL, "cannot tail call within exception cb")
                subprograms[caller].tail_call_reachable = True
        if not callers:
            return
        if not apart[number]:
            depth -= sizes[number]
        number, pc = callers.pop()


def _check_throw(found: Structure, pc: int, number: int, callers: list[tuple[int, int]]) -> None:
    if any(found.subprograms[one].callback for one in (number, *(caller for caller, _ in callers))):
        what = f"bpf_throw kfunc (insn {pc}) cannot be called from callback subprog {number}"
        raise Rejection(EINVAL, what, pc)
