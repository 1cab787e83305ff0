"""The log, in the kernel's words and columns: the only room of the verifier that makes text of states.

Source: kernel/bpf/log.c and print_insn_state of Linux 6.18. A line of the log is one string without its newline.
"""

from __future__ import annotations

from bpf.object.btf import Btf
from bpf.program import Line, Map
from verifier import tnum
from verifier.scalar import UNKNOWN, Scalar
from verifier.scalar_text import ranges_text, signed_text, unsigned_text
from verifier.state import (
    ADD_CONST,
    DYNPTR_SLOT,
    ITER_SLOT,
    KIND_CHARS,
    SPILL,
    Dynptr,
    Frame,
    Iterator,
    Reg,
    State,
)  # fmt: skip
from verifier.types import (
    ARENA,
    BASE,
    BTF,
    DYNPTR,
    MAP_KEY,
    MAP_PTR,
    MAP_VALUE,
    MEM,
    NON_OWNING,
    PACKETS,
    SCALAR,
    STACK,
    name,
)  # fmt: skip

_COLUMN, _STEP = 40, 8  # where states stand behind instructions
_MAPS = frozenset({MAP_PTR, MAP_VALUE, MAP_KEY})
_ALL = -1


class Log:
    """Lines in the order of their making; `length` and `cut` take back those of a path that was left."""

    __slots__ = ("_instruction", "_width", "lines")

    def __init__(self) -> None:
        self.lines: list[str] = []
        self._instruction = -1
        self._width = 0

    def __len__(self) -> int:
        return len(self.lines)

    def add(self, text: str) -> None:
        """A line, or several."""
        self.lines += text.split("\n")

    def source(self, line: Line) -> None:
        """The source line that the next instructions come from."""
        self.lines.append(f"; {line.text} @ {line.file.rpartition('/')[2]}:{line.line}")

    def cut(self, length: int) -> None:
        """Forget all but the first lines."""
        del self.lines[length:]

    def instruction(self, pc: int, text: str) -> None:
        """The line of an instruction; its state may be put behind it."""
        line = f"{pc}: {text}"
        self.lines.append(line)
        self._instruction = len(self.lines)
        self._width = len(line) + 1

    def state(self, pc: int, text: str) -> None:
        """What an instruction changed: behind its line, where that is the last one."""
        if self._instruction == len(self.lines):
            width = self._width
            column = -(-max(width + _STEP // 2, _COLUMN) // _STEP) * _STEP
            self.lines[-1] += " " * (column - width - 1) + ";" + text
            self._instruction = -1
        else:
            self.lines.append(f"{pc}:{text}")


def reg_text(reg: Reg, frame: int, precise: bool) -> str:
    """A register as print_reg_state writes it; frame: the number of the one that it is shown in."""
    type_, num = reg.type, reg.num
    if type_ == SCALAR and num.mask == 0:
        return ("P" if precise else "") + _signed(num.value)
    text = ("P" if precise and type_ == SCALAR else "") + name(type_)
    base = type_ & BASE
    if base == ARENA:
        return text
    if base == STACK:
        if reg.aux != frame:
            text += f"[{reg.aux}]"
        if num.mask == 0:
            return text + _signed(num.value + reg.off)
    if base == BTF and isinstance(reg.of, Btf):
        text += reg.of[reg.aux].name
    said = []
    if reg.id:
        said.append(f"id={reg.id & ~ADD_CONST}" + (f"{reg.off:+d}" if reg.id & ADD_CONST else ""))
    if reg.ref:
        said.append(f"ref_obj_id={reg.ref}")
    if type_ & NON_OWNING:
        said.append("non_own_ref")
    if base in _MAPS and isinstance(reg.of, Map):
        if reg.of.name:
            said.append(f"map={reg.of.name}")
        said.append(f"ks={reg.of.key_size},vs={reg.of.value_size}")
    if type_ != SCALAR and reg.off:
        said.append("off=" + signed_text(reg.off))
    if type_ in PACKETS:
        said.append("r=" + unsigned_text(reg.aux & 0xFFFF_FFFF_FFFF_FFFF))
    if base == MEM:
        said.append("sz=" + unsigned_text(reg.aux))
    if base == DYNPTR and isinstance(reg.of, Dynptr):
        said.append(f"type={reg.of.kind}")
    if num.mask == 0:
        if num.value:
            said.append("imm=" + _signed(num.value))
    elif num is not UNKNOWN:
        limits = ranges_text(num)
        if limits:
            said.append(limits)
    return f"{text}({','.join(said)})"


def tnum_text(num: Scalar) -> str:
    """Known bits as the kernel's sentences have them."""
    return tnum.text(num.value, num.mask)


def _signed(value: int) -> str:
    """An unsigned 64-bit number (or a sum that left 64 bits) as a signed one."""
    value &= 0xFFFF_FFFF_FFFF_FFFF
    return signed_text(value - (1 << 64) if value >> 63 else value)


def frame_text(
    state: State, frame: Frame, regs: int = _ALL, slots: int = _ALL, precise: int = 0, precise_slots: int = 0
) -> str:
    """A frame as print_verifier_state writes it, from its leading space on; regs, slots: bits of what is shown."""
    text = f" frame{frame.number}:" if frame.number else ""
    for number, reg in enumerate(frame.regs):
        if reg.type and regs >> number & 1:
            text += f" R{number}={reg_text(reg, frame.number, precise >> number & 1 == 1)}"
    index = 0
    while index < len(frame.stack):
        slot, at = frame.stack[index], index
        index += 1
        if not slots >> at & 1 or not any(slot.kinds):
            continue
        last = slot.kinds[7]
        if last == SPILL:
            chars = "".join(KIND_CHARS[kind] for kind in slot.kinds)
            above = chars[: chars.index(KIND_CHARS[SPILL])]
            said = above + reg_text(slot.reg, frame.number, precise_slots >> at & 1 == 1)
        elif last == DYNPTR_SLOT:
            index += 1
            at += 1
            said = _dynptr(frame.slot(at).reg)
        elif last == ITER_SLOT:
            if not slot.reg.ref:
                continue
            said = _iterator(slot.reg)
        else:
            said = "".join(KIND_CHARS[kind] for kind in slot.kinds)
        text += f" fp{-8 * (at + 1)}={said}"
    if state.refs and state.refs[0].id:  # a lock in global data has none
        text += " refs=" + ",".join(str(ref.id) for ref in state.refs if ref.id)
    if frame.callback:
        text += " cb"
    if frame.asynchronous:
        text += " async_cb"
    return text


def _dynptr(reg: Reg) -> str:
    said = [f"id={reg.id}"] if reg.id else []
    if reg.ref:
        said.append(f"ref_id={reg.ref}")
    if reg.aux:
        said.append(f"dynptr_id={reg.aux}")
    kind = reg.of.kind if isinstance(reg.of, Dynptr) else ""
    return f"dynptr_{kind}({','.join(said)})"


def _iterator(reg: Reg) -> str:
    assert isinstance(reg.of, Iterator)
    return f"iter_{reg.of.kind}(ref_id={reg.ref},state={reg.of.state},depth={reg.of.depth})"
