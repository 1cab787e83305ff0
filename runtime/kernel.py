"""Programs, maps and pins, and what bpf() does with them. Where they are kept is not said here (runtime/store.py)."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TypeVar

from bpf.errors import BadInput, CallFailed, CrossbpfError
from bpf.map_rules import OF_MAPS, check_map, fits, kernel_name, value_bytes
from bpf.object.btf import Btf
from bpf.object.declarations import value_type
from bpf.order import Order
from bpf.program import Map, Program, unpoisoned
from bpf.spec.hooks import HOOKS, MAP
from bpf.spec.maps import RULES
from bpf.spec.type_rules import GPL
from runtime import features, types
from runtime.permission import ROOT, Caller, may_create, may_load
from runtime.tag import tag
from runtime.verifying import accept
from vm.maps import MapState, new_map
from vm.maps.outside import fields

T = TypeVar("T")

FS = "/sys/fs/bpf/"
_BY_MAP = frozenset({"map_fd", "map_fd_value", "map_idx", "map_idx_value"})


@dataclass(eq=False)
class MapObject:
    """A map. `declared` has no members: those of a prog array are `cells`, of a map-in-map its elements.

    order   byte order of the programs that see it
    cells   index -> id of a program
    frozen  bpf() may not change it
    typed   id of the program that it was loaded with, whose types say what keys and values are; 0 for none
    open    makes its state when that is first asked for
    unit    the name of the object that it came in, "" for none
    """

    id: int
    declared: Map
    order: Order
    frozen: bool = False
    typed: int = 0
    cells: dict[int, int] = field(default_factory=dict)
    open: Callable[[MapObject], MapState | None] = field(
        default=lambda made: new_map(made.declared, made.order) if made.declared.kind in RULES else None, repr=False
    )
    unit: str = ""

    @cached_property
    def state(self) -> MapState | None:
        """Its contents; None for a prog array, which has `cells`.

        An element of a map-in-map is the id of a map in decimal.
        """
        return self.open(self)

    @property
    def opened(self) -> bool:
        """Whether anybody has asked for its contents."""
        return "state" in self.__dict__

    @property
    def name(self) -> str:
        """Its name in the program."""
        return self.declared.name

    @property
    def kernel_name(self) -> str:
        """Its name as bpf() shows it, of at most 15 characters."""
        return kernel_name(self.declared, self.unit)

    @property
    def memlock(self) -> int:
        """Bytes that it takes, in whole pages."""
        return max(value_bytes(self.declared) + 4095 & -4096, 4096)

    def passed(self) -> list[int]:
        """Ids of the programs that its elements name: in a prog array, and in the values of a devmap or cpumap."""
        found = list(self.cells.values())
        if self.declared.kind in ("devmap", "devmap_hash", "cpumap") and self.state is not None:
            values = map(self.state.value, self.state.keys())
            found += [fields(value, self.order)[1] for value in values if isinstance(value, bytes)]
        return [number for number in found if number]

    def members(self) -> list[int]:
        """Ids of the maps in a map-in-map."""
        if self.declared.kind not in OF_MAPS or self.state is None:
            return []
        values = map(self.state.value, self.state.keys())
        return [int(value) for value in values if isinstance(value, bytes)]


@dataclass(eq=False)
class ProgramObject:
    """A loaded program.

    maps      ids in the order of its instructions' numbers; map_ids: those that it refers to
    loaded_at seconds since 1970
    portable  it is of no byte order: its code came as text or wire form
    jited     machine -> bytes of its machine code
    """

    id: int
    name: str
    type: str
    tag: str
    order: Order
    gpl: bool
    loaded_at: int
    uid: int
    maps: tuple[int, ...]
    map_ids: tuple[int, ...]
    bytes_xlated: int
    jited: dict[str, int]
    portable: bool
    open: Callable[[], Program] = field(repr=False)

    @property
    def kernel_name(self) -> str:
        """Its name as bpftool shows it, which has it from BTF in full."""
        return self.name

    @property
    def code_size(self) -> int:
        """Bytes of its machine code, 0 where there is none."""
        return next(iter(self.jited.values()), 0)

    @cached_property
    def program(self) -> Program:
        """Its instructions."""
        return self.open()


@dataclass(frozen=True, slots=True)
class Pin:
    """What a path names. kind: "prog" or "map"."""

    kind: str
    id: int


@dataclass(frozen=True, slots=True)
class Attachment:
    """A program at a hook (bpf/spec/hooks.py).

    place     the name of a device, the path of a cgroup, the id of a map, what is traced; "" for a namespace
    program   its id
    flags     of a cgroup "multi", "override" or ""
    priority  of a netfilter hook
    """

    hook: str
    place: str
    program: int
    flags: str = ""
    priority: int = 0


One = TypeVar("One", ProgramObject, MapObject)


@dataclass
class Kernel:
    """Everything that is loaded. Ids are never given twice. clock: seconds since 1970.

    attached  programs at hooks, those of one hook in the order in which it has them
    """

    programs: dict[int, ProgramObject] = field(default_factory=dict)
    maps: dict[int, MapObject] = field(default_factory=dict)
    pins: dict[str, Pin] = field(default_factory=dict)
    attached: list[Attachment] = field(default_factory=list)
    next_program: int = 1
    next_map: int = 1
    clock: Callable[[], float] = time.time

    # Maps --------------------------------------------------------------------------------------------

    def create_map(
        self, map_: Map, order: Order = "little", *, caller: Caller = ROOT, frozen: bool = False, unit: str = ""
    ) -> MapObject:
        """A new map, empty but for initial data. unit: the object's name. Raises CallFailed EPERM and Refused."""
        may_create(caller, map_)
        bare = replace(map_, programs=(), maps=())
        check_map(bare)
        made = MapObject(self.next_map, bare, order, frozen, unit=unit)
        self.next_map += 1
        self.maps[made.id] = made
        return made

    def join(self, outer: MapObject, key: bytes, inner: MapObject, flags: int = 0) -> None:
        """Put a map into a map-in-map. Raises CallFailed EINVAL, OSError."""
        if outer.state is None or not fits(outer.declared, inner.declared, (inner.declared,)):
            raise CallFailed("EINVAL", f"map {inner.name} is not like the inner maps of {outer.name}")
        outer.state.update(key, str(inner.id).encode(), flags)

    def set_cell(self, array: MapObject, index: int, program: ProgramObject | None) -> None:
        """Put a program into a prog array, None takes out what is there. Raises CallFailed."""
        if not 0 <= index < array.declared.max_entries:
            raise CallFailed("E2BIG", f"index {index} of map {array.name}")
        if program is None:
            if array.cells.pop(index, None) is None:
                raise CallFailed("ENOENT", f"index {index} of map {array.name}")
            return
        if program.order != array.order and not program.portable:
            raise CallFailed("EINVAL", f"a {program.order}-endian program in the {array.order}-endian map {array.name}")
        owner = self.owner(array) or program
        if owner.type != program.type:
            raise CallFailed("EINVAL", f"a program of type {program.type} in map {array.name} of type {owner.type}")
        array.cells[index] = program.id

    def owner(self, array: MapObject) -> ProgramObject | None:
        """The program whose type those in a prog array must have: the first that uses or is in it, None for none."""
        users = (one.id for one in self.programs.values() if array.id in one.map_ids)
        first = min((*users, *array.cells.values()), default=0)
        return self.programs.get(first)

    def types_of(self, made: MapObject) -> tuple[Btf, int, int] | None:
        """(types, number of the key's, of the value's) where a loaded program says what a map holds."""
        program = self.programs.get(made.typed)
        if program is None or program.program.btf is None:
            return None
        types, declared = program.program.btf, made.declared
        value = value_type(declared, types)
        return (types, declared.key_type, value) if value else None

    # Programs ----------------------------------------------------------------------------------------

    def load(
        self, programs: Sequence[Program], *, kind: str = "", caller: Caller = ROOT, kernel: str | None = None,
        reuse: Mapping[str, MapObject] | None = None, portable: bool = False, verify: bool = True, unit: str = "",
    ) -> list[ProgramObject]:  # fmt: skip
        """Load programs that share their maps (Object.programs), and create the maps.

        kind: their type, else what the section's name says. kernel: a release; what came later is refused. reuse: name
        -> a map to take instead of a new one. verify: whether the verifier must accept them. unit: the object's name.
        CallFailed (Rejected), Refused; then nothing has changed.
        """
        kinds = [kind or types.of_section(program.section) for program in programs]
        for program, its in zip(programs, kinds, strict=True):
            may_load(caller, program, its)
            features.refuse_later(kernel, program, its)
        programs = [
            accept(program, its, caller) if verify else unpoisoned(program)
            for program, its in zip(programs, kinds, strict=True)
        ]
        before = dict(self.maps), self.next_map, self.next_program
        try:
            maps = self.create_maps(programs[0].maps, programs[0].order, caller=caller, reuse=reuse, unit=unit)
            for map_ in maps:
                map_.typed = map_.typed or (self.next_program if map_.id >= before[1] else 0)
            made = [self._load(*pair, maps, portable=portable) for pair in zip(programs, kinds, strict=True)]
        except (CrossbpfError, OSError):
            self.maps, self.next_map, self.next_program = before
            raise
        for declared, map_ in zip(programs[0].maps, maps, strict=True):
            for index, number in enumerate(declared.programs):
                if number != -1 and declared.name not in (reuse or {}):
                    map_.cells[index] = made[number].id
        self.programs |= {one.id: one for one in made}
        return made

    def create_maps(
        self, maps: Sequence[Map], byte_order: Order | None, *, caller: Caller = ROOT,
        reuse: Mapping[str, MapObject] | None = None, unit: str = "",
    ) -> list[MapObject]:  # fmt: skip
        """The maps of an object, created where neither `reuse` nor a pin has them. Raises CallFailed, Refused."""
        reuse = reuse or {}
        found: list[MapObject] = []
        order: Order = "big" if byte_order == "big" else "little"
        for declared in maps:
            there = reuse.get(declared.name)
            if there is None and declared.pinned and (pin := self.pins.get(declared.name)) is not None:
                there = self.maps[pin.id] if pin.kind == "map" else None
            if there is not None and not _alike(there, declared, order):
                raise CallFailed("EINVAL", f"map {declared.name} is not as map {there.name} with id {there.id}")
            if there is None:
                like = next((maps[number] for number in declared.maps if number != -1), None)
                there = self.create_map(
                    replace(declared, inner=declared.inner or like), order, caller=caller,
                    frozen=declared.is_data and declared.readonly, unit=unit,
                )  # fmt: skip
            found.append(there)
        for declared, map_ in zip(maps, found, strict=True):
            for key, number in enumerate(declared.maps if declared.name not in reuse else ()):
                if number != -1:
                    self.join(map_, key.to_bytes(declared.key_size, order), found[number])
        return found

    def _load(self, program: Program, kind: str, maps: Sequence[MapObject], *, portable: bool) -> ProgramObject:
        used = sorted({insn.imm & 0xFFFFFFFF for insn in program.insns if insn and insn.row.op in _BY_MAP})
        if any(number >= len(maps) for number in used):
            raise CallFailed("EINVAL", f"program {program.name} refers to map {used[-1]} of {len(maps)}")
        bare = replace(program, maps=())
        made = ProgramObject(
            self.next_program, program.name, kind, tag(program), "big" if program.order == "big" else "little",
            program.license in GPL, int(self.clock()), os.getuid() if hasattr(os, "getuid") else 0,
            tuple(map_.id for map_ in maps), tuple(maps[number].id for number in used), 8 * len(program), {}, portable,
            lambda: bare,
        )  # fmt: skip
        self.next_program += 1
        return made

    # Pins --------------------------------------------------------------------------------------------

    def pin(self, path: str, made: ProgramObject | MapObject) -> None:
        """Name a program or a map. Raises CallFailed EEXIST."""
        name = pin_path(path)
        if name in self.pins or any(
            other.startswith(f"{name}/") or name.startswith(f"{other}/") for other in self.pins
        ):
            raise CallFailed("EEXIST", f"cannot pin at {path}")
        self.pins[name] = Pin("prog" if isinstance(made, ProgramObject) else "map", made.id)

    def unpin(self, path: str) -> None:
        """Take a name away; what has none any more, and is not needed by something that has, is gone."""
        if self.pins.pop(pin_path(path), None) is None:
            raise CallFailed("ENOENT", f"nothing is pinned at {path}")
        self.collect()

    def collect(self) -> None:
        """Forget what neither a pin nor a hook leads to."""
        programs: set[int] = set()
        maps: set[int] = set()
        waiting = [*self.pins.values(), *(Pin("prog", one.program) for one in self.attached)]
        while waiting:
            pin = waiting.pop()
            found = programs if pin.kind == "prog" else maps
            if pin.id in found:
                continue
            found.add(pin.id)
            if pin.kind == "prog":
                waiting += [Pin("map", number) for number in self.programs[pin.id].map_ids]
            else:
                waiting += [Pin("prog", number) for number in self.maps[pin.id].passed()]
                waiting += [Pin("map", number) for number in self.maps[pin.id].members()]
        self.programs = {number: one for number, one in self.programs.items() if number in programs}
        self.maps = {number: one for number, one in self.maps.items() if number in maps}
        self.attached = [one for one in self.attached if not (HOOKS[one.hook].at == MAP and int(one.place) not in maps)]

    def pinned(self, made: ProgramObject | MapObject) -> list[str]:
        """The paths of a program or a map."""
        kind = "prog" if isinstance(made, ProgramObject) else "map"
        return sorted(path for path, pin in self.pins.items() if pin == Pin(kind, made.id))

    # Finding -----------------------------------------------------------------------------------------

    def find_programs(self, how: str, what: str) -> list[ProgramObject]:
        """By id, tag, name or pinned. Raises CallFailed ENOENT, BadInput."""
        if how == "tag":
            return _some([one for one in self.programs.values() if one.tag == what.lower()], f"program with tag {what}")
        return self._find("prog", self.programs, how, what)

    def find_maps(self, how: str, what: str) -> list[MapObject]:
        """By id, name or pinned. Raises CallFailed ENOENT, BadInput."""
        return self._find("map", self.maps, how, what)

    def _find(self, kind: str, all_: Mapping[int, One], how: str, what: str) -> list[One]:
        word = "program" if kind == "prog" else "map"
        found: list[One]
        if how == "id":
            if not what.isdecimal():
                raise BadInput(f"{what!r} is no id")
            found = [one for one in all_.values() if one.id == int(what)]
        elif how == "name":
            found = [one for one in all_.values() if what in (one.name, one.kernel_name)]
        elif how == "pinned":
            pin = self.pins.get(pin_path(what))
            if pin is not None and pin.kind != kind:
                raise CallFailed("EINVAL", f"what is pinned at {what} is no {word}")
            found = [] if pin is None else [all_[pin.id]]
        else:
            raise BadInput(f"a {word} is not named by {how!r}", remedy="write id, name or pinned, and which")
        return _some(found, f"{word} with {how} {what}")


def _some(found: list[T], what: str) -> list[T]:
    if not found:
        raise CallFailed("ENOENT", f"no {what}")
    return found


def _alike(there: MapObject, declared: Map, order: Order) -> bool:
    first, second = there.declared, declared
    return there.order == order and all(
        getattr(first, name) == getattr(second, name)
        for name in ("kind", "key_size", "value_size", "max_entries", "flags", "extra")
    )


def pin_path(path: str) -> str:
    """A path below the pin directory, in one spelling; /sys/fs/bpf stands for it. Raises BadInput."""
    parts = [part for part in path.replace("\\", "/").removeprefix(FS).split("/") if part not in ("", ".")]
    if not parts or ".." in parts or not path.isprintable():
        raise BadInput(f"nothing can be pinned at {path!r}", remedy="name a path below the pin directory")
    return "/".join(parts)
