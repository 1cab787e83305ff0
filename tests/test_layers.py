"""The rules of the house that no linter knows: complete contracts, no host byte order, no question which machine."""

from __future__ import annotations

import ast
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from jit.registry import TARGETS

ROOT = Path(__file__).resolve().parents[1]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
OUTSIDE = {"tests", "bench", "ci", "docs", "examples"}  # not part of what is installed
SHIPPED = {path.parent.name for path in ROOT.glob("*/__init__.py")} - OUTSIDE
SOURCES = sorted(path for package in SHIPPED for path in (ROOT / package).rglob("*.py"))
BACKENDS = {path.parent.name for path in ROOT.glob("jit/*/target.py")}
CONTRACTS = PYPROJECT["tool"]["importlinter"]["contracts"]

LONGEST = 500
TABLES: dict[str, str] = {}  # path -> why it may be longer
HOST_ORDER = {
    "engines/native.py",
    "engines/linux.py",
    "engines/test_run.py",
    "emu/unicorn.py",
}  # they talk to the host's own memory


def name(path: Path) -> str:
    """A path as the documents write it."""
    return path.relative_to(ROOT).as_posix()


def nodes(path: Path) -> Iterator[ast.AST]:
    """The syntax tree of a file."""
    yield from ast.walk(ast.parse(path.read_text("utf-8")))


# Contracts ---------------------------------------------------------------------------------------


def test_every_folder_with_code_is_known() -> None:
    with_code = {
        path.relative_to(ROOT).parts[0]
        for path in ROOT.glob("*/**/*.py")
        if not path.relative_to(ROOT).parts[0].startswith((".", "build", "dist"))
    }
    assert with_code <= SHIPPED | OUTSIDE


def test_the_contracts_name_every_package() -> None:
    (layers,) = [contract for contract in CONTRACTS if contract["type"] == "layers"]
    named = {word.strip(" ()") for layer in layers["layers"] for word in layer.split("|")}
    assert named >= SHIPPED
    assert set(PYPROJECT["tool"]["importlinter"]["root_packages"]) == SHIPPED


def test_every_package_is_shipped_and_typed() -> None:
    assert set(PYPROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]) == SHIPPED
    assert set(PYPROJECT["tool"]["mypy"]["packages"]) == SHIPPED


@pytest.mark.parametrize(
    ("library", "allowed"),
    [("unicorn", "emu"), ("capstone", "jit"), ("hypothesis", "fuzz"), ("elftools", "bpf"), ("keystone", "")],
)
def test_libraries_have_one_place(library: str, allowed: str) -> None:
    (contract,) = [one for one in CONTRACTS if library in one.get("forbidden_modules", ())]
    assert {module.split(".")[0] for module in contract["source_modules"]} | {allowed} >= SHIPPED
    for path in SOURCES:
        if path.relative_to(ROOT).parts[0] != allowed:
            assert library not in imported(path), name(path)


@cache
def imported(path: Path) -> frozenset[str]:
    """The packages that a file imports."""
    return frozenset(module for node in nodes(path) for module in imports(node))


def imports(node: ast.AST) -> set[str]:
    """The top-level names of the packages that a statement imports."""
    if isinstance(node, ast.Import):
        return {alias.name.split(".")[0] for alias in node.names}
    if isinstance(node, ast.ImportFrom) and node.module and not node.level:
        return {node.module.split(".")[0]}
    return set()


def test_the_backends_are_independent() -> None:
    (contract,) = [contract for contract in CONTRACTS if contract["type"] == "independence"]
    assert {module.removeprefix("jit.") for module in contract["modules"]} == BACKENDS


# Byte order --------------------------------------------------------------------------------------


def host_order(node: ast.AST) -> bool:
    """Whether a node means something else on a host of the other byte order."""
    if isinstance(node, ast.Attribute):
        return node.attr == "byteorder" and isinstance(node.value, ast.Name) and node.value.id == "sys"
    if isinstance(node, ast.ImportFrom):
        return node.module == "sys" and any(alias.name == "byteorder" for alias in node.names)
    if not isinstance(node, ast.Call):
        return False
    called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
    given = len(node.args) + len(node.keywords)
    if called in ("from_bytes", "to_bytes"):
        return given < 2  # the default is big, which reads as if nobody had thought of it
    if called in ("Struct", "pack", "unpack", "pack_into", "unpack_from", "iter_unpack", "calcsize"):
        return (
            bool(node.args) and isinstance(text := leading(node.args[0]), str) and not text.startswith(("<", ">", "!"))
        )
    if called == "cast" and isinstance(node.func, ast.Attribute) and node.args:
        text = leading(node.args[0])
        return isinstance(text, str) and text not in ("B", "b", "c")
    return False


def leading(node: ast.expr) -> str | None:
    """The text that a format starts with; None where it is computed."""
    if isinstance(node, ast.JoinedStr):
        return leading(node.values[0]) if node.values else ""
    if isinstance(node, ast.BinOp):
        return leading(node.left)
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else None


@pytest.mark.parametrize("path", SOURCES, ids=name)
def test_nothing_depends_on_the_hosts_byte_order(path: Path) -> None:
    if name(path) not in HOST_ORDER:
        assert [node.lineno for node in nodes(path) if host_order(node)] == []  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("sys.byteorder", True),
        ("from sys import byteorder", True),
        ("struct.pack('Q', 1)", True),
        ("struct.unpack_from('=I', data)", True),
        ("Struct('<I')", False),
        ("struct.pack(order + 'Q', 1)", False),
        ("struct.pack(f'>{count}Q', *values)", False),
        ("int.from_bytes(data)", True),
        ("int.from_bytes(data, order)", False),
        ("value.to_bytes(8)", True),
        ("view.cast('I')", True),
        ("view.cast('B')", False),
    ],
)
def test_what_depends_on_the_hosts_byte_order(text: str, wrong: bool) -> None:
    assert any(host_order(node) for node in ast.walk(ast.parse(text))) == wrong


# Machines ----------------------------------------------------------------------------------------

MACHINES = frozenset({*TARGETS, *BACKENDS, *(alias for target in TARGETS.values() for alias in target.aliases)})


def asks_which_machine(node: ast.AST) -> bool:
    """Whether a node compares something with the name of a machine."""
    compared: list[ast.AST] = []
    if isinstance(node, ast.Compare):
        compared = [node.left, *node.comparators]
    elif isinstance(node, ast.MatchValue):
        compared = [node.value]
    elif isinstance(node, ast.Call) and getattr(node.func, "attr", "") in ("startswith", "endswith"):
        compared = list(node.args)
    inside = [one for value in compared for one in ast.walk(value)]
    return any(isinstance(one, ast.Constant) and one.value in MACHINES for one in inside)


@pytest.mark.parametrize("path", [path for path in SOURCES if path.parent.name not in BACKENDS], ids=name)
def test_no_code_asks_which_machine(path: Path) -> None:
    assert [node.lineno for node in nodes(path) if asks_which_machine(node)] == []  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    "text", ["arch == 's390x'", "name in ('arm64', 'x86_64')", "'ppc64le' != t.name", "name.startswith('ppc64')"]
)
def test_what_asks_which_machine(text: str) -> None:
    assert any(asks_which_machine(node) for node in ast.walk(ast.parse(text)))


# Rooms -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "path", [path for folder in sorted(SHIPPED | OUTSIDE) for path in sorted((ROOT / folder).rglob("*.py"))], ids=name
)
def test_a_file_is_one_room(path: Path) -> None:
    lines = path.read_text("utf-8").count("\n")
    assert lines <= LONGEST or name(path) in TABLES, f"{lines} lines"


def test_the_exceptions_are_needed() -> None:
    for path in TABLES:
        assert (ROOT / path).read_text("utf-8").count("\n") > LONGEST, path
