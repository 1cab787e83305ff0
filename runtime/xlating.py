"""A loaded program as the kernel has it after the verdict: what `prog dump xlated` shows."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from bpf.errors import Refused
from bpf.isa import SLOT
from bpf.program import Program
from bpf.rewrite import after_verdict
from bpf.spec.program_types import PROGRAM_TYPES
from runtime import running
from runtime.kernel import Kernel, ProgramObject
from runtime.running import Translated
from runtime.verifying import known
from verifier import Options


def translated(kernel: Kernel, one: ProgramObject) -> Translated:
    """What the kernel makes of a program that its verifier accepts; of another, what engines run. Raises Refused."""
    given = replace(one.program, maps=tuple(kernel.maps[number].declared for number in one.maps))
    made = xlated(given, one.type)
    return running.translated(kernel, one) if made is given else Translated(made, one.maps, one.tag)


def xlated(program: Program, kind: str, options: Options | None = None) -> Program:
    """A program of a type, with its maps, after its verdict; the same object where there is none, or it is refused.

    options: of the verdict; where none are given, facts that the program carries are taken.
    """
    if kind not in PROGRAM_TYPES:
        return program
    asks = options is not None or program.facts is None
    judged = known(replace(program, facts=None), kind, options) if asks else program
    if judged.facts is None:
        return program
    try:
        return after_verdict(judged, judged.facts, kind)
    except Refused:  # an access that the kernel converts and that is not described here
        return program


def measure(kernel: Kernel, programs: Iterable[ProgramObject]) -> None:
    """Note how long programs are after their verdict."""
    for one in programs:
        one.bytes_xlated = SLOT * len(translated(kernel, one).program)
