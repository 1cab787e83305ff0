"""What the documents say is run: Python blocks, command lines and their output, names of files and of tests."""

from __future__ import annotations

import ast
import re
import shlex
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from bpf.spec.conventions import TYPED
from bpf.spec.helpers import KERNEL
from bpf.spec.program_types import PROGRAM_TYPES
from crossbpf.cli import main
from crossbpf.headers import DOCUMENT, helper_table
from engines.test_run import TYPES

ROOT = Path(__file__).resolve().parents[1]
DOCUMENTS = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").glob("*.md"))]
each_document = pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
PROGRAM_TYPES_PAGE = (ROOT / "docs/program-types.md").read_text("utf-8")
EXAMPLE = "riscv64"  # what NAME stands for in the guide to a new machine


@dataclass(frozen=True)
class Block:
    """A fenced block: language, the name after it (a file that the reader is told to write), lines."""

    language: str
    name: str
    lines: tuple[str, ...]


def blocks(document: Path) -> Iterator[Block]:
    """The fenced blocks of a document."""
    found = re.finditer(r"^```(\w+) ?(\S*)\n(.*?)^```$", document.read_text("utf-8"), re.MULTILINE | re.DOTALL)
    for match in found:
        yield Block(match[1], match[2], tuple(match[3].splitlines()))


def commands(block: Block) -> Iterator[tuple[str, list[str]]]:
    """The command lines of a console block, each with the output shown under it."""
    command = ""
    shown: list[str] = []
    for line in block.lines:
        if line.startswith("$ "):
            if command:
                yield command, shown
            command, shown = line[2:], []
        else:
            shown.append(line)
    if command:
        yield command, shown


def masked(lines: list[str]) -> list[str]:
    """The shape of an output: times are masked, runs of blanks are one."""
    text = [re.sub(r"\b[\d.]+ ?(ns|us|ms|s)\b", r"TIME \1", line) for line in lines]
    text = [re.sub(r"loaded_at \S+  uid \d+", "loaded_at WHEN  uid N", line) for line in text]
    text = [re.sub(r"jited \d+B|not jited", "jited SIZE", line) for line in text]
    return [" ".join(line.split()) for line in text if line.strip()]


@pytest.fixture
def reader(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with what a reader has: the examples, and the files that the documents tell to write."""
    shutil.copytree(ROOT / "examples", tmp_path / "examples")
    for document in DOCUMENTS:
        for block in blocks(document):
            if block.name:
                (tmp_path / block.name).write_text("\n".join((*block.lines, "")), encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CROSSBPF_BPFFS", str(tmp_path / "bpffs"))
    return tmp_path


@each_document
def test_python_blocks_run(document: Path, reader: Path) -> None:
    for block in blocks(document):
        if block.language == "python":
            exec(compile("\n".join(block.lines), str(document), "exec"), {"__name__": "document"})


@each_document
def test_commands_print_what_is_shown(document: Path, reader: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for block in blocks(document):
        if block.language != "console":
            continue
        for command, shown in commands(block):
            program, *arguments = shlex.split(command)
            assert program == "crossbpf", command
            code = main(arguments)
            printed = capsys.readouterr()
            refused = any(line.startswith("verification failed") for line in shown)
            assert code == (1 if refused else 0), (command, printed.err)
            if shown:
                assert masked(printed.out.splitlines()) == masked(shown), command


def readme_commands() -> list[str]:
    """The README's two commands."""
    return ["\n".join(block.lines) for block in blocks(ROOT / "README.md") if block.language == "sh"]


def test_the_readme_runs() -> None:
    languages = {block.language for block in blocks(ROOT / "README.md")}
    assert {"python", "sh", "console"} <= languages
    assert len(readme_commands()) == 2


def test_the_first_command_checks_the_examples(reader: Path, capsys: pytest.CaptureFixture[str]) -> None:
    environment, install, check = readme_commands()[0].split(" && ")
    assert environment == "python3 -m venv .venv"
    assert install.startswith(".venv/bin/pip install ")
    program, *arguments = shlex.split(check)
    assert program == ".venv/bin/crossbpf"
    assert main(arguments) == 0
    printed = capsys.readouterr().out
    for source in sorted((ROOT / "examples").glob("*.c")):
        assert source.stem in printed


def test_the_second_command_runs_the_tests() -> None:
    environment, install, test = readme_commands()[1].split(" && ")
    assert environment == "python3 -m venv .venv"
    assert install.startswith(".venv/bin/pip install ")
    assert "[test]" in install
    assert test == ".venv/bin/pytest"


def test_the_helpers_of_the_document_are_those_there_are() -> None:
    text = DOCUMENT.read_text("utf-8")
    assert text == helper_table(), "write it again: python -m crossbpf.headers"
    there = re.findall(r"^\| (\d+) \| `(\w+)` \| ([\d.]+) \| yes \|", text, re.MULTILINE)
    assert [(int(number), name, since) for number, name, since in there] == [
        (helper.number, helper.name, helper.since) for helper in KERNEL.values()
    ]
    assert "`docs/helpers.md`" in (ROOT / "README.md").read_text("utf-8")


def test_the_program_types_are_those_there_are() -> None:
    rows = re.findall(r"^\| (\d+) \| (\w+) \| ([\d.]+) \|.*\| ([\w, ]+) \|$", PROGRAM_TYPES_PAGE, re.MULTILINE)
    said = {name: (int(number), since, says) for number, name, since, says in rows}
    for name, kind in PROGRAM_TYPES.items():
        runs = "runs, live too" if name in TYPES else "runs" if name in TYPED else "data only"
        assert kind.number == 0 or said[name] == (kind.number, kind.since, runs)


def spoken_paths(document: Path) -> set[str]:
    """Everything in a document that looks like a path of the repository."""
    text = document.read_text("utf-8")
    words = re.findall(r"`([\w./-]+)(?:::\w+)?`", text)
    for line in re.findall(r"^    (.*)$", text, re.MULTILINE):  # indented command lines
        words += re.findall(r"(?<![\w/.-])[\w.][\w./-]*/[\w./-]*", line.split("#")[0])
    known = {path.name for path in ROOT.iterdir()}
    return {
        word.replace("NAME", EXAMPLE)
        for word in words
        if ("/" in word or Path(word).suffix in (".md", ".toml")) and not word.startswith((".venv", "./"))
        if "/" not in word or word.split("/")[0] in known or word.startswith((".ci", ".github"))
    }


@each_document
def test_files_exist(document: Path) -> None:
    missing = sorted(path for path in spoken_paths(document) if not (ROOT / path).exists())
    assert not missing


def test_the_modules_to_run_exist() -> None:
    for document in DOCUMENTS:
        for module in re.findall(r"python -m ((?:bench|crossbpf)[\w.]*)", document.read_text("utf-8")):
            path = ROOT / module.replace(".", "/")
            assert path.with_suffix(".py").exists() or (path / "__main__.py").exists(), module


def names_of_tests(path: Path) -> set[str]:
    """Names of the test functions in a file."""
    tree = ast.parse(path.read_text("utf-8"))
    return {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")}


def test_every_row_about_linux_names_a_test() -> None:
    document = (ROOT / "docs/linux.md").read_text("utf-8")
    rows = [line for line in document.splitlines() if line.startswith("| ") and not line.startswith("| statement")]
    assert len(rows) > 20
    named: set[str] = set()
    for row in rows:
        cells = row.strip("| ").split(" | ")
        assert len(cells) == 4, row
        match = re.fullmatch(r"`(tests/[\w/.]+)::(test_\w+)`", cells[3])
        assert match is not None, row
        assert match[2] in names_of_tests(ROOT / match[1]), row
        named.add(match[2])
    assert names_of_tests(ROOT / "tests/test_linux.py") - named == {"test_what_is_refused_is_one_line"}
