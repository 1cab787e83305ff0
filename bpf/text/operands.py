"""From the operands of a line to an instruction: what each token is worth, and whether its field can hold it."""

from __future__ import annotations

from bpf.errors import BadText
from bpf.isa import Insn, Kind, Row
from bpf.isa.opcodes import FRAME_POINTER
from bpf.text.grammar import LABEL, OFF, REGISTER, SAME_DST, SRC, TARGET, ZERO, Form

_OFFSETS = range(-(1 << 15), 1 << 15)
_IMMEDIATES = range(-(1 << 31), 1 << 31)
_HALVES = range(-(1 << 31), 1 << 32)
_WIDE = range(-(1 << 63), 1 << 64)
_USE_OF_R0 = {Kind.ATOMIC: "compares R0 and returns in it", Kind.PACKET: "returns in R0"}
_M32 = (1 << 32) - 1
_M64 = (1 << 64) - 1


def fill(form: Form, operands: list[str], wraps: bool) -> tuple[Insn, str]:
    """The instruction, and the label that stands for its distance, if any.

    wraps: an immediate of 2**31 to 2**32 - 1 is the 32-bit field written as an unsigned number.
    Raises BadText, without a place.
    """
    row = form.row
    values = [*form.base, 0, 0, 0]
    label = ""
    for place, token in zip(form.places, operands, strict=True):
        if place <= SRC:
            values[place] = _register(token)
        elif place == LABEL:
            label = token
        elif place < LABEL:
            if place in (OFF, TARGET) and token[0] not in "+-":
                raise BadText(f"{short(token)} needs a sign", remedy=f"write +{token} or -{token}")
            values[place] = _number(token)
        elif place == ZERO:
            if _register(token):
                raise BadText(f"{token} must be {token.lstrip('%')[0]}0: the instruction {_USE_OF_R0[row.kind]}")
        elif _register(token) != values[place - SAME_DST]:
            first = operands[form.places.index(place - SAME_DST)]
            raise BadText(f"both registers must be the same, not {first} and {token}")
    if values[form.written] == FRAME_POINTER and form.written >= 0:
        raise BadText("r10 is the frame pointer and cannot be written", remedy="write to r0 to r9")
    dst, src, off, imm, low, high, distance = values
    if row.kind is Kind.WIDE:
        return Insn(row, dst, src, 0, _wide(row, imm, low, high, distance)), label
    if off not in _OFFSETS:
        raise BadText(f"offset {off} does not fit 16 bits", remedy="offsets are -32768 to 32767")
    if row.kind is Kind.CAST:
        imm = high << 16 | low
        if imm not in row.immediates:
            raise BadText(f"no cast goes from space {low} to {high}", remedy="spaces are 0 and 1, the arena's")
    if imm not in _IMMEDIATES:
        imm = _wrapped(row, imm, wraps)
    insn = Insn(row, dst, src, off, imm)
    if distance:
        check_distance(row, distance)
        insn = insn.with_distance(distance)
    return insn, label


def check_distance(row: Row, distance: int) -> None:
    """Raise BadText when the row's field cannot hold the distance."""
    if "off" in row.fields and distance not in _OFFSETS:
        remedy = "gotol reaches further" if row.kind is Kind.GOTO else "branch to a gotol that goes there"
        raise BadText(f"a target {distance} slots away does not fit 16 bits", remedy=remedy)
    if distance not in _IMMEDIATES:
        raise BadText(f"a target {distance} slots away does not fit 32 bits")


def short(text: str) -> str:
    """Text in quotes, cut to what a message can show."""
    return repr(text if len(text) <= 60 else text[:57] + "...")


def _register(token: str) -> int:
    value = REGISTER.get(token)
    if value is None:
        raise BadText(f"no register {short(token)}", remedy="registers are r0 to r10")
    return value


def _number(token: str) -> int:
    digits = "".join(token.split())  # a sign may stand apart
    if len(digits) > 40:
        raise BadText(f"{short(token)} is too long for a number")
    return int(digits, 16) if "x" in digits or "X" in digits else int(digits)


def _wrapped(row: Row, imm: int, wraps: bool) -> int:
    """An immediate that is no signed 32-bit number, as one."""
    if not 0 <= imm <= _M32:
        raise BadText(f"immediate {imm} does not fit 32 bits", remedy="load it with `r1 = 0x... ll`")
    if not wraps:
        signed = imm - (1 << 32)
        raise BadText(
            f"immediate 0x{imm:x} would be sign-extended to {signed} by a {row.width}-bit operation",
            remedy=f"write {signed} if that is meant, else load it with `r1 = 0x{imm:x} ll`",
        )
    return imm - (1 << 32)


def _wide(row: Row, imm: int, low: int, high: int, distance: int) -> int:
    """The 64-bit immediate of an lddw, from whichever of its parts the text has."""
    if imm not in _WIDE:
        raise BadText(f"immediate {imm} does not fit 64 bits")
    if low not in _HALVES or high not in _HALVES:
        raise BadText(f"{high if low in _HALVES else low} does not fit 32 bits")
    check_distance(row, distance)
    return imm & _M64 | (high & _M32) << 32 | (low | distance) & _M32
