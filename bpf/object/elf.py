"""From clang's BPF object files to programs.

    load(data) -> programs of one section      Object(data).program(entry) -> one program
    Object(link([("a.o", data), ("b.o", data)])) -> several files as one

A program is a global function and what it reaches. Its code starts with that function; the functions it calls, or
takes the address of, follow in file order, whatever section they are in. A map that it refers to is one of its maps,
the reference an `lddw map_idx`; so is a data section (.rodata*, .data*, .bss*), as a map of one element, the reference
an `lddw map_idx_value`. Maps are numbered in the order of their sections and declarations.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from bpf.errors import BadObject, BadProgram, CrossbpfError
from bpf.isa import ROW, SLOT, Insn, make
from bpf.isa import Kind as RowKind
from bpf.object.bodies import ARENA_SECTION, WHOLE, Bodies, Body, Key, is_data
from bpf.object.btf import LINKAGE, Btf, Kind
from bpf.object.core_patch import settle
from bpf.object.dwarf import Place
from bpf.object.externs import Externs, data_flags
from bpf.object.parts import Parts, open_parts
from bpf.object.reader import Symbol
from bpf.program import Line, Map, Program, as_given, program, unpoisoned


@dataclass(frozen=True, slots=True)
class Entry:
    """A global function, where a program starts. section: the name of the section it is in."""

    name: str
    section: str
    place: Place


def load(
    data: bytes,
    *,
    file: str = "",
    section: str | None = None,
    name: str | None = None,
    target: Btf | None = None,
    kconfig: Mapping[str, int | str] | None = None,
    symbols: Mapping[str, int] | None = None,
) -> list[Program]:
    """The programs of an object file of either byte order.

    section: the section to load from; without it, the first one named by SEC(...) that has a global function, else
    .text. name: a function; without it, every global function of the section, in file order: the first is the one
    to run unless the user says another. target, kconfig, symbols: see Object. file: for error messages only.
    Raises BadObject for a broken file or a choice that it does not offer, Refused for what is not supported.
    """
    try:
        opened = Object(data, target=target, kconfig=kconfig, symbols=symbols)
        return [unpoisoned(opened.program(entry)) for entry in opened.choose(section, name)]
    except CrossbpfError as error:
        raise error.at(file=file) from None


class Object:
    """An opened object file: `entries` says which programs it offers, `program` makes one.

    target   the types of the machine that the program shall run on, for CO-RE; None: the object's own
    kconfig  kernel configuration: LINUX_KERNEL_VERSION and CONFIG_* -> a number, "y", "n", "m" or text
    symbols  the kernel's symbols -> their addresses
    as_given for the verifier alone, which has a sentence for each: malformed instructions stay (Program.malformed),
             nothing is asked of jumps, and all kernel functions of Linux are there, also those that do nothing here
    """

    def __init__(
        self, data: bytes | Parts, *, target: Btf | None = None, kconfig: Mapping[str, int | str] | None = None,
        symbols: Mapping[str, int] | None = None, as_given: bool = False,
    ) -> None:  # fmt: skip
        self._parts = data if isinstance(data, Parts) else open_parts(data)
        self._externs = Externs(self._parts, kconfig or {}, symbols or {}, target)
        self._target = target
        self._bodies = Bodies(self._parts, target, self._externs, as_given=as_given)
        self._as_given = as_given
        elf = self._parts.elf
        self.order = elf.order
        self.types = _with_hidden(self._parts.types, self._bodies.names.values())
        self.license = self._parts.strings("license")
        self.version = self._parts.version
        self.entries = tuple(
            Entry(symbol.name, elf.sections[place[0]].name, place)
            for place, symbol in sorted(self._bodies.names.items())
            if symbol.binding != "LOCAL" and not (symbol.hidden and elf.sections[place[0]].name.startswith(".text"))
        )

    @property
    def maps(self) -> tuple[Map, ...]:
        """Every map that the object declares, without initial values. Raises BadObject."""
        return tuple(declaration.map for declaration in self._bodies.declared.values())

    def all_maps(self) -> tuple[Map, ...]:
        """Every map that a loader makes of the object, referred to or not. Raises BadObject, Refused.

        Prog arrays are empty: what is in them goes by the programs that are loaded (see `programs`).
        """
        data = [(section.index, WHOLE) for section in self._parts.elf.sections if is_data(section) and section.data]
        keys = sorted([*self._bodies.declared, *data])
        arrays = {key for key in self._bodies.declared if self._bodies.declared[key].map.kind == "prog_array"}
        values = {key: {} if key in arrays else self._bodies.initial(key) for key in self._bodies.declared}
        return self._maps(keys, values, (), {})

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
        return self.programs(entry)[0]

    def programs(self, *entries: Entry) -> tuple[Program, ...]:
        """Programs that share their maps, as a Unit wants them: those named, then those that prog arrays hold.

        `Map.programs` and `Map.maps` are numbers in this tuple and in the programs' `maps`. Raises BadObject, Refused.
        """
        starts = [entry.place for entry in entries]
        groups: list[list[Body]] = []
        used: set[Key] = set()
        values: dict[Key, dict[int, Place]] = {}
        for place in starts:  # grows while it is walked
            bodies = self._bodies.reach(place)
            first = bodies.pop(place)
            near = [at for at in sorted(bodies) if at[0] == place[0]]
            far = [at for at in sorted(bodies) if at[0] != place[0]]
            groups.append([first, *(bodies[at] for at in (*near, *far))])
            waiting = [key for body in groups[-1] for key, _ in body.data.values()]
            while waiting:
                key = waiting.pop()
                if key in used:
                    continue
                used.add(key)
                if key[1] == WHOLE:
                    continue
                values[key] = self._bodies.initial(key)
                if self._bodies.declared[key].map.kind == "prog_array":
                    starts += [target for target in values[key].values() if target not in starts]
                else:
                    waiting += values[key].values()
        keys = sorted(used)
        configured = {name: symbol for group in groups for body in group for name, symbol in body.configuration.items()}
        maps = self._maps(keys, values, starts, configured)
        return tuple(self._link(group, keys, maps) for group in groups)

    # -- maps -----------------------------------------------------------------------------------------------------

    def _maps(
        self, keys: Sequence[Key], values: Mapping[Key, Mapping[int, Place]], starts: Sequence[Place],
        configured: Mapping[str, Symbol],
    ) -> tuple[Map, ...]:  # fmt: skip
        """Maps in the order of their keys. Of two data sections with one name the later gets its index."""
        maps: list[Map] = []
        for key in keys:
            if key == self._bodies.kconfig:
                maps.append(self._externs.configured(configured, "section .kconfig"))
            elif key[1] == WHOLE:
                section = self._parts.elf.sections[key[0]]
                taken = any(section.name == other.name for other in maps)
                name = f"{section.name}#{section.index}" if taken else section.name
                readonly = not section.writable
                flags = data_flags(self.types, section.name, readonly=readonly)
                data = section.data
                maps.append(Map(name, value_size=len(data), initial=data, readonly=readonly, flags=flags))
            else:
                map_ = self._bodies.declared[key].map
                if map_.kind == "arena":
                    variables = self._parts.elf.named(ARENA_SECTION)
                    map_ = replace(map_, initial=b"" if variables is None else variables.data)
                maps.append(_initialised(map_, values[key], keys, starts))
        return tuple(maps)

    # -- layout ---------------------------------------------------------------------------------------------------

    def _link(self, bodies: Sequence[Body], keys: Sequence[Key], maps: Sequence[Map]) -> Program:
        """Put functions one after the other and fill in distances, numbers of maps and offsets."""
        starts: dict[Place, int] = {}
        size = 0
        for body in bodies:
            starts[body.place] = size
            size += len(body.insns)
        insns: list[Insn | None] = []
        lines: dict[int, Line] = {}
        poisoned: dict[int, str] = {}
        malformed: dict[int, bytes] = {}
        types: dict[int, int] = {}
        symbols: dict[int, int] = {}
        sections = self._parts.elf.sections
        for body in bodies:
            base = len(insns)
            index, start = body.place
            for slot, insn in enumerate(body.insns):
                pc = base + slot
                line = self._parts.lines.get((index, start + SLOT * slot))
                if line is not None and insn is not None:
                    lines[pc] = line
                insns.append(_patched(insn, body, slot, pc, starts, keys))
            symbols |= {base + slot: number for slot, number in body.symbols.items()}
            malformed |= {base + slot: data for slot, data in body.malformed.items()}
            poisoned |= {base + slot: reason for slot, reason in body.poisoned.items()}
            number = self._parts.ext.functions.get((sections[index].name, start))
            if number is not None:
                types[base] = number
        if 0 not in types:  # libbpf then says nothing of the others either
            types.clear()
        names = {starts[body.place]: body.name for body in bodies}
        of: dict[str, Any] = {
            "name": bodies[0].name, "order": self.order, "names": names, "maps": maps, "lines": lines,
        }  # fmt: skip
        try:
            made = as_given(insns, malformed, **of) if self._as_given else program(insns, **of)
        except BadProgram as error:
            body = [body for body in bodies if starts[body.place] <= (error.pc or 0)][-1]
            offset = body.place[1] + SLOT * ((error.pc or 0) - starts[body.place])
            message = f"function {body.name}: {error.message}"
            raise BadObject(message, place=self._parts.at(body.place[0], offset), remedy=error.remedy) from None
        return replace(
            made if self._as_given else settle(made, poisoned), btf=self.types, types=types,
            section=sections[bodies[0].place[0]].name, license=self.license, version=self.version,
            kernel=self._target, symbols=symbols,
        )  # fmt: skip


def _with_hidden(types: Btf | None, symbols: Iterable[Symbol]) -> Btf | None:
    """The types with hidden functions as static ones, as libbpf has it: the verifier knows what their callers pass."""
    hidden = {symbol.name for symbol in symbols if symbol.hidden and symbol.binding != "LOCAL"}
    if types is None or not hidden:
        return types
    numbers = (number for name in hidden for number in types.named(name) if types[number].kind is Kind.FUNC)
    changed = {number: replace(types[number], linkage=LINKAGE.index("static")) for number in numbers}
    return replace(types, types=tuple(changed.get(number, types[number]) for number in range(len(types))))


def _patched(
    insn: Insn | None, body: Body, slot: int, pc: int, starts: Mapping[Place, int], keys: Sequence[Key]
) -> Insn | None:
    """The instruction with what it refers to filled in."""
    if insn is None:
        return None
    if slot in body.functions:
        distance = starts[body.functions[slot]] - (pc + 1)
        if insn.row.kind is RowKind.WIDE:
            insn = make(ROW["lddw_func"], insn.dst)
        return insn.with_distance(distance)
    if slot in body.data:
        key, offset = body.data[slot]
        if offset is None:
            return make(ROW["lddw_map_idx"], insn.dst, imm=keys.index(key))
        return make(ROW["lddw_map_idx_value"], insn.dst, imm=(offset & 0xFFFFFFFF) << 32 | keys.index(key))
    return insn


def _initialised(map_: Map, values: Mapping[int, Place], keys: Sequence[Key], starts: Sequence[Place]) -> Map:
    """A declared map with its initial values as numbers."""
    if not values:
        return map_
    where: Sequence[Place] = starts if map_.kind == "prog_array" else keys
    cells = tuple(where.index(values[index]) if index in values else -1 for index in range(max(values) + 1))
    return replace(map_, programs=cells) if map_.kind == "prog_array" else replace(map_, maps=cells)
