"""python -m fuzz.parity.xlated: what becomes of accepted programs after the verdict, here and in the live kernel.

What is compared is the instructions, less what is the kernel's own business: ids of maps, addresses, where fields lie
inside it. Exit code 1 where a generated program is not the same.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from random import Random

from bpf.facts import Base
from bpf.isa import Insn, Kind
from bpf.object.btf_wire import decode as decode_types
from bpf.program import Program
from bpf.rewrite.internal import FUNCTIONS, NOSPEC, PERCPU
from bpf.spec.prototypes import PROTOTYPES
from bpf.text import format_insn
from engines import syscall
from engines.function_info import function_info
from fuzz import border, genome
from fuzz.parity import oracle
from fuzz.parity.oracle import HOST
from runtime import verifying
from runtime.xlating import xlated
from verifier import Options, verify
from verifier.options import BPF, NET_ADMIN
from verifier.raw import Raw, row_of, slots

ROOT = Options(log_level=0)
CAPABILITIES = {"all": ROOT, "bpf": Options(frozenset({BPF, NET_ADMIN}), log_level=0)}
_PERCPU_OFF = -1
_MASK = 0xFFFF_FFFF
_BASE = "__bpf_call_base"
_ALIASES = {"bpf_user_rnd_u32": "bpf_get_prandom_u32"}
"""Function of the kernel's -> the helper that it is, where its name is another one."""


def typed(program: Program) -> Program:
    """A program whose functions have types, as the kernel wants it where one is passed to a helper."""
    if program.btf is not None:
        return program
    starts = [function.start for function in program.functions]
    types = decode_types(function_info(starts, program.order).btf)
    first = len(types) - len(starts)
    return replace(program, btf=types, types={start: first + number for number, start in enumerate(starts)})


def theirs(program: Program, kind: str, options: Options = ROOT) -> list[Insn | None]:
    """The instructions that the live kernel has after its verdict. Raises LoadError, OSError, NotHere."""
    with oracle.loaded(verifying.subject(program, kind), options) as descriptor:
        return _read(syscall.program_info(descriptor).xlated)


def _read(code: bytes) -> list[Insn | None]:
    """Instructions as the kernel gives them out; a local call has its distance in imm."""
    found: list[Insn | None] = []
    raws = slots(code, HOST)
    wide = False
    for raw, after in zip(raws, [*raws[1:], Raw(0, 0, 0, 0, 0)], strict=True):
        if wide:
            found.append(None)
            wide = False
            continue
        row = row_of(raw)
        if row is None and raw.code == NOSPEC.opcode:
            row = NOSPEC
        if row is None and raw.code == PERCPU.opcode and raw.off == _PERCPU_OFF:
            row = PERCPU
        if row is None:
            raise ValueError(f"no instruction: {raw}")
        imm = raw.imm
        wide = row.kind is Kind.WIDE
        if wide:
            imm = after.imm << 32 & _MASK << 32 | imm & _MASK
        if row.op == "call_local":
            raw, imm = raw._replace(off=0), raw.off
        found.append(Insn(row, raw.dst, raw.src, raw.off, imm))
    return found


@cache
def _symbols() -> dict[int, str]:
    """Address less that of the base of calls -> name, of the kernel's functions."""
    named: dict[int, str] = {}
    base = 0
    for line in Path("/proc/kallsyms").read_text().splitlines():
        address, kind, name = line.split()[:3]
        if name == _BASE:
            base = int(address, 16)
        if kind in "tTwW":
            named[int(address, 16)] = name
    return {address - base: name for address, name in named.items()}


def lines(insns: Sequence[Insn | None], hidden: frozenset[int] = frozenset()) -> list[str]:
    """Instructions in words, without what differs from kernel to kernel. hidden: slots whose offset is left out."""
    maps: dict[int, int] = {}
    return [_line(insns, pc, insn, maps, pc in hidden) for pc, insn in enumerate(insns) if insn is not None]


def _line(insns: Sequence[Insn | None], pc: int, insn: Insn, maps: dict[int, int], hidden: bool) -> str:
    op, after = insn.row.op, insns[pc + 1] if pc + 1 < len(insns) else None
    if insn.row.kind is Kind.WIDE and op.startswith("map"):
        number = maps.setdefault(insn.imm & _MASK, len(maps))
        value = f"[0]+{insn.imm >> 32}" if op.endswith("value") else ""
        return f"{pc}: r{insn.dst} = map[{number}]{value}"
    if op == "func":
        return f"{pc}: r{insn.dst} = subprog[{insn.distance:+d}]"
    if op == "imm" and insn.imm >> 32 >= 0xFFFF_8000:
        insn = insn._replace(imm=0)
    if after is not None and after.row is PERCPU and op == "mov":
        insn = insn._replace(imm=0)
    if op == "call_helper":
        return f"{pc}: call {_name(insn.imm)}"
    return format_insn(insn._replace(off=0) if hidden else insn, pc)


def _name(number: int) -> str:
    """Of a function by its number in FUNCTIONS or among the helpers, or by where it is in the kernel."""
    if number in FUNCTIONS:
        return FUNCTIONS[number]
    if number in PROTOTYPES:
        return f"bpf_{PROTOTYPES[number].name}"
    name = _symbols().get(number, str(number))
    return _ALIASES.get(name, name)


def hidden(made: Program, program: Program, kind: str, options: Options = ROOT) -> frozenset[int]:
    """Slots of a rewritten program whose offset is one of a structure that the kernel has for itself."""
    facts = verify(verifying.subject(program, kind), options).facts
    assert facts is not None
    fields = {pc for pc, pointer in facts.pointers.items() if pointer.base is Base.CONTEXT}
    return frozenset(
        at for at, insn in enumerate(made.insns)
        if insn is not None and made.origin_of(at) in fields and insn.row.kind in (Kind.LOAD, Kind.STORE)
    )  # fmt: skip


def both(program: Program, kind: str, options: Options = ROOT) -> tuple[list[str], list[str]]:
    """An accepted program after the verdict: here, and in the live kernel."""
    made = xlated(program, kind, options)
    where = hidden(made, program, kind, options)
    return lines(made.insns, where), lines(theirs(program, kind, options), where)


def main(arguments: list[str] | None = None) -> int:
    """Compare generated programs; see the module's text."""
    parser = argparse.ArgumentParser(prog="fuzz.parity.xlated", description=__doc__)
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--size", type=int, default=12, help="gestures of a program, at most")
    parser.add_argument("--profile", choices=("border", "plain"), default="border")
    parser.add_argument("--caps", choices=sorted(CAPABILITIES), default="all", help="capabilities of who loads")
    parser.add_argument("--show", type=int, default=3)
    options = parser.parse_args(arguments)
    decode, kind = (border.decode, "sched_cls") if options.profile == "border" else (genome.decode, "socket_filter")
    asked = CAPABILITIES[options.caps]
    random, figures = Random(options.seed), Counter[str]()
    for number in range(options.count):
        program = decode(genome.draw(random, options.size), HOST)
        if not verify(verifying.subject(program, kind), asked).accepted:
            continue
        try:
            ours, live = both(program, kind, asked)
        except syscall.LoadError:
            figures["refused by Linux"] += 1
            continue
        except OSError:  # a map that this kernel does not make
            figures["not asked"] += 1
            continue
        figures["programs"] += 1
        figures["changed"] += len(ours) != sum(insn is not None for insn in program.insns)
        figures["same"] += ours == live
        if ours != live and figures["shown"] < options.show:
            figures["shown"] += 1
            print(f"seed {options.seed} program {number}:")
            print("\n".join(f"  {a:50} {b}" for a, b in _beside(ours, live)))
    del figures["shown"]
    for name, count in figures.items():
        print(f"{name:20} {count:7}")
    return 0 if figures["same"] == figures["programs"] else 1


def _beside(ours: list[str], live: list[str]) -> list[tuple[str, str]]:
    """The lines from the first that differs on."""
    length = max(len(ours), len(live))
    pairs = [(ours[at] if at < len(ours) else "", live[at] if at < len(live) else "") for at in range(length)]
    first = next(at for at, (a, b) in enumerate(pairs) if a != b)
    return pairs[max(first - 2, 0) : first + 8]


if __name__ == "__main__":
    sys.exit(main())
