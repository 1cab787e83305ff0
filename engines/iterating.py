"""Iterator programs: what the kernel calls one with, element by element, and once more behind the last."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from bpf.errors import BadInput, Refused
from bpf.object.attach import attached, words
from bpf.plan import STUB_SIZE, Unit
from bpf.program import Program
from vm.world import Input, World

META = 0xFFFF_8881_5F00_0000
"""Where the bpf_iter_meta of an iterator is: the file (an address in it that nobody reads), a session, a number."""
_SEQ, _SESSION = META + 24, 1
Element = tuple[Mapping[str, int], bytes]  # words of the context by name, and the memory that one of them points to


def iterates(program: Program) -> bool:
    """Whether a program is an iterator of a kind that is known here."""
    kind, name = attached(program.section)
    return kind == "iter" and name in _KINDS


def inputs(unit: Unit, world: World) -> Iterator[Input]:
    """The inputs of the runs of an iterator, each to be run before the next one is asked for: it says so in the world.

    Raises Refused where the types do not say what the context is, BadInput where there is nothing to go through.
    """
    program = unit.programs[0].source or unit.programs[0]
    _, name = attached(program.section)
    known = words(program)
    if known is None:
        raise Refused(f"no type says what an iterator of {name} is called with", remedy="give types with --btf FILE")
    places = {word.name: at for at, word in enumerate(known) if word.name}
    for number, (element, memory) in enumerate(_elements(unit, world, name)):
        numbers = (_SEQ, _SESSION, number)
        world.kernel[META] = b"".join(one.to_bytes(8, unit.order) for one in numbers)
        given = {"meta": META, **element}
        yield Input(
            memory=memory, context={f"args[{places[word]}]": value for word, value in given.items() if word in places}
        )


def _elements(unit: Unit, world: World, name: str) -> Iterator[Element]:
    yield from _KINDS[name](unit, world)
    yield {}, b""


def _tasks(unit: Unit, world: World) -> Iterator[Element]:
    for pid in sorted(world.tasks):
        yield {"task": world.tasks[pid]}, b""


def _cgroups(unit: Unit, world: World) -> Iterator[Element]:
    for number in sorted(world.cgroup_objects):
        yield {"cgroup": world.cgroup_objects[number]}, b""


def _map_elements(unit: Unit, world: World) -> Iterator[Element]:
    """The elements of the first map that has any that can be gone through: hashes and arrays of one value each."""
    world.open_maps(unit)
    for index, map_ in enumerate(unit.maps):
        state = world.maps.get(map_.name)
        if state is None or map_.is_data or state.per_cpu or map_.kind not in ("hash", "lru_hash", "array"):
            continue
        for key in list(state.keys()):
            offset = state.find(key, world.cpu)
            if offset is None:
                continue
            place = unit.plan.place(unit.plan.memory, len(key))
            address = unit.map_regions[index].start + offset
            yield {"map": unit.plan.handles + index * STUB_SIZE, "key": place, "value": address}, key
        return
    raise BadInput("an iterator of map elements needs a hash or an array to go through")


_KINDS: Mapping[str, Callable[[Unit, World], Iterator[Element]]] = {
    "task": _tasks, "cgroup": _cgroups, "bpf_map_elem": _map_elements,
}  # fmt: skip
