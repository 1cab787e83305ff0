"""The functions of a program, the jumps within them, and their types.

As add_subprog_and_kfunc, check_subprogs and check_btf_func of Linux 6.18's kernel/bpf/verifier.c.
"""

from __future__ import annotations

from bpf.isa import opcodes
from bpf.isa.opcodes import JMP, JMP32, LD
from bpf.object.btf import ENUMS, LINKAGE, Btf, Kind
from bpf.spec.errno import E2BIG, EINVAL, EPERM, EPROTO
from verifier import calls, rules
from verifier.raw import Raw
from verifier.rejection import Rejection
from verifier.shape import Structure, Subprogram
from verifier.subject import Subject

MAX_FUNCTIONS = 256  # BPF_MAX_SUBPROGS
MAX_KFUNCS = 256  # MAX_KFUNC_DESCS
_JA, _EXIT, _CALL = (opcodes.JMP_OPS[op] for op in ("ja", "exit", "call"))
_LAST = frozenset({JMP | _EXIT, JMP | _JA, JMP32 | _JA})
_PACKET_MODES = (opcodes.ABS, opcodes.IND)
_METADATA = "bpf_xdp_metadata_rx_"  # what only a program can call that is made for one device
_EXCEPTION = "exception_callback:"


def find(found: Structure) -> None:
    """Where functions start: at slot 0, where calls go and addresses are taken, at the exception callback."""
    _check_numbers(found.subject)
    raws = found.raws
    starts = {0}
    kfuncs: set[tuple[int, int]] = set()
    for pc, raw in enumerate(raws):
        local = calls.is_local_call(raw) or calls.is_function_address(raw)
        if not local and not calls.is_kfunc_call(raw):
            continue
        if not found.capable:
            what = "loading/calling other bpf or kernel functions are allowed for CAP_BPF and CAP_SYS_ADMIN"
            raise Rejection(EPERM, what, pc)
        if local:
            _add(starts, pc + 1 + raw.imm, len(raws), pc)
        else:
            _check_kfunc(found, pc, raw, kfuncs)
    exception = _exception_callback(found)
    if exception:
        _add(starts, exception, len(raws), -1)
    found.starts = [*sorted(starts), len(raws)]
    for number, start in enumerate(found.starts[:-1]):
        end = found.starts[number + 1]
        subprogram = Subprogram(number, start, end)
        if exception and start == exception:
            found.exception_callback = number
            subprogram.callback = subprogram.asynchronous = subprogram.exception = True
        found.subprograms.append(subprogram)
        found.subprogram_of.extend([number] * (end - start))


def _check_numbers(subject: Subject) -> None:
    """The functions' types are functions."""
    btf = subject.btf
    if btf is None:
        return
    for _, number in sorted(subject.types.items()):
        if not 0 <= number < len(btf) or btf[number].kind is not Kind.FUNC:
            raise Rejection(EINVAL, f"invalid type id {number} in func info")


def _add(starts: set[int], start: int, count: int, pc: int) -> None:
    if not 0 <= start < count:
        raise Rejection(EINVAL, "call to invalid destination", pc)
    if start not in starts and len(starts) >= MAX_FUNCTIONS:
        raise Rejection(E2BIG, "too many subprograms", pc)
    starts.add(start)


def _check_kfunc(found: Structure, pc: int, raw: Raw, seen: set[tuple[int, int]]) -> None:
    """A call of a kernel function: is there such a one?"""
    if found.subject.kfuncs.get(pc, "").startswith(_METADATA):
        raise Rejection(EINVAL, "metadata kfuncs require device-bound program", pc)
    if not rules.gpl_compatible(found.subject.license):
        raise Rejection(EINVAL, "cannot call kernel function from non-GPL compatible program", pc)
    if not raw.imm and not raw.off:
        return  # an error only where it is reached
    if raw.off < 0:
        message = "negative offset disallowed for kernel module function call\nfailed to find BTF for kernel function"
        raise Rejection(EINVAL, message, pc)
    if (raw.imm, raw.off) in seen:
        return
    if len(seen) == MAX_KFUNCS:
        raise Rejection(E2BIG, "too many different kernel function calls", pc)
    if raw.off and pc not in found.subject.kfuncs:
        message = "kfunc offset > 0 without fd_array is invalid\nfailed to find BTF for kernel function"
        raise Rejection(EPROTO, message, pc)
    if pc not in found.subject.kfuncs:
        raise Rejection(EINVAL, f"kernel btf_id {raw.imm & 0xFFFFFFFF} is not a function", pc)
    seen.add((raw.imm, raw.off))


def _exception_callback(found: Structure) -> int:
    """The slot of the function that a declaration tag of the entered one names as its exception callback, else 0."""
    btf, types = found.subject.btf, found.subject.types
    if btf is None or 0 not in types:
        return 0
    tags = [
        type_.name.removeprefix(_EXCEPTION)
        for type_ in btf.types
        if type_.kind is Kind.DECL_TAG
        and type_.type == types[0]
        and type_.component == -1
        and type_.name.startswith(_EXCEPTION)
    ]
    if not tags:
        return 0
    if len(tags) > 1:
        raise Rejection(EINVAL, "multiple exception callback tags for main subprog")
    named = [
        number for number, type_ in enumerate(btf.types) if type_.kind is Kind.FUNC and type_.name == tags[0]
    ]  # fmt: skip
    if not named:
        raise Rejection(EINVAL, f"exception callback '{tags[0]}' could not be found in BTF")
    if LINKAGE[btf[named[0]].linkage] != "global":
        raise Rejection(EINVAL, f"exception callback '{tags[0]}' must have global linkage")
    starts = [start for start, number in types.items() if number == named[0]]
    if not starts:
        raise Rejection(EINVAL, f"exception callback '{tags[0]}' could not be found in func_info")
    return starts[0]


def check_jumps(found: Structure) -> None:
    """Every jump stays in its function, and no function falls into the next."""
    raws = found.raws
    for subprogram in found.subprograms:
        start, end = subprogram.start, subprogram.end
        for pc in range(start, end):
            raw = raws[pc]
            code = raw.code
            cls = code & 7
            if cls == LD:
                subprogram.has_ld_abs |= code & 0xE0 in _PACKET_MODES
            elif cls in (JMP, JMP32):
                op = code & 0xF0
                if op == _CALL:
                    if calls.is_helper_call(raw) and raw.imm == calls.TAIL_CALL:
                        subprogram.has_tail_call = subprogram.tail_call_reachable = True
                elif op != _EXIT:
                    target = pc + 1 + (raw.imm if code == JMP32 | _JA else raw.off)
                    if not start <= target < end:
                        raise Rejection(EINVAL, f"jump out of range from insn {pc} to {target}", pc)
        if raws[end - 1].code not in _LAST:
            raise Rejection(EINVAL, "last insn is not an exit or jmp", end - 1)


def check_types(found: Structure) -> None:
    """The functions' types are those of the functions; packet loads and tail calls only where an int is returned."""
    subject = found.subject
    if subject.btf is None or not subject.types:
        for subprogram in found.subprograms[1:]:
            if subprogram.has_ld_abs:
                raise Rejection(EINVAL, "LD_ABS is not allowed in subprogs without BTF")
            if subprogram.has_tail_call:
                raise Rejection(EINVAL, "tail_call is not allowed in subprogs without BTF")
        return
    if len(subject.types) != len(found.subprograms):
        raise Rejection(EINVAL, "number of funcs in func_info doesn't match number of subprogs")
    for subprogram in found.subprograms:
        if subprogram.start not in subject.types:
            raise Rejection(EINVAL, "func_info BTF section doesn't match subprog layout in BPF program")
        if not subprogram.number or _returns_number(subject.btf, subject.types[subprogram.start]):
            continue
        if subprogram.has_ld_abs:
            raise Rejection(EINVAL, "LD_ABS is only allowed in functions that return 'int'.")
        if subprogram.has_tail_call:
            raise Rejection(EINVAL, "tail_call is only allowed in functions that return 'int'.")


def _returns_number(btf: Btf, function: int) -> bool:
    returned = btf[btf.strip(btf[btf[function].type].type)]
    return returned.kind in ENUMS or (returned.kind is Kind.INT and returned.size <= 8)
