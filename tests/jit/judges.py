"""What the tests of the encoders share: the vector files, and Capstone.

For each backend folder there are under tests/jit/vectors

    FOLDER.txt             call ; assembler text # bytes as GNU as or LLVM gives them
    FOLDER.refused.txt     calls that must raise Unencodable
    FOLDER.capstone.txt    text patterns that Capstone does not know ; reason    (optional)
    FOLDER.keystone.txt    text patterns that Keystone assembles wrongly ; reason    (optional)
    FOLDER.privileged.txt  mnemonics that compiled code may never hold

Where a folder has targets of both byte orders, the bytes are those of its first target.
"""

from __future__ import annotations

import ast
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cache
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import capstone

from jit.registry import TARGETS, backend
from jit.target import Target

VECTORS = Path(__file__).parent / "vectors"


@dataclass(frozen=True, slots=True)
class Vector:
    """One line: an encoder call, what it stands for in assembler, and its bytes."""

    place: str
    call: str
    text: str
    code: bytes


@dataclass(frozen=True, slots=True)
class Exemption:
    """Texts (a shell pattern) that a judge is known not to judge, and why."""

    place: str
    pattern: str
    reason: str

    def covers(self, vector: Vector) -> bool:
        """Whether the vector is one of them."""
        return fnmatchcase(vector.text, self.pattern)


def folder(target: Target) -> str:
    """The folder in jit/ that a target's backend is in."""
    return backend(target).__module__.split(".")[1]


def encoder(target: Target) -> ModuleType:
    """The target's encode.py."""
    return import_module(f"jit.{folder(target)}.encode")


def first_target(target: Target) -> Target:
    """The first target of the same folder, whose byte order the vectors have."""
    return next(other for other in TARGETS.values() if folder(other) == folder(target))


def _lines(name: str) -> list[tuple[str, str]]:
    """(file:line, text) of each line that is neither empty nor a comment. A file that is not there has none."""
    path = VECTORS / name
    if not path.exists():
        return []
    lines = path.read_text(encoding="utf-8").splitlines()
    return [(f"{name}:{n}", line.strip()) for n, line in enumerate(lines, 1) if line.strip() and line[0] != "#"]


@cache
def vectors(target: Target) -> tuple[Vector, ...]:
    """The target's vectors, as bytes in its memory."""
    swap = first_target(target).order != target.order
    found = []
    for place, line in _lines(f"{folder(target)}.txt"):
        left, _, digits = line.rpartition(" # ")
        call, separator, text = left.partition(" ; ")
        assert all((separator, digits)), f"{place}: not `call ; text # hex`: {line}"
        code = bytes.fromhex(digits)
        if swap:
            assert len(code) % 4 == 0, f"{place}: only 4-byte words have two byte orders"
            code = b"".join(code[at : at + 4][::-1] for at in range(0, len(code), 4))
        found.append(Vector(place, call.strip(), text.strip(), code))
    assert found, f"{folder(target)}.txt has no vectors"
    return tuple(found)


def refused(target: Target) -> list[tuple[str, str]]:
    """(place, call) of what must raise Unencodable."""
    return _lines(f"{folder(target)}.refused.txt")


def privileged(target: Target) -> frozenset[str]:
    """Mnemonics that compiled code may never hold."""
    return frozenset(line for _, line in _lines(f"{folder(target)}.privileged.txt"))


def exemptions(target: Target, judge: str) -> list[Exemption]:
    """What a judge ("capstone" or "keystone") is excused from."""
    split = [(place, *line.rpartition(" ; ")) for place, line in _lines(f"{folder(target)}.{judge}.txt")]
    return [Exemption(place, pattern.strip(), reason.strip()) for place, pattern, _, reason in split]


def evaluate(call: str, names: ModuleType) -> Any:
    """The value of a call on a module's public names. Only calls, names, numbers, bytes, strings and tuples."""
    return _value(ast.parse(call, mode="eval").body, names)


def _value(node: ast.expr, names: ModuleType) -> Any:
    match node:
        case ast.Constant(value=bool() | int() | bytes() | str()):
            return node.value
        case ast.Name(id=name) if not name.startswith("_"):
            return getattr(names, name)
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            return -_value(operand, names)
        case ast.Tuple(elts=elements):
            return tuple(_value(element, names) for element in elements)
        case ast.Call(func=ast.Name(), args=arguments, keywords=[]):
            return _value(node.func, names)(*(_value(argument, names) for argument in arguments))
    raise AssertionError(f"a vector may not hold {ast.unparse(node)}")


def names_in(call: str) -> set[str]:
    """Every name that a call mentions."""
    return {node.id for node in ast.walk(ast.parse(call, mode="eval")) if isinstance(node, ast.Name)}


def in_memory(value: int | bytes, target: Target, size: int) -> bytes:
    """An encoder's result as bytes: an instruction word goes in the target's instruction byte order.

    No target here stores instructions in another byte order than data.
    """
    return value if isinstance(value, bytes) else value.to_bytes(size, target.order)  # type: ignore[arg-type]


@cache
def disassembler(target: Target) -> capstone.Cs:
    """Capstone for a target."""
    arch, modes = target.capstone
    mode = 0
    for name in modes:
        mode |= getattr(capstone, name)
    return capstone.Cs(getattr(capstone, arch), mode)


def disassemble(target: Target, code: bytes, address: int = 0) -> list[tuple[int, str, str]]:
    """(size, mnemonic, operands) of each instruction up to the first that Capstone does not know."""
    return [(size, name, text) for _, size, name, text in disassembler(target).disasm_lite(code, address)]


@cache
def mnemonics(target: Target) -> frozenset[str]:
    """What Capstone calls the instructions that the target's encoder can make."""
    return frozenset(name for vector in vectors(target) for _, name, _ in disassemble(target, vector.code))
