"""Every error that crossbpf raises on purpose.

One base class, so that a caller (and the command line) catches one thing; one subclass per cause, so that a test
can ask for the cause and not for its wording.
"""

from __future__ import annotations

from bpf.spec.errno import NUMBERS


class CrossbpfError(Exception):
    """Base of all errors: what is wrong, where, and what to do about it.

    message: one clear clause without a full stop.
    file:    the file it was read from, if any (filled in by whoever knows it: `error.at(file=...)`).
    place:   where in the file: "line 3", "insn 17", "section .text+0x40".
    remedy:  what the user can do, one clause.
    """

    def __init__(self, message: str, *, place: str = "", remedy: str = "", file: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.place = place
        self.remedy = remedy
        self.file = file

    def at(self, *, file: str = "", place: str = "") -> CrossbpfError:
        """Return self with file and place filled in where they were empty."""
        self.file = self.file or file
        self.place = self.place or place
        return self

    def __str__(self) -> str:
        where = ": ".join(part for part in (self.file, self.place) if part)
        text = f"{where}: {self.message}" if where else self.message
        text = f"{text} ({self.remedy})" if self.remedy else text
        # Names in a broken file may hold anything; an error is one line all the same.
        return text if text.isprintable() else "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


class BadInput(CrossbpfError):
    """A file, an option or a value given by the user cannot be used."""


class BadText(CrossbpfError):
    """A line of assembly does not say an instruction."""


class BadObject(CrossbpfError):
    """An ELF object is broken, or has something that is not supported."""


class BadProgram(CrossbpfError):
    """The instructions are not a program. The subclasses say in which way."""

    def __init__(self, message: str, *, pc: int | None = None, remedy: str = "") -> None:
        super().__init__(message, place="" if pc is None else f"insn {pc}", remedy=remedy)
        self.pc = pc


class Truncated(BadProgram):
    """The code is not a whole number of 8-byte slots, or is empty."""


class UnknownOpcode(BadProgram):
    """No instruction has this opcode, or this opcode with this selecting field."""


class ReservedField(BadProgram):
    """A field that the instruction does not use is not zero."""


class BadRegister(BadProgram):
    """A register above R10, or R10 as a destination."""


class BadImmediate(BadProgram):
    """An immediate or an offset does not fit its field."""


class HalfWide(BadProgram):
    """lddw without its second slot, or a second slot with anything but imm in it."""


class JumpIntoWide(BadProgram):
    """A jump or a call to the second slot of an lddw."""


class JumpOutOfRange(BadProgram):
    """A jump or a call to outside the program, or out of its function."""


class FallsOff(BadProgram):
    """Control can run past the end of a function."""


class Refused(CrossbpfError):
    """A well-formed program that this engine, target or plan cannot run, and why."""


class NotHere(CrossbpfError):
    """Something that this machine or installation lacks: a compiler, a library of the right version."""


class CallFailed(CrossbpfError):
    """What bpf() would answer with an error: `errno` is Linux's number, `name` its name."""

    def __init__(self, name: str, message: str, *, place: str = "", remedy: str = "", file: str = "") -> None:
        super().__init__(f"{message}: {name}", place=place, remedy=remedy, file=file)
        self.name = name
        self.errno = NUMBERS[name]


class Rejected(CallFailed):
    """A program that the verifier does not accept."""


class MapRefused(Refused):
    """A map that cannot be. `name` and `errno` are what bpf() answers, "" and 0 where only this machine has no room."""

    def __init__(self, message: str, name: str = "") -> None:
        super().__init__(f"{message}: {name}" if name else message)
        self.name = name
        self.errno = NUMBERS.get(name, 0)
