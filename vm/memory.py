"""The plan made real: regions with their bytes, for the interpreter, for helpers, and for the guests that map them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from bpf.errors import BadInput
from bpf.object.btf_build import Content, content
from bpf.order import Order
from bpf.plan import PAGE, Region, Unit
from vm.contexts import build
from vm.kept import keep, with_socket
from vm.world import Input, World

Buffer = bytearray | memoryview
Page = tuple[Buffer, int, bool]  # buffer, address of its first byte, writable


@dataclass(frozen=True, slots=True)
class Cell:
    """A region and what it holds when a run starts: whole pages."""

    region: Region
    content: bytes


class OutOfReach(Exception):
    """An access to memory that is not there (or not writable). `address`: its first byte out of reach."""

    def __init__(self, write: bool, address: int) -> None:
        super().__init__()
        self.write = write
        self.address = address

    @property
    def kind(self) -> str:
        """The Fault's kind."""
        return "write" if self.write else "read"


def lay_out(unit: Unit, entry: Input, world: World) -> tuple[Cell, ...]:
    """The regions of a run: stack, memory, packet and context if there are any, the values of maps, which it opens."""
    world.open_maps(unit)
    stack = unit.stack
    cells = [Cell(stack, bytes((entry.stack_fill,)) * stack.mapped)]
    if entry.memory:
        size = len(entry.memory)
        cells.append(_cell(Region("memory", unit.plan.place(unit.plan.memory, size), size), entry.memory))
    size = len(entry.packet)
    head, tail = unit.room(size)
    if head + size + tail:
        region = Region("packet", unit.packet_start(size) - head, head + size + tail)
        cells.append(_cell(region, bytes(head) + entry.packet + bytes(tail)))
    if unit.convention.view is not None:
        content = build(unit, entry, unit.packet_start(len(entry.packet)))
        if unit.kept is not None:
            content = with_socket(unit, content, world.net)
        cells.append(_cell(Region("context", unit.context, len(content)), content))
    if unit.kept is not None:
        cells.append(_cell(unit.kept, keep(world.net, unit.order)))
    if unit.lent is not None:
        cells.append(_cell(unit.lent, b""))
    if unit.whole.probes:
        cells += kernel_cells(world.kernel, unit)
    for map_, region in zip(unit.maps, unit.map_regions, strict=True):
        state = world.maps.get(map_.name)
        if map_.kind == "prog_array":
            cells.append(_cell(region, unit.cells(map_, world.programs)))
        elif region.size:
            cells.append(_cell(region, world.values.get(map_.name, b"") if state is None else state.values))
    return tuple(cells)


KERNEL = "kernel "
"""How the names of regions begin that are the kernel's described memory."""


def kernel_cells(described: Mapping[int, Content], unit: Unit) -> list[Cell]:
    """The pages of the kernel's described memory: a region for each run of them, which no program can write.

    Raises BadInput where they are a plan's own.
    """
    cells: list[Cell] = []
    pages: dict[int, bytearray] = {}
    for address, given in described.items():
        data = content(given, unit.order)
        for at in range(address & -PAGE, address + len(data), PAGE):
            page = pages.setdefault(at, bytearray(PAGE))
            first, last = max(address, at), min(address + len(data), at + PAGE)
            page[first - at : last - at] = data[first - address : last - address]
    own = [region for region in _own(unit) if region.mapped]
    for start in sorted(pages):
        taken = next((r for r in own if r.first_page <= start < r.first_page + r.mapped), None)
        if taken is not None or not 0 < start < 1 << 64:
            whose = f"is in the region {taken.name} of plan {unit.plan.name}" if taken else "is no address"
            raise BadInput(f"memory of the kernel at 0x{start:x} {whose}", remedy="describe it at another address")
        if cells and cells[-1].region.start + cells[-1].region.size == start:
            before = cells.pop()
            region = replace(before.region, size=before.region.size + PAGE)
            cells.append(Cell(region, before.content + bytes(pages[start])))
        else:
            cells.append(Cell(Region(f"{KERNEL}0x{start:x}", start, PAGE, readonly=True), bytes(pages[start])))
    return cells


def _own(unit: Unit) -> tuple[Region, ...]:
    """Where the plan's own regions may lie."""
    plan = unit.plan
    small = (Region("of its own", start, 1 << 25) for start in (plan.harness, plan.context, plan.handles, plan.arena))
    large = (Region("of its own", start, 1 << 28) for start in (plan.text, plan.packet, plan.memory, plan.values))
    stacks = (Region("of its stacks", start - (1 << 24), 1 << 25) for start in (plan.stack, plan.native))
    return (*small, *large, *stacks)


def _cell(region: Region, data: bytes | bytearray) -> Cell:
    return Cell(region, (bytes(region.start - region.first_page) + data).ljust(region.mapped, b"\0"))


def private(region: Region) -> bytearray:
    """A buffer of one's own for a region."""
    return bytearray(region.mapped)


def sharing(unit: Unit, memory: Memory) -> Callable[[Region], Buffer]:
    """Buffers for another CPU: those that a memory has for the unit's maps, the others of its own."""
    shared = memory.of_maps(unit)
    return lambda region: shared.get(region.first_page) or private(region)


class Memory:
    """The bytes of a run.

    buffers come from `allocate(region)`, which a guest machine uses to hand out what it has mapped. Accesses are
    checked page by page, as a guest's are. `writes`, when it is a list, receives (address, bytes) of each write.
    `pages` are those that can be read; `unread` those that can only be written.
    """

    __slots__ = ("buffers", "cells", "pages", "unread", "writes")

    def __init__(self, cells: Sequence[Cell], allocate: Callable[[Region], Buffer] = private) -> None:
        self.cells = tuple(cells)
        self.buffers = [allocate(cell.region) for cell in cells]
        self.pages: dict[int, Page] = {}
        self.unread: dict[int, Page] = {}
        self.writes: list[tuple[int, bytes]] | None = None
        for cell, buffer in zip(self.cells, self.buffers, strict=True):
            region = cell.region
            page: Page = (buffer, region.first_page, not region.readonly)
            for number in range(region.first_page >> 12, (region.first_page + region.mapped) >> 12):
                (self.unread if region.writeonly else self.pages)[number] = page
        self.reset()

    def reset(self) -> None:
        """Every region as it is when a run starts."""
        for cell, buffer in zip(self.cells, self.buffers, strict=True):
            buffer[:] = cell.content

    def of_maps(self, unit: Unit) -> dict[int, Buffer]:
        """First page -> buffer of each region that belongs to the unit's maps."""
        pages = {region.first_page for region in unit.map_regions if region.size}
        pairs = zip(self.cells, self.buffers, strict=True)
        return {cell.region.first_page: buffer for cell, buffer in pairs if cell.region.first_page in pages}

    def contents(self) -> dict[str, bytes]:
        """Region name -> its bytes now."""
        return {cell.region.name: bytes(buffer) for cell, buffer in zip(self.cells, self.buffers, strict=True)}

    def address(self, name: str) -> int:
        """Start of the region of that name, 0 where there is none."""
        return next((cell.region.start for cell in self.cells if cell.region.name == name), 0)

    def view(self, address: int, size: int) -> memoryview:
        """Bytes of one region as they are, whoever may write them."""
        number = address >> 12
        buffer, first, _ = self.pages.get(number) or self.unread[number]
        return memoryview(buffer)[address - first : address - first + size]

    def own(self, address: int) -> bool:
        """Whether a byte is the program's to read: neither out of reach nor the kernel's described memory."""
        page = self.pages.get(address >> 12)
        return page is not None and not any(
            cell.region.first_page == page[1] for cell in self.cells if cell.region.name.startswith(KERNEL)
        )

    def first_bad(self, address: int, size: int, write: bool) -> int | None:
        """The first byte of [address, address + size) that cannot be read (written); None when all can."""
        for at in (address, (address | (PAGE - 1)) + 1):
            if at < address + size:
                number = (at & (1 << 64) - 1) >> 12
                page = self.pages.get(number) or (self.unread.get(number) if write else None)
                if page is None or (write and not page[2]):
                    return at & (1 << 64) - 1
        return None

    def read(self, address: int, size: int) -> bytes:
        """Bytes at an address. Raises OutOfReach."""
        out = bytearray()
        while len(out) < size:
            at = (address + len(out)) & (1 << 64) - 1
            page = self.pages.get(at >> 12)
            if page is None:
                raise OutOfReach(False, at)
            take = min(size - len(out), PAGE - (at & (PAGE - 1)))
            out += page[0][at - page[1] : at - page[1] + take]
        return bytes(out)

    def probe(self, address: int, size: int, order: Order) -> int:
        """The number at an address, 0 where not all of it is there: what a probe load finds."""
        try:
            return int.from_bytes(self.read(address, size), order)
        except OutOfReach:
            return 0

    def write(self, address: int, data: bytes) -> None:
        """Write bytes; what lies before a page out of reach is written all the same. Raises OutOfReach."""
        done = 0
        while done < len(data):
            at = (address + done) & (1 << 64) - 1
            page = self.pages.get(at >> 12) or self.unread.get(at >> 12)
            if page is None or not page[2]:
                raise OutOfReach(True, at)
            piece = data[done : done + PAGE - (at & (PAGE - 1))]
            if self.writes is not None:
                self.writes.append((at, bytes(piece)))
            page[0][at - page[1] : at - page[1] + len(piece)] = piece
            done += len(piece)
