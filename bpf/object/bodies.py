"""Functions of an object: their instructions, and what their relocations mean."""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass, field

from bpf.errors import BadObject, BadProgram, Refused, UnknownOpcode
from bpf.isa import ROW, SLOT, Insn, decode, decode_all, make, opcodes
from bpf.isa.effects import signed
from bpf.object.btf import Btf, essential
from bpf.object.btf import Kind as BtfKind
from bpf.object.core import Resolver
from bpf.object.core_patch import patch, poison
from bpf.object.declarations import BTF_SECTION, MAX_SLOTS, OLD_SECTION, Declared, declared
from bpf.object.dwarf import Place
from bpf.object.externs import Externs
from bpf.object.parts import Parts
from bpf.object.reader import Relocation, Section, Symbol
from bpf.object.relocation import R_BPF_64_32, R_BPF_64_64, R_BPF_64_ABS64, addend, kind_name
from bpf.spec.kfuncs import BY_NAME, NUMBERS

WHOLE = -1  # in a Key: the map that is a whole section
Key = tuple[int, int]  # where a map is declared, or (section, WHOLE)

ARENA_SECTION = ".addr_space.1"  # clang's name for it
_DATA = (".rodata", ".data", ".bss")
_UNSUPPORTED_OPCODES = {
    opcodes.JMP | opcodes.X | opcodes.JMP_OPS["ja"]: ("a jump table (gotox)", "compile with -fno-jump-tables"),
}


def is_data(section: Section) -> bool:
    """Whether a section becomes a map with global data."""
    return section.allocated and not section.code and section.name.startswith(_DATA)


@dataclass(slots=True)
class Body:
    """A function of a program being put together.

    functions  slot of a call or lddw -> the function meant
    data       slot of an lddw -> the map, and the byte of its value that is meant, or None for the map itself
    poisoned   slot of an instruction that no run may reach -> why
    symbols    slot of an lddw of a kernel variable's address -> its type
    malformed  slot that holds no instruction -> its bytes
    """

    place: Place
    name: str
    insns: tuple[Insn | None, ...]
    functions: dict[int, Place] = field(default_factory=dict)
    data: dict[int, tuple[Key, int | None]] = field(default_factory=dict)
    poisoned: dict[int, str] = field(default_factory=dict)
    configuration: dict[str, Symbol] = field(default_factory=dict)
    symbols: dict[int, int] = field(default_factory=dict)
    malformed: dict[int, bytes] = field(default_factory=dict)


class Bodies:
    """Reads functions of an object by place. as_given: see Object."""

    def __init__(self, parts: Parts, target: Btf | None, externs: Externs, *, as_given: bool = False) -> None:
        self.parts = parts
        self._elf = parts.elf
        self.names = self._functions()
        self._declared: dict[Place, Declared] | None = None
        self._externs = externs
        self._as_given = as_given
        self._functions_there = NUMBERS if as_given else {name: one.number for name, one in BY_NAME.items()}
        self._resolver = Resolver(parts.types, target) if parts.types is not None else None
        self.kconfig: Key = (len(parts.elf.sections), WHOLE)

    @property
    def declared(self) -> dict[Place, Declared]:
        """The maps that the object declares; read when they are asked for, so that a program without needs none."""
        if self._declared is None:
            self._declared = declared(self.parts)
        return self._declared

    def _functions(self) -> dict[Place, Symbol]:
        """Where functions start. Of several names for one place the global one counts.

        A global name without a type is one of assembly's, unless it is within a function: then it is a label.
        """
        found: dict[Place, Symbol] = {}
        covered = sorted(
            (symbol.section, symbol.value, symbol.value + symbol.size)
            for symbol in self._elf.symbols
            if symbol.kind == "FUNC" and isinstance(symbol.section, int)
        )
        for symbol in self._elf.symbols:
            index = symbol.section
            if not isinstance(index, int) or not 0 <= index < len(self._elf.sections):
                continue
            section = self._elf.sections[index]
            if not section.code or symbol.value >= len(section.data):
                continue
            before = bisect_left(covered, (index, symbol.value, 0)) - 1
            label = before >= 0 and covered[before][0] == index and symbol.value < covered[before][2]
            if symbol.kind == "FUNC" or (symbol.kind == "NOTYPE" and symbol.binding == "GLOBAL" and not label):
                if symbol.value % SLOT:
                    raise BadObject(
                        f"function {symbol.name} is not at an instruction", place=self.parts.at(index, symbol.value)
                    )
                place = (index, symbol.value)
                if place not in found or found[place].binding == "LOCAL":
                    found[place] = symbol
        return found

    def reach(self, entry: Place) -> dict[Place, Body]:
        """The function at `entry` and all that it calls or takes the address of."""
        bodies: dict[Place, Body] = {}
        waiting = [entry]
        while waiting:
            place = waiting.pop()
            if place not in bodies:
                bodies[place] = body = self._body(place)
                waiting += body.functions.values()
        return bodies

    def _body(self, place: Place) -> Body:
        """Decode the function at `place`, up to the next one, and say what it refers to."""
        index, start = place
        section, name = self._elf.sections[index], self.names[place].name
        ends = [offset for owner, offset in self.names if owner == index and offset > start]
        end = min(ends, default=len(section.data))
        insns, malformed = self._decode(section, start, end, name)
        body = Body(place, name, insns, malformed=malformed)
        self._core(body, section, end)
        for slot, insn in enumerate(body.insns):
            offset = start + SLOT * slot
            relocation = section.relocations.get(offset)
            if slot in body.poisoned:
                continue
            if relocation is not None:
                self._resolve(body, slot, insn, relocation)
            elif insn is not None and insn.row.op in ("call_local", "func"):
                body.functions[slot] = self._function((index, offset + SLOT * (1 + insn.distance)), place, slot)
        return body

    def _decode(
        self, section: Section, start: int, end: int, name: str
    ) -> tuple[tuple[Insn | None, ...], dict[int, bytes]]:
        code = section.data[start:end]
        try:
            return decode_all(code, self._elf.order) if self._as_given else (decode(code, self._elf.order), {})
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

    # -- CO-RE ----------------------------------------------------------------------------------------------------

    def _core(self, body: Body, section: Section, end: int) -> None:
        """Put the target's answers into the instructions."""
        index, start = body.place
        relos = [relo for relo in self.parts.ext.core.get(section.name, ()) if start <= relo.offset < end]
        if not relos or self._resolver is None:
            return
        insns = list(body.insns)
        for relo in relos:
            place = self.parts.at(index, relo.offset)
            if relo.offset % SLOT:
                raise BadObject("CO-RE relocation between two instructions", place=place)
            slot = (relo.offset - start) // SLOT
            answer = self._resolver.answer(relo, place)
            body.poisoned |= dict.fromkeys(patch(insns, slot, relo, answer, place), answer.reason)
        body.insns = tuple(insns)

    # -- relocations ----------------------------------------------------------------------------------------------

    def _resolve(self, body: Body, slot: int, insn: Insn | None, relocation: Relocation) -> None:
        """Note in `body` what the instruction at `slot` refers to."""
        place = self.parts.at(body.place[0], relocation.offset)
        symbol = self._symbol(relocation, place)
        is_call = relocation.kind == R_BPF_64_32 and insn is not None and insn.row.op == "call_local"
        is_wide = relocation.kind == R_BPF_64_64 and insn is not None and insn.row.name == "lddw_imm"
        if insn is None or not (is_call or is_wide):
            what = "no instruction" if insn is None else insn.row.name
            raise BadObject(f"relocation {kind_name(relocation.kind)} on {what}", place=place)
        if symbol.section == "UNDEF":
            self._extern(body, slot, insn, symbol, place)
            return
        index = self._defined(symbol, place)
        offset = symbol.value + SLOT * (1 + insn.imm) if is_call else symbol.value + signed(insn.imm, 32)
        if self._elf.sections[index].code:
            body.functions[slot] = self._function((index, offset), body.place, slot)
        elif is_call:
            raise BadObject(f"call into section {self._elf.sections[index].name}, which is not code", place=place)
        elif self._elf.sections[index].name in (BTF_SECTION, OLD_SECTION):
            if (index, offset) not in self.declared:
                raise BadObject(f"no map starts at {self.parts.at(index, max(offset, 0))}", place=place)
            body.data[slot] = (index, offset), None
        elif self._elf.sections[index].name == ARENA_SECTION:
            body.data[slot] = self._in_arena(index, offset, place), offset
        else:
            self._check_data(index, offset, place)
            body.data[slot] = (index, WHOLE), offset

    def _symbol(self, relocation: Relocation, place: str) -> Symbol:
        if relocation.symbol >= len(self._elf.symbols):
            raise BadObject(f"relocation names symbol {relocation.symbol}, which is not there", place=place)
        return self._elf.symbols[relocation.symbol]

    def _extern(self, body: Body, slot: int, insn: Insn, symbol: Symbol, place: str) -> None:
        """What another file, or the kernel, should have defined."""
        is_call, name = insn.row.op == "call_local", symbol.name
        kernel = name in self._externs.ksyms
        function = self._functions_there.get(essential(name)) if kernel and self._is_function(name) else None
        if not is_call and name in self._externs.offsets:
            body.data[slot] = self.kconfig, self._externs.offsets[name] + signed(insn.imm, 32)
            body.configuration[name] = symbol
        elif function is not None:
            insns = list(body.insns)
            row = ROW["call_kfunc" if is_call else "lddw_btf_id"]
            insns[slot] = make(row, 0 if is_call else insn.dst, imm=function)
            body.insns = tuple(insns)
        elif kernel and not is_call and not self._is_function(name) and name in self._externs.symbols:
            insns = list(body.insns)
            insns[slot] = insn._replace(imm=self._externs.symbols[name] + signed(insn.imm, 32) & (1 << 64) - 1)
            body.insns = tuple(insns)
            if number := self._externs.kernel_type(name):
                body.symbols[slot] = number
        elif kernel and symbol.binding == "WEAK":
            insns = list(body.insns)
            if is_call:
                reason = f"kernel function {name} is called, which is not here"
                body.poisoned |= dict.fromkeys(poison(insns, slot), reason)
            else:
                insns[slot] = insn._replace(imm=0)
            body.insns = tuple(insns)
        elif kernel:
            if is_call or self._is_function(name):
                what, remedy = f"kernel function {name} is not implemented", "docs/helpers.md lists those that are"
            else:
                what, remedy = f"kernel symbol {name} has no address", "give it one, with --ksyms FILE"
            raise Refused(what, place=place, remedy=remedy)
        else:
            raise Refused(
                f"{'function' if is_call else 'variable'} {name} is not defined",
                place=place, remedy="define it in this file, or link the one that does (--link)",
            )  # fmt: skip

    def _is_function(self, name: str) -> bool:
        types = self.parts.types
        return types is not None and types[self._externs.ksyms[name]].kind is BtfKind.FUNC

    def _defined(self, symbol: Symbol, place: str) -> int:
        """The index of the section that the symbol is in."""
        if symbol.section == "COMMON":
            raise Refused(f"variable {symbol.name} is in no section", place=place, remedy="compile with -fno-common")
        if not isinstance(symbol.section, int) or not 0 <= symbol.section < len(self._elf.sections):
            raise BadObject(f"symbol {symbol.name} is in section {symbol.section}, which is not there", place=place)
        return symbol.section

    def _function(self, target: Place, caller: Place, slot: int) -> Place:
        if target not in self.names:
            raise BadObject(
                f"call to {self.parts.at(*target)}, where no function starts",
                place=self.parts.at(caller[0], caller[1] + SLOT * slot),
                remedy="give the function a symbol of type @function",
            )
        return target

    def _in_arena(self, index: int, offset: int, place: str) -> Key:
        """The object's arena, at whose start the variables of the arena's address space are."""
        arenas = [key for key, one in self.declared.items() if one.map.kind == "arena"]
        section = self._elf.sections[index]
        if len(arenas) != 1:
            raise Refused(
                f"variables of an arena, of which {len(arenas)} are declared", place=place, remedy="declare one arena"
            )
        if not 0 <= offset < len(section.data):
            raise self._outside(section, offset, place)
        return arenas[0]

    def _outside(self, section: Section, offset: int, place: str) -> BadObject:
        return BadObject(
            f"reference to {section.name}{offset:+#x}, outside of its {len(section.data)} bytes", place=place
        )

    def _check_data(self, index: int, offset: int, place: str) -> None:
        """Refuse a reference to a section that cannot become a map with global data.

        Addresses in it stay the bytes of the file, as with libbpf: no program may follow one that it reads there.
        """
        section = self._elf.sections[index]
        if section.name == ".jumptables":
            raise Refused("a jump table, which is not supported", place=place, remedy="compile with -fno-jump-tables")
        if not is_data(section):
            raise Refused(
                f"reference to section {section.name}, which is none of .rodata, .data and .bss",
                place=place,
                remedy="take SEC(...) off the variable",
            )
        if not 0 <= offset < len(section.data):
            raise self._outside(section, offset, place)

    # -- initial values of maps -----------------------------------------------------------------------------------

    def initial(self, key: Key) -> dict[int, Place]:
        """Index -> the map or function that a declaration puts there. Raises BadObject and Refused."""
        declaration = self.declared[key]
        section = self._elf.sections[key[0]]
        found = dict(declaration.members)
        for relocation in section.relocations.values():
            inside = relocation.offset - key[1]
            if not 0 <= inside < max(declaration.size, self._extent(key)):
                continue
            place = self.parts.at(key[0], relocation.offset)
            symbol = self._symbol(relocation, place)
            index, odd = divmod(inside - declaration.values, 8)
            if declaration.values < 0 or index < 0 or odd or relocation.kind != R_BPF_64_ABS64:
                raise BadObject(f"map {declaration.map.name} holds an address where no value is", place=place)
            if index >= min(declaration.map.max_entries, MAX_SLOTS):
                raise BadObject(f"map {declaration.map.name} has a value at index {index}, beyond its end", place=place)
            if symbol.section == "UNDEF":
                raise Refused(f"{symbol.name}, a value of map {declaration.map.name}, is not defined", place=place)
            target = self._defined(symbol, place), symbol.value + addend(self._elf, section, relocation)
            known = self.names if declaration.map.kind == "prog_array" else self.declared
            if target not in known:
                raise BadObject(f"{symbol.name} is no value for map {declaration.map.name}", place=place)
            found[index] = target
        return found

    def _extent(self, key: Key) -> int:
        """Bytes from a declaration to the next: with initial values it is longer than its type."""
        later = [at for index, at in self.declared if index == key[0] and at > key[1]]
        return min(later, default=len(self._elf.sections[key[0]].data)) - key[1]
