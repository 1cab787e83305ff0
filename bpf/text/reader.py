"""Assembly text -> Program.

A line holds labels, then an instruction or a directive, then a comment (`#`, `//`, `;`). What dumps put before an
instruction, `12: ` and `(07) `, is read too.
"""

from __future__ import annotations

import json
import re
from difflib import get_close_matches

from bpf.errors import BadProgram, BadText
from bpf.isa import Insn, Kind
from bpf.order import Order
from bpf.program import Line, Program, program
from bpf.spec.kfuncs import NUMBERS
from bpf.text.grammar import FORMS, WORDS, find, reduce
from bpf.text.operands import check_distance, fill, short

_PREFIX = re.compile(r"(?:\d+:)?\s*(?:\(([0-9a-f]{2})\))?\s*", re.ASCII)
_NAME = r'(?:[A-Za-z_.$][\w.$]*|"(?:[^"\\]|\\.)*")'
_LABEL = re.compile(rf"({_NAME})\s*:\s*", re.ASCII)
_FUNCTION_TYPE = re.compile(rf"\.type\s+({_NAME})\s*,\s*[@%]function", re.ASCII)
_COMMENT = re.compile(r"#|//|;|/\*")
_NUMBERED_CALL = re.compile(r"\bcall\s+[A-Za-z_]\w*#([-+]?\d+)", re.ASCII)
_LOAD_WIDE = 0x18
# Directives that say nothing about instructions. What lays out data is not among them: text has no data.
_DIRECTIVES = frozenset(
    [
        *(".text", ".section", ".file", ".ident", ".loc", ".type", ".size", ".align", ".balign", ".p2align"),
        *(".globl", ".global", ".local", ".weak", ".hidden", ".protected", ".internal", ".addrsig", ".addrsig_sym"),
    ]
)


def assemble(text: str, *, order: Order = "little", name: str = "prog", file: str = "") -> Program:
    """The program that text says.

    order: its byte order. name: its name, and that of its first function unless a label stands there. file: where the
    text came from, for messages and for Program.lines.
    Functions are slot 0, the targets of local calls and lddw func, and labels with a `.type name, @function`.
    Raises BadText naming the line, and the subclasses of BadProgram (see bpf.program.program).
    """
    reader = _Reader(file)
    for at, line in enumerate(text.split("\n"), 1):
        try:
            reader.read(at, line)
        except BadText as error:
            raise error.at(file=file, place=f"line {at}") from None
    reader.resolve()
    try:
        return program(reader.slots, name=name, order=order, names=reader.function_names(), lines=reader.lines)
    except BadProgram as error:
        if error.pc is not None:
            line_of = reader.lines.get(error.pc) or reader.lines[error.pc - 1]  # the second slot of an lddw has none
            error.place = f"line {line_of.line}, {error.place}"
        raise error.at(file=file) from None


class _Reader:
    """The state of reading: the instructions so far, the labels, and which operands wait for a label."""

    def __init__(self, file: str) -> None:
        self.file = file
        self.slots: list[Insn | None] = []
        self.lines: dict[int, Line] = {}
        self.labels: dict[str, list[tuple[int, int]]] = {}  # name -> (slot, line) of each definition
        self.waiting: list[tuple[int, str]] = []  # (slot, label)
        self.declared: set[str] = set()  # names that a directive calls functions
        self.first_exit: int | None = None  # what the conformance suite means by `exit` if no label has that name

    def read(self, at: int, line: str) -> None:
        """Take in one line, the one with number `at`."""
        for statement in _statements(line):
            self._statement(at, statement)

    def _statement(self, at: int, line: str) -> None:
        text = line.strip()
        if text.startswith(".type") and (declaration := _FUNCTION_TYPE.match(text)):
            self.declared.add(_unquote(declaration[1]))
            return
        if ":" in text:
            text = self._labels(at, text)
        text = _uncomment(text)
        if not text:
            return
        if text[0] == ".":
            _check_directive(text)
            return
        opcode = None
        if text[0].isdigit() or text[0] == "(":
            prefix = _PREFIX.match(text)
            assert prefix is not None
            text = text[prefix.end() :]
            opcode = int(prefix[1], 16) if prefix[1] else None
            if not text:
                return
        slot = len(self.slots)
        insn, label = _instruction(text, opcode)
        if insn.row.op == "call_kfunc" and label:
            insn = insn._replace(imm=_kernel_function(label))
        elif label:
            self.waiting.append((slot, label))
        self.lines[slot] = Line(self.file, at, text)
        self.slots.append(insn)
        if insn.row.kind is Kind.WIDE:
            self.slots.append(None)
        elif insn.row.kind is Kind.EXIT and self.first_exit is None:
            self.first_exit = slot

    def resolve(self) -> None:
        """Fill in the distances to labels. Raises BadText."""
        for slot, name in self.waiting:
            insn = self.slots[slot]
            assert insn is not None
            try:
                distance = self._slot_of(name, insn) - slot - 1
                check_distance(insn.row, distance)
            except BadText as error:
                raise error.at(file=self.file, place=f"line {self.lines[slot].line}") from None
            self.slots[slot] = insn.with_distance(distance)

    def function_names(self) -> dict[int, str]:
        """Slot -> name of the functions that have one. Raises BadText."""
        declared = {name for name in self.declared if name in self.labels}
        referenced = declared | {name for slot, name in self.waiting if self._refers(slot)}
        starts = {0} | {pc + 1 + insn.distance for pc, insn in enumerate(self.slots) if insn and self._refers(pc)}
        for name in declared:
            for slot, at in self.labels[name]:
                if slot == len(self.slots):
                    raise BadText(f"function {short(name)} has no instructions", file=self.file, place=f"line {at}")
                starts.add(slot)
        names: dict[int, str] = {}
        for name, places in self.labels.items():
            for slot, _ in places:
                if slot in starts and (slot not in names or (name in referenced and names[slot] not in referenced)):
                    names[slot] = name
        return names

    def _refers(self, slot: int) -> bool:
        """Whether the instruction at slot names a function."""
        insn = self.slots[slot]
        return insn is not None and insn.row.op in ("call_local", "func")

    def _labels(self, at: int, text: str) -> str:
        """Note the labels at the start of text and return the rest of it."""
        while label := _LABEL.match(text):
            self.labels.setdefault(_unquote(label[1]), []).append((len(self.slots), at))
            text = text[label.end() :]
        if text.endswith("):"):  # bpftool's line before a function: `int name(struct xdp_md * ctx):`
            head = text.partition("(")[0].split()
            if head and text[0] not in "#/;":
                self.labels.setdefault(head[-1].lstrip("*"), []).append((len(self.slots), at))
                return ""
        return text

    def _slot_of(self, name: str, insn: Insn) -> int:
        """The slot of the label that insn goes to."""
        places = self.labels.get(name, [])
        if len(places) == 1:
            return places[0][0]
        if places:
            lines = " and ".join(str(at) for _, at in places)
            raise BadText(f"label {short(name)} is defined more than once, on lines {lines}")
        if name == "exit" and self.first_exit is not None:
            return self.first_exit
        near = get_close_matches(name, list(self.labels)[:1000], 1)
        helper = " (a helper is called by its number)" if insn.row.kind is Kind.CALL else ""
        remedy = f"did you mean {near[0]!r}?" if near else f"labels are written `name:`{helper}"
        raise BadText(f"no label {short(name)}", remedy=remedy)


def _check_directive(text: str) -> None:
    word = text.split(maxsplit=1)[0]
    if word not in _DIRECTIVES and not word.startswith(".cfi_"):
        remedy = "text holds instructions only; load data and maps from an object file"
        raise BadText(f"unknown directive {short(word)}", remedy=remedy)


def _unquote(name: str) -> str:
    if name[0] != '"':
        return name
    try:
        return str(json.loads(name))
    except ValueError:
        raise BadText(f"{short(name)} is no quoted name", remedy="its escapes are those of JSON") from None


def _statements(line: str) -> list[str]:
    """The line at the semicolons that an instruction follows; after any other semicolon comes a comment."""
    if ";" not in line:
        return [line]
    statements: list[str] = []
    rest = _NUMBERED_CALL.sub(r"call \1", line)
    while True:
        mark = _COMMENT.search(rest)
        if mark is None or mark[0] != ";" or not rest[: mark.start()].strip() or not _reads(rest[mark.end() :]):
            return [*statements, rest]
        statements.append(rest[: mark.start()])
        rest = rest[mark.end() :]


def _kernel_function(name: str) -> int:
    """The number of a kernel function. Raises BadText."""
    if name not in NUMBERS:
        raise BadText(f"no kernel function {short(name)} is here", remedy="docs/helpers.md lists those that are")
    return NUMBERS[name]


def _reads(text: str) -> bool:
    """Whether text, up to its next semicolon or comment, is an instruction with or without labels."""
    words = re.split(_COMMENT, text, maxsplit=1)[0].strip()
    while label := _LABEL.match(words):
        words = words[label.end() :]
    return find(words)[0] is not None


def _uncomment(text: str) -> str:
    """Text without its comments. Raises BadText for what would be lost with one by mistake."""
    if "#" in text:
        text = _NUMBERED_CALL.sub(r"call \1", text)  # the kernel writes `call bpf_ktime_get_ns#5`
    while mark := _COMMENT.search(text):
        before, after = text[: mark.start()], text[mark.end() :]
        if mark[0] == "/*":
            _, end, after = after.partition("*/")
            if not end:
                raise BadText("comment has no end on its line", remedy="close it with */ or comment with #")
            text = f"{before} {after}"
            continue
        text = before
    return text.strip()


def _instruction(text: str, opcode: int | None) -> tuple[Insn, str]:
    """The instruction that text says, and the label that its distance waits for. opcode: what a dump calls it."""
    form, operands = find(text)
    if form is None:
        raise _unknown(text)
    if opcode is None:
        return fill(form, operands, form.wraps)
    if opcode == _LOAD_WIDE and form.row.name == "mov64_imm":
        form = FORMS["r = # ll"]  # the kernel leaves out the `ll`
    if form.row.opcode != opcode:
        raise BadText(f"opcode of {short(text)} is 0x{form.row.opcode:02x}, not 0x{opcode:02x}")
    return fill(form, operands, wraps=True)  # the kernel prints the imm of a comparison as an unsigned number


def _unknown(text: str) -> BadText:
    """Why text is no instruction: the word that is none, or the form that is nearest."""
    key, _ = reduce(text)
    near = get_close_matches(key, FORMS, 1, 0.5)
    word = text.split(maxsplit=1)[0]
    if key.startswith("@") and (words := get_close_matches(word, WORDS, 1)):
        return BadText(f"unknown instruction {short(word)}", remedy=f"did you mean {words[0]!r}?")
    remedy = f"the nearest form is `{FORMS[near[0]].sample}`" if near else "instructions look like `r1 += 5`"
    return BadText(f"not an instruction: {short(text)}", remedy=remedy)
