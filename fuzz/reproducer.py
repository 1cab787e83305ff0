"""A finding as files that somebody else can use: assembly to read, and a pytest file to keep."""

from __future__ import annotations

from collections.abc import Sequence

from bpf.text import disassemble
from engines import Engine
from fuzz.bordering import KIND, Unsound
from fuzz.oracles import Finding


def assembly(finding: Finding) -> str:
    """The program as text, with what went wrong above it."""
    head = ["# " + " ".join(f"{finding.engine}: {finding.what}".split())]
    if finding.parting is not None and finding.parting.pc >= 0:
        head.append(f"# parts at insn {finding.parting.pc}: {finding.parting.what}")
    if finding.entry.memory:
        head.append(f"# memory: {finding.entry.memory.hex()}")
    if finding.entry.packet:
        head.append(f"# packet: {finding.entry.packet.hex()}")
    return "\n".join(head) + "\n" + disassemble(finding.program)


def pytest_file(finding: Finding, engines: Sequence[Engine]) -> str:
    """A test that fails as long as the engine found, one of engines, does not agree. It needs only crossbpf."""
    guilty = [engine.in_python() for engine in engines if engine.name == finding.engine]
    guilty = guilty or [engine.in_python() for engine in engines]
    sources = "\n".join(dict.fromkeys(source for source, _ in guilty))
    expressions = ", ".join(expression for _, expression in guilty)
    found = f"{finding.engine} differs from the interpreter: {finding.what}"
    found = " ".join(found.replace("\\", "\\\\").replace('"', "'").split())
    code = finding.program.encode("little").hex()
    lines = "\n".join(f'    "{code[at : at + 96]}"' for at in range(0, len(code), 96))
    names = [map_.name.upper() for map_ in finding.program.maps]  # as fuzz.genome has them
    registers = {register: hex(value) for register, value in sorted(finding.entry.registers.items())}
    more = "" if finding.observe else ", observe=False"
    text = "\n".join("    " + line for line in disassemble(finding.program).splitlines())
    shown = "{" + ", ".join(f"{register}: {value}" for register, value in registers.items()) + "}"
    return f'''"""{found}

{text}
"""

from bpf.program import program
{sources}
from fuzz.genome import {", ".join(sorted(names or ["DATA"]))}
from fuzz.oracles import judge
from vm.world import Input

PROGRAM = program(
    bytes.fromhex(
{lines}
    ),
    maps=[{", ".join(names)}],
)  # fmt: skip
ENTRY = Input(
    memory={finding.entry.memory!r}, packet={finding.entry.packet!r}, registers={shown},
    stack_fill={finding.entry.stack_fill},
)  # fmt: skip


def test_agrees() -> None:
    finding = judge(PROGRAM.in_order, ENTRY, [{expressions}]{more})
    assert finding is None, finding.what
'''


def unsound_assembly(found: Unsound) -> str:
    """A program that the verifier is wrong about as text, with what its run did above it."""
    pruned = "" if found.mode.prune else ", with every state explored"
    head = [
        f"# accepted as {KIND}, {found.mode.order}-endian{pruned}; but at insn {found.breach.pc}: {found.breach.what}",
        f"# packet: {found.given.packet.hex()}",
    ]
    return "\n".join(head) + "\n" + disassemble(found.program)


def unsound_pytest_file(found: Unsound) -> str:
    """A test that fails as long as the verifier is wrong about the program. It needs only crossbpf."""
    what = " ".join(found.breach.what.replace("\\", "\\\\").replace('"', "'").split())
    text = "\n".join("    " + line for line in disassemble(found.program).splitlines())
    code = found.program.encode().hex()
    lines = "\n".join(f'    "{code[at : at + 96]}"' for at in range(0, len(code), 96))
    return f'''"""The verifier accepts this, and at insn {found.breach.pc}: {what}

{text}
"""

from bpf.program import program
from fuzz.border import MAPS
from fuzz.bordering import KIND, Mode
from fuzz.soundness import check, explore
from vm.world import Input, World

PROGRAM = program(
    bytes.fromhex(
{lines}
    ),
    order="{found.mode.order}",
    maps=MAPS,
)  # fmt: skip
WORLD = World(values={found.world.values!r}, elements={found.world.elements!r})  # fmt: skip


def test_sound() -> None:
    explored = explore(PROGRAM, KIND, Mode("{found.mode.order}", prune={found.mode.prune}).options)
    if explored.verdict.accepted:
        breach = check(PROGRAM, KIND, explored, Input(packet={found.given.packet!r}), WORLD)
        assert breach is None, breach
'''
