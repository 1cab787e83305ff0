"""From clang's BPF object file to programs.

    load(data) -> programs of one section      Object(data).program(entry) -> one program

A program is a global function and what it reaches. Its code starts with that function; the functions it calls, or
takes the address of, follow in file order, whatever section they are in. A data section that it refers to
(.rodata*, .data*, .bss*) becomes a Map of one element, and the reference an `lddw map_idx_value`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from bpf.errors import BadObject, BadProgram, CrossbpfError, Refused, UnknownOpcode
from bpf.isa import ROW, SLOT, Insn, Kind, decode, make, opcodes
from bpf.isa.effects import signed
from bpf.object import btf
from bpf.object.dwarf import Place, line_table
from bpf.object.reader import Relocation, Section, Symbol, read
from bpf.program import Line, Map, Program, program

# Relocation types: Documentation/bpf/llvm_reloc.rst of Linux.
R_BPF_64_64, R_BPF_64_32 = 1, 10

_DATA = (".rodata", ".data", ".bss")
_UNSUPPORTED_OPCODES = {
    opcodes.JMP | opcodes.X | opcodes.JMP_OPS["ja"]: ("a jump table (gotox)", "compile with -fno-jump-tables"),
}


@dataclass(frozen=True, slots=True)
class Entry:
    """A global function, where a program starts. section: the name of the section it is in."""

    name: str
    section: str
    place: Place


@dataclass(slots=True)
class _Body:
    """A function of a program being put together: its instructions, and what its relocations and calls mean."""

    place: Place
    name: str
    insns: tuple[Insn | None, ...]
    functions: dict[int, Place] = field(default_factory=dict)  # slot of a call or lddw -> the function meant
    data: dict[int, Place] = field(default_factory=dict)  # slot of an lddw -> the byte of a data section meant


def load(data: bytes, *, file: str = "", section: str | None = None, name: str | None = None) -> list[Program]:
    """The programs of an object file of either byte order.

    section: the section to load from; without it, the first one named by SEC(...) that has a global function, else
    .text. name: a function; without it, every global function of the section, in file order: the first is the one
    to run unless the user says another. file: for error messages and nothing else.
    Raises BadObject for a broken file or a choice that it does not offer, Refused for what is not supported.
    """
    try:
        opened = Object(data)
        return [opened.program(entry) for entry in opened.choose(section, name)]
    except CrossbpfError as error:
        raise error.at(file=file) from None


class Object:
    """An opened object file: `entries` says which programs it offers, `program` makes one."""

    def __init__(self, data: bytes) -> None:
        self._elf = read(data)
        self._names = self._functions()
        ext = btf.open_ext(self._elf)
        self._core = btf.core_relocations(ext) if ext else {}
        self._lines = self._source(btf.line_info(ext) if ext else {})
        self.order = self._elf.order
        self.entries = tuple(
            Entry(symbol.name, self._elf.sections[place[0]].name, place)
            for place, symbol in sorted(self._names.items())
            if symbol.binding != "LOCAL" and not symbol.hidden
        )

    def choose(self, section: str | None = None, name: str | None = None) -> list[Entry]:
        """The entries that `load` takes, never none. Raises BadObject naming what there is."""
        if not self.entries:
            raise BadObject("no global function", remedy="define one that is not static, and compile with -c")
        if section is None and name is None:
            marked = [entry for entry in self.entries if not entry.section.startswith(".text")]
            section = (marked or self.entries)[0].section
        chosen = [entry for entry in self.entries if section in (None, entry.section) and name in (None, entry.name)]
        if not chosen:
            wanted = (f" {name}" if name else "") + (f" in section {section}" if section else "")
            offered = ", ".join(f"{entry.name} in {entry.section}" for entry in self.entries[:8])
            raise BadObject(f"no global function{wanted}", remedy=f"there is {offered}")
        return chosen

    def program(self, entry: Entry) -> Program:
        """The program that starts at `entry`. Raises BadObject and Refused."""
        bodies = self._reach(entry.place)
        first = bodies.pop(entry.place)
        rest = sorted(bodies.values(), key=lambda body: (body.place[0] != entry.place[0], body.place))
        return self._link(entry.name, [first, *rest])

    def _source(self, known: dict[tuple[str, int], Line]) -> dict[Place, Line]:
        """DWARF's lines, with what BTF knows: the text of a line, and the head of a function instead of its brace."""
        texts = {(line.file, line.line): line.text for line in known.values()}
        lines = {
            place: replace(line, text=texts.get((line.file, line.line), ""))
            for place, line in line_table(self._elf).items()
        }
        indices = {section.name: section.index for section in self._elf.sections if section.code}
        for (section, offset), line in known.items():
            if section in indices:
                lines[indices[section], offset] = line
        return lines

    # -- functions ------------------------------------------------------------------------------------------------

    def _functions(self) -> dict[Place, Symbol]:
        """Where functions start. Of several names for one place the global one counts."""
        found: dict[Place, Symbol] = {}
        for symbol in self._elf.symbols:
            index = symbol.section
            if not isinstance(index, int) or not 0 <= index < len(self._elf.sections):
                continue
            section = self._elf.sections[index]
            if not section.code or symbol.value >= len(section.data):
                continue
            if symbol.kind == "FUNC" or (symbol.kind == "NOTYPE" and symbol.binding == "GLOBAL"):
                if symbol.value % SLOT:
                    raise BadObject(
                        f"function {symbol.name} is not at an instruction", place=self._at(index, symbol.value)
                    )
                place = (index, symbol.value)
                if place not in found or found[place].binding == "LOCAL":
                    found[place] = symbol
        return found

    def _at(self, section: int, offset: int) -> str:
        return f"section {self._elf.sections[section].name}+0x{offset:x}"

    def _reach(self, entry: Place) -> dict[Place, _Body]:
        bodies: dict[Place, _Body] = {}
        waiting = [entry]
        while waiting:
            place = waiting.pop()
            if place not in bodies:
                bodies[place] = body = self._body(place)
                waiting += body.functions.values()
        return bodies

    def _body(self, place: Place) -> _Body:
        """Decode the function at `place`, up to the next one, and say what it refers to."""
        index, start = place
        section, name = self._elf.sections[index], self._names[place].name
        ends = [offset for owner, offset in self._names if owner == index and offset > start]
        end = min(ends, default=len(section.data))
        for offset in self._core.get(section.name, ()):
            if start <= offset < end:
                raise Refused(
                    f"function {name} has a CO-RE relocation, which is not supported yet",
                    place=self._at(index, offset),
                    remedy="access the structure without preserve_access_index",
                )
        body = _Body(place, name, self._decode(section, start, end, name))
        for slot, insn in enumerate(body.insns):
            offset = start + SLOT * slot
            relocation = section.relocations.get(offset)
            if relocation is not None:
                self._resolve(body, slot, insn, relocation)
            elif insn is not None and insn.row.op in ("call_local", "func"):
                body.functions[slot] = self._function((index, offset + SLOT * (1 + insn.distance)), place, slot)
        return body

    def _decode(self, section: Section, start: int, end: int, name: str) -> tuple[Insn | None, ...]:
        try:
            return decode(section.data[start:end], self._elf.order)
        except BadProgram as error:
            offset = start + SLOT * (error.pc or 0)
            place = f"section {section.name}+0x{offset:x}"
            opcode = section.data[offset] if isinstance(error, UnknownOpcode) else -1
            if opcode in _UNSUPPORTED_OPCODES:
                what, remedy = _UNSUPPORTED_OPCODES[opcode]
                raise Refused(
                    f"function {name} has {what}, which is not supported", place=place, remedy=remedy
                ) from None
            raise BadObject(f"function {name}: {error.message}", place=place, remedy=error.remedy) from None

    # -- relocations ----------------------------------------------------------------------------------------------

    def _resolve(self, body: _Body, slot: int, insn: Insn | None, relocation: Relocation) -> None:
        """Note in `body` what the instruction at `slot` refers to."""
        place = self._at(body.place[0], relocation.offset)
        if relocation.symbol >= len(self._elf.symbols):
            raise BadObject(f"relocation names symbol {relocation.symbol}, which is not there", place=place)
        symbol = self._elf.symbols[relocation.symbol]
        is_call = relocation.kind == R_BPF_64_32 and insn is not None and insn.row.op == "call_local"
        is_wide = relocation.kind == R_BPF_64_64 and insn is not None and insn.row.name == "lddw_imm"
        if insn is None or not (is_call or is_wide):
            what = "no instruction" if insn is None else insn.row.name
            raise BadObject(f"relocation of type {relocation.kind} on {what}", place=place)
        index = self._defined(symbol, place, is_call)
        offset = symbol.value + SLOT * (1 + insn.imm) if is_call else symbol.value + signed(insn.imm, 32)
        if self._elf.sections[index].code:
            body.functions[slot] = self._function((index, offset), body.place, slot)
        elif is_call:
            raise BadObject(f"call into section {self._elf.sections[index].name}, which is not code", place=place)
        else:
            self._check_data(index, offset, place, symbol)
            body.data[slot] = (index, offset)

    def _defined(self, symbol: Symbol, place: str, is_call: bool) -> int:
        """The index of the section that the symbol is in."""
        if symbol.section == "UNDEF":
            what = "function" if is_call else "variable"
            remedy = (
                "define it in this file; kernel functions (kfuncs) are not supported yet"
                if is_call
                else "define it in this file; kernel variables (.ksyms, .kconfig) are not supported yet"
            )
            raise Refused(f"{what} {symbol.name} is not defined", place=place, remedy=remedy)
        if symbol.section == "COMMON":
            raise Refused(f"variable {symbol.name} is in no section", place=place, remedy="compile with -fno-common")
        if not isinstance(symbol.section, int) or not 0 <= symbol.section < len(self._elf.sections):
            raise BadObject(f"symbol {symbol.name} is in section {symbol.section}, which is not there", place=place)
        return symbol.section

    def _name(self, number: int) -> str:
        """What to call a symbol: a section's symbol has no name of its own."""
        if number >= len(self._elf.symbols):
            return f"symbol {number}"
        symbol = self._elf.symbols[number]
        index = symbol.section
        known = isinstance(index, int) and index < len(self._elf.sections)
        return symbol.name or (self._elf.sections[int(index)].name if known else f"symbol {number}")

    def _function(self, target: Place, caller: Place, slot: int) -> Place:
        if target not in self._names:
            raise BadObject(
                f"call to {self._at(*target)}, where no function starts",
                place=self._at(caller[0], caller[1] + SLOT * slot),
                remedy="give the function a symbol of type @function",
            )
        return target

    def _check_data(self, index: int, offset: int, place: str, symbol: Symbol) -> None:
        """Refuse a reference to a section that cannot become a map with global data."""
        section = self._elf.sections[index]
        if section.name in ("maps", ".maps"):
            raise Refused(
                f"map {symbol.name or section.name} is declared in section {section.name}; maps are not supported yet",
                place=place,
                remedy="keep the data in a global variable",
            )
        if section.name == ".jumptables":
            raise Refused("a jump table, which is not supported", place=place, remedy="compile with -fno-jump-tables")
        if not section.allocated or not section.name.startswith(_DATA):
            raise Refused(
                f"reference to section {section.name}, which is none of .rodata, .data and .bss",
                place=place,
                remedy="take SEC(...) off the variable",
            )
        if section.relocations:
            first = min(section.relocations.values(), key=lambda relocation: relocation.offset)
            what = self._name(first.symbol)
            raise Refused(
                f"section {section.name} holds the address of {what}, which data cannot have",
                place=self._at(index, first.offset),
                remedy="choose among functions or data with a switch",
            )
        if not 0 <= offset < len(section.data):
            raise BadObject(
                f"reference to {section.name}{offset:+#x}, outside of its {len(section.data)} bytes", place=place
            )

    # -- layout ---------------------------------------------------------------------------------------------------

    def _link(self, name: str, bodies: Sequence[_Body]) -> Program:
        """Put functions one after the other, number the data sections, and fill in distances and offsets."""
        starts: dict[Place, int] = {}
        size = 0
        for body in bodies:
            starts[body.place] = size
            size += len(body.insns)
        used = sorted({index for body in bodies for index, _ in body.data.values()})
        insns: list[Insn | None] = []
        lines: dict[int, Line] = {}
        for body in bodies:
            base = len(insns)
            for slot, insn in enumerate(body.insns):
                pc = base + slot
                section, start = body.place
                line = self._lines.get((section, start + SLOT * slot))
                if line is not None and insn is not None:
                    lines[pc] = line
                insns.append(_patched(insn, body, slot, pc, starts, used))
        try:
            return program(
                insns, name=name, order=self._elf.order, names={starts[body.place]: body.name for body in bodies},
                maps=_maps([self._elf.sections[index] for index in used]), lines=lines,
            )  # fmt: skip
        except BadProgram as error:
            body = [body for body in bodies if starts[body.place] <= (error.pc or 0)][-1]
            offset = body.place[1] + SLOT * ((error.pc or 0) - starts[body.place])
            message = f"function {body.name}: {error.message}"
            raise BadObject(message, place=self._at(body.place[0], offset), remedy=error.remedy) from None


def _patched(
    insn: Insn | None, body: _Body, slot: int, pc: int, starts: dict[Place, int], used: Sequence[int]
) -> Insn | None:
    """The instruction with what it refers to filled in."""
    if insn is None:
        return None
    if slot in body.functions:
        distance = starts[body.functions[slot]] - (pc + 1)
        if insn.row.kind is Kind.WIDE:
            insn = make(ROW["lddw_func"], insn.dst)
        return insn.with_distance(distance)
    if slot in body.data:
        section, offset = body.data[slot]
        return make(ROW["lddw_map_idx_value"], insn.dst, imm=offset << 32 | used.index(section))
    return insn


def _maps(sections: Sequence[Section]) -> list[Map]:
    """Data sections as the kernel sees them: arrays with one element. Of two with one name the later gets its index."""
    maps: list[Map] = []
    for section in sections:
        taken = any(section.name == other.name for other in maps)
        name = f"{section.name}#{section.index}" if taken else section.name
        maps.append(Map(name, value_size=len(section.data), initial=section.data, readonly=not section.writable))
    return maps
