"""Maps as objects declare them, and what is wrong with declarations."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from elfs import ORDERS, Surgeon, built, compiled, outcome

from bpf.errors import BadObject, CrossbpfError, MapRefused, Refused
from bpf.isa import ROW, make
from bpf.map_rules import check_map
from bpf.object import Object, load
from bpf.order import Order
from bpf.program import Map, Program
from bpf.spec.layout import CPUS
from bpf.spec.maps import MAP_TYPES
from tests.handmade import DATA, OBJECT, Name, Part, elf, insns, pointing, words


def plain(map_: Map | None) -> Map | None:
    """A map without the numbers of its types, which the compiler chooses."""
    return None if map_ is None else replace(map_, key_type=0, value_type=0, inner=plain(map_.inner))


def entry(name: str, order: str, function: str) -> tuple[Program, ...]:
    opened = Object(built(name, order))
    return opened.programs(opened.choose(name=function)[0])


def references(program: Program) -> list[str]:
    """The maps that lddw names, in order of the instructions."""
    wide = (insn for insn in program.insns if insn is not None and insn.row.op in ("map_idx", "map_idx_value"))
    return [program.maps[insn.imm & 0xFFFFFFFF].name for insn in wide]


@pytest.mark.parametrize("order", ORDERS)
class TestDeclared:
    def test_every_map_of_a_file(self, order: str) -> None:
        inner = Map("outer.inner", "array", 4, 8, 1)
        maps = Object(built("maps", order)).maps
        assert {plain(map_) for map_ in maps} == {
            Map("by_key", "hash", 8, 24, 100, flags=1, pinned=True),
            Map("by_size", "array", 4, 8, 4, flags=0x80, readonly=True),
            Map("first_inner", "array", 4, 8, 1),
            Map("second_inner", "array", 4, 8, 1),
            Map("outer", "array_of_maps", 4, 4, 3, inner=inner),
            Map("jumps", "prog_array", 4, 4, 5),
            Map("ring", "ringbuf", 0, 0, 4096),
        }
        assert len(maps) == 7

    def test_references_are_numbers_in_order_of_declaration(self, order: str) -> None:
        program, *_ = entry("maps", order, "entry")
        places = [map_.name for map_ in Object(built("maps", order)).maps]
        assert [map_.name for map_ in program.maps] == [
            name for name in places if name in {m.name for m in program.maps}
        ]
        assert set(references(program)) == {"outer", "by_size", "ring", "jumps"}
        (lonely,) = entry("maps", order, "lonely")
        assert references(lonely) == ["by_size"]
        assert [map_.name for map_ in lonely.maps] == ["by_size"]

    def test_initial_values(self, order: str) -> None:
        programs = entry("maps", order, "entry")
        assert [program.name for program in programs] == ["entry", "called_last", "called_first"]
        assert all(program.maps == programs[0].maps for program in programs)
        maps = {map_.name: map_ for map_ in programs[0].maps}
        names = [map_.name for map_ in programs[0].maps]
        assert maps["jumps"].programs == (-1, 1, -1, 2)
        assert [names[n] if n >= 0 else "" for n in maps["outer"].maps] == ["second_inner", "", "first_inner"]

    def test_a_prog_array_may_hold_the_program_itself(self, order: str) -> None:
        programs = entry("maps", order, "called_first")
        assert [program.name for program in programs] == ["called_first", "called_last"]
        (jumps,) = [map_ for map_ in programs[0].maps if map_.name == "jumps"]
        assert jumps.programs == (-1, 1, -1, 0)

    def test_the_old_section(self, order: str) -> None:
        (program,) = load(built("old_maps", order))
        assert program.maps == (Map("counts", "hash", 4, 8, 16, flags=1), Map("table", "array", 4, 12, 3))
        assert references(program) == ["table", "counts"]

    def test_named_data_sections(self, order: str) -> None:
        (program,) = load(built("data", order))
        maps = {map_.name: map_ for map_ in program.maps}
        assert set(maps) == {".data", ".rodata", ".bss", ".data.named", ".rodata.table", ".bss.zero"}
        assert {name for name, map_ in maps.items() if map_.readonly} == {".rodata", ".rodata.table"}
        assert maps[".data.named"].initial == (5).to_bytes(8, "big" if order == "big" else "little")
        assert outcome(program).r0 == 40 + 2 + 8


def test_every_type_of_map(tmp_path: Path) -> None:
    members = "int (*type)[{0.number}]; int (*max_entries)[1]; int *key; long *value;"
    form = f'struct {{{{ {members} }}}} {{0.name}} SEC(".maps");\n'
    source = HEAD + "".join(form.format(kind) for kind in MAP_TYPES.values())
    for order in ORDERS:
        maps = Object(compiled(source, order, tmp_path)).maps
        assert {(map_.name, map_.kind) for map_ in maps} == {(name, name) for name in MAP_TYPES}
        assert {(map_.key_size, map_.value_size) for map_ in maps} == {(4, 8)}
        assert {map_.name: map_.max_entries for map_ in maps if map_.max_entries != 1} == {
            "ringbuf": 4096, "user_ringbuf": 4096,
        }  # fmt: skip


HEAD = "#include <bpf/bpf_helpers.h>\nint fn(void *);\n"
WRONG = {
    "no type": ("__uint(max_entries, 1);", "map m: has no type"),
    "an unknown type": ("__uint(type, 99);", "map m is of type 99, which is not known"),
    "an unknown member": ("__uint(type, 1); __uint(colour, 3);", "member colour says nothing about a map"),
    "a plain member": ("__uint(type, 1); int max_entries;", "max_entries is not written with __uint"),
    "a key that is no type": ("__uint(type, 1); int key;", "key is not written with __type"),
    "a void value": ("__uint(type, 1); void *value;", "value is not written with __type, or has no size"),
    "two sizes": ("__uint(type, 1); __type(key, int); __uint(key_size, 8);", "key_size is 8, but its type has 4 bytes"),
    "values of a hash": ("__uint(type, 1); __array(values, int(void *));", "do not go into a map of type hash"),
    "programs in a map of maps": ("__uint(type, 12); __array(values, int(void *));", "type array_of_maps"),
    "maps in a prog array": (
        "__uint(type, 3); __array(values, struct { __uint(type, 1); });", "do not go into a map of type prog_array",
    ),
    "values in values": (
        "__uint(type, 12); __array(values, struct { __uint(type, 12); __array(values, struct { int x; }); });",
        "map m.inner: member values says nothing",
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", WRONG)
def test_wrong_declarations(what: str, tmp_path: Path) -> None:
    members, message = WRONG[what]
    source = f'{HEAD}struct {{ {members} }} m SEC(".maps");\nSEC("xdp") long f(void *c) {{ return (long)&m; }}'
    data = compiled(source, "little", tmp_path)
    with pytest.raises(BadObject, match=message) as caught:
        load(data)
    assert caught.value.place == "section .maps+0x0"


@pytest.mark.parametrize("order", ORDERS)
def test_a_lock_in_the_value(order: str, tmp_path: Path) -> None:
    source = f"""{HEAD}struct value {{ __u64 count; struct bpf_spin_lock lock; }};
        struct {{ __uint(type, 2); __uint(max_entries, 1); __type(value, struct value); }} m SEC(".maps");
        struct {{ __uint(type, 2); __uint(max_entries, 1); __type(value, __u64); }} n SEC(".maps");"""
    assert {map_.name: map_.lock for map_ in Object(compiled(source, order, tmp_path)).maps} == {"m": 8, "n": None}


def test_ulong(tmp_path: Path) -> None:
    source = f'{HEAD}struct {{ __uint(type, 33); __ulong(map_extra, 0x1ull << 44); }} m SEC(".maps");'
    (map_,) = Object(compiled(source, "little", tmp_path)).maps
    assert map_.extra == 1 << 44


PROGRAMS = """
    struct { __uint(type, 3); __uint(max_entries, 1); __array(values, int(void *)); } m SEC(".maps") = {
        .values = { %s } };
    SEC("xdp") int f(void *c) { return (long)&m; }"""
REFUSED: dict[str, tuple[str, type[CrossbpfError], str]] = {
    "a value past the end": (
        PROGRAMS % "[1] = (void *)&f",
        BadObject, "map m has a value at index 1, beyond its end",
    ),
    "a value that is nowhere": (
        PROGRAMS % "[0] = (void *)&fn",
        Refused, "fn, a value of map m, is not defined",
    ),
    "types left out": (
        'struct { __uint(type, 1); } m SEC(".maps");\nSEC("xdp") long f(void *c) { return (long)&m; }',
        BadObject, "maps are declared with types, and there are none",
    ),
}  # fmt: skip


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("what", REFUSED)
def test_wrong_uses(what: str, order: str, tmp_path: Path) -> None:
    source, error, message = REFUSED[what]
    flags = ("-g0",) if what == "types left out" else ()
    forward = "int f(void *);\n" if "&f " in source else ""
    with pytest.raises(error, match=message):
        load(compiled(HEAD + forward + source, order, tmp_path, *flags))


@pytest.mark.parametrize("order", ORDERS)
def test_a_map_in_the_middle(order: str) -> None:
    data = built("old_maps", order)
    (program,) = load(data)
    slot = next(pc for pc, insn in enumerate(program.insns) if insn is not None and insn.row.op == "map_idx")
    with pytest.raises(BadObject, match=r"no map starts at section maps\+0x"):
        load(Surgeon(data).content("socket", 8 * slot + 4, (8).to_bytes(4, "big" if order == "big" else "little")))


@pytest.mark.parametrize("order", ORDERS)
def test_wrong_old_maps(order: str) -> None:
    data = built("old_maps", order)
    for value, message in ((99, "is of type 99"), (1 << 30, "is of type")):
        with pytest.raises(BadObject, match=message):
            load(Surgeon(data).content("maps", 0, value.to_bytes(4, "big" if order == "big" else "little")))
    with pytest.raises(BadObject, match="map table is declared in 2 bytes: a struct of 20 or more is needed"):
        load(Surgeon(data).section("maps", "size", 30))


@pytest.mark.parametrize("order", ORDERS)
class TestArena:
    """Variables of an arena's address space, which lie at its start."""

    def made(self, order: Order, offset: int = 4, arenas: int = 1, pages: int = 1, size: int = 8) -> Program:
        code = insns(
            make(ROW["lddw_imm"], 1, imm=offset), make(ROW["addr_space_cast"], 1, 1, imm=1),
            make(ROW["ldx32"], 0, 1), make(ROW["exit"]), order=order,
        )  # fmt: skip
        parts = {
            "xdp": Part(code, relocations={0: "v"}),
            "maps": Part(arenas * words(33, 0, 0, pages, 0x400, order=order) or b"", DATA),
            ".addr_space.1": Part(words(5, 7, order=order).ljust(size, b"\0"), DATA),
        }
        symbols = {"f": Name("xdp"), "v": Name(".addr_space.1", 0, OBJECT)}
        symbols |= {name: Name("maps", 20 * number, OBJECT) for number, name in enumerate("ab"[:arenas])}
        return load(elf(parts, symbols, order))[0]

    def test_they_are_what_it_begins_with(self, order: Order) -> None:
        found = self.made(order)
        assert [(map_.kind, map_.initial) for map_ in found.maps] == [("arena", words(5, 7, order=order))]
        assert outcome(found).r0 == 7

    def test_wrong_ones(self, order: Order) -> None:
        with pytest.raises(BadObject, match=r"reference to \.addr_space\.1\+0x8, outside of its 8 bytes"):
            self.made(order, offset=8)
        for arenas in (0, 2):
            with pytest.raises(Refused, match=f"variables of an arena, of which {arenas} are declared"):
                self.made(order, arenas=arenas)
        with pytest.raises(MapRefused, match="initial data of 4100 bytes in a value of 4096"):
            check_map(self.made(order, size=4100).maps[0])


@pytest.mark.parametrize("order", ORDERS)
class TestOldStructs:
    """Structs of section maps, by what wrote them: each declaration has the bytes up to the next."""

    def maps(self, order: Order, *declarations: Sequence[int]) -> tuple[Map, ...]:
        """The program's maps of declarations a, b ..., of which the last is the one it refers to."""
        symbols, data = {"f": Name("xdp")}, b""
        for name, numbers in zip("abc", declarations, strict=False):
            symbols[name] = Name("maps", len(data), OBJECT)
            data += words(*numbers, order=order)
        parts = {"xdp": Part(pointing(order), relocations={0: name}), "maps": Part(data, DATA)}
        return load(elf(parts, symbols, order))[0].maps

    def test_the_next_may_lie_behind_the_section(self, order: Order) -> None:
        """Then a declaration is what is left of the section."""
        parts = {
            "xdp": Part(pointing(order), relocations={0: "a"}),
            "maps": Part(words(1, 4, 8, 16, 1, order=order), DATA),
        }
        symbols = {"f": Name("xdp"), "a": Name("maps", 0, OBJECT), "b": Name("maps", 64, OBJECT)}
        with pytest.raises(BadObject, match="map b is declared in 0 bytes"):
            load(elf(parts, symbols, order))

    def test_of_tc(self, order: Order) -> None:
        assert self.maps(order, (1, 4, 8, 16, 1, 7, 2, 0, 0)) == (Map("a", "hash", 4, 8, 16, flags=1, pinned=True),)
        inner = (2, 4, 8, 1, 0, 42, 2, 0, 1)
        found = self.maps(order, inner, (12, 4, 4, 2, 0, 0, 0, 42, 0))
        assert found == (
            Map("a", "array", 4, 8, 1, pinned=True),
            Map("b", "array_of_maps", 4, 4, 2, inner=Map("b.inner", "array", 4, 8, 1), maps=(-1, 0)),
        )
        with pytest.raises(BadObject, match="map b has a value at index 1, beyond its end"):
            self.maps(order, inner, (12, 4, 4, 1, 0, 0, 0, 42, 0))

    def test_of_the_kernels_samples(self, order: Order) -> None:
        found = self.maps(order, (2, 4, 8, 1, 0), (1, 4, 8, 9, 4, 0, 3), (12, 4, 4, 2, 0, 0, 0))
        assert found == (Map("c", "array_of_maps", 4, 4, 2, inner=Map("c.inner", "array", 4, 8, 1)),)
        with pytest.raises(BadObject, match="map b does not say what its maps are like"):
            self.maps(order, (2, 4, 8, 1, 0), (13, 4, 4, 2, 0))

    def test_pinning_of_early_tc(self, order: Order) -> None:
        assert self.maps(order, (1, 4, 8, 9, 0, 3, 2))[0].pinned
        assert not self.maps(order, (1, 4, 8, 9, 4, 0, 2))[0].pinned  # a NUMA node

    def test_options_that_are_not_known(self, order: Order) -> None:
        assert self.maps(order, (1, 4, 8, 9, 0, 0, 0, 0, 0, 0, 0)) == (Map("a", "hash", 4, 8, 9),)
        for numbers in ((1, 4, 8, 9, 0, 1), (1, 4, 8, 9, 0, 0, 0, 1), (1, 4, 8, 9, 0, 0, 0, 0, 0, 1)):
            with pytest.raises(BadObject, match="map a has options that are not known"):
                self.maps(order, numbers)

    @pytest.mark.parametrize(
        ("kind", "given", "made"),
        [(4, 0, CPUS), (4, 9, 9), (27, 1000, 4096), (27, 4097, 8192), (31, 20000, 32768), (27, 0, 0),
         (27, 1 << 31, 1 << 31), (27, (1 << 31) + 1, (1 << 31) + 1)],
    )  # fmt: skip
    def test_how_many_elements(self, order: Order, kind: int, given: int, made: int) -> None:
        sizes = (4, 4) if kind == 4 else (0, 0)
        assert self.maps(order, (kind, *sizes, given, 0))[0].max_entries == made
