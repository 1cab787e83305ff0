"""The maps of a run: which handle is which, and the guest memory that their values are in meanwhile."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from bpf.errors import BadInput
from bpf.plan import LENT, STUB_SIZE, Region, Unit
from bpf.spec.layout import CPUS, up
from vm.maps.base import Contents, MapState
from vm.memory import Memory
from vm.world import World

Named = tuple[str, Region]


def named_regions(unit: Unit) -> tuple[Named, ...]:
    """Name and region of each map, in the order of their handles."""
    return tuple((map_.name, region) for map_, region in zip(unit.maps, unit.map_regions, strict=True))


class Bound:
    """A run's maps: those of the World, with their values in the run's memory until `end`.

    handles  the address of the first handle; maps: in the order of the handles. The World has opened them.
    """

    __slots__ = ("_handles", "_lent", "_maps", "_memory", "_regions", "_starts", "_states", "draining", "expiring")

    def __init__(
        self, maps: Sequence[Named] = (), handles: int = 0, world: World | None = None, memory: Memory | None = None
    ) -> None:
        self._handles = handles
        self._maps = maps
        self._memory = memory
        self._lent: list[int] = []
        self.draining: set[str] = set()  # names of user ring buffers that a helper goes through
        self.expiring = 0  # number of the timer whose callback runs
        self._states: list[MapState | None] = []
        self._regions: list[Region] = []
        self._starts: dict[int, int] = {}  # id of a state -> address of its memory
        if world is None or memory is None:
            return
        for name, region in maps:
            state = world.maps.get(name)
            self._states.append(state)
            self._regions.append(region)
            if state is not None:
                self._starts[id(state)] = region.start
                if state.per_cpu and not 0 <= world.cpu < CPUS:
                    raise BadInput(f"CPU {world.cpu} of a world with per-CPU maps", remedy=f"CPUs are 0 to {CPUS - 1}")
                if region.size:
                    state.attach(memory.view(region.start, region.size))

    def state(self, handle: int) -> MapState | None:
        """The map of a handle."""
        number, inside = divmod(handle - self._handles, STUB_SIZE)
        return None if inside or not 0 <= number < len(self._states) else self._states[number]

    def address(self, state: MapState, offset: int) -> int:
        """The address of a byte of a map's memory."""
        return self._starts[id(state)] + offset

    def handle(self, name: str) -> int:
        """The handle of a map by its name, 0 for none."""
        number = next((at for at, (known, _) in enumerate(self._maps) if known == name), None)
        return 0 if number is None else self._handles + number * STUB_SIZE

    def around(self, address: int) -> Iterator[tuple[MapState, int]]:
        """The map whose memory an address lies in, and the offset there."""
        for state, region in zip(self._states, self._regions, strict=True):
            if state is not None and region.start <= address < region.start + region.size:
                yield state, address - region.start

    def lend(self, data: bytes) -> int:
        """The address of these bytes in memory that a function called by a helper may read, until `take_back`."""
        assert self._memory is not None
        at = self._lent[-1] if self._lent else self._memory.address(LENT)
        self._memory.write(at, data)
        self._lent.append(at + up(len(data), 8))
        return at

    def take_back(self) -> None:
        """What was lent last is no longer needed."""
        self._lent.pop()

    def contents(self) -> dict[str, Contents]:
        """Name -> canonical contents, of the maps that are more than a region."""
        return {
            state.map.name: state.contents()
            for state in self._states
            if state is not None and not state.map.is_data and state.map.kind != "arena"
        }

    def evicted(self) -> int:
        """How many elements LRU maps have given up."""
        return sum(getattr(state, "evicted", 0) for state in self._states)

    def end(self) -> None:
        """Take the values back out of the run's memory."""
        for state in self._states:
            if state is not None:
                state.detach()


NO_MAPS = Bound()
