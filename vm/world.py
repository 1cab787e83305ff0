"""What surrounds a program: its input, and the deterministic world that helpers act on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from bpf.errors import BadInput
from bpf.object.btf_build import Content, content
from bpf.order import Order
from bpf.plan import POISON, RECORD_WORDS, Unit
from bpf.program import Map
from bpf.spec.layout import CPUS
from bpf.spec.maps import RULES
from bpf.tail import MAX_TAIL_CALLS
from vm.maps import MapState, new_map
from vm.network import NETWORK, Network, Sent

DIRTY = tuple((0x9E37_79B9_7F4A_7C15 * (2 * register + 3)) & (1 << 64) - 1 for register in range(RECORD_WORDS))
"""What registers hold that nobody set: upper and lower halves full of bits, all different."""


@dataclass(frozen=True, slots=True)
class Input:
    """What one run is given.

    memory      the bytes that R1 and R2 describe; empty: R1 = R2 = 0
    packet      the frame from its link-layer header on, for conventions with a context; network: where in it the
                network header is, which is where the packet's data begin
    metadata    how many of the packet's first bytes come before the frame (data_meta)
    context     field name -> value of the context, over what vm/contexts.py gives it
    record      the bytes of a context that is memory (the record of a tracepoint, what a syscall program is called
                with), or words (registers, arguments), under the fields
    registers   register number (1-9) -> value, over the convention's; the others hold the patterns of DIRTY.
                R0 always starts as the poison: no calling convention carries it in
    stack_fill  the byte that the BPF stack is full of
    """

    memory: bytes = b""
    registers: Mapping[int, int] = field(default_factory=dict)
    stack_fill: int = 0xA5
    packet: bytes = b""
    network: int = 14
    metadata: int = 0
    context: Mapping[str, int] = field(default_factory=dict)
    record: Content = b""

    def entry_registers(self, address: int, context: int = 0) -> list[int]:
        """R0-R9 at entry, when the memory lies at `address` and the convention has a context, or not, at `context`."""
        values = list(DIRTY)
        values[1], values[2] = (context, 0) if context else (address, len(self.memory)) if self.memory else (0, 0)
        for register, value in self.registers.items():
            values[register] = value & (1 << 64) - 1
        values[0] = POISON
        return values


Element = tuple[bytes | int, bytes | int | str]
"""Key and value; numbers take the program's byte order; a str is the name of a map in a map of maps."""


Timer = tuple[str, int, int, int, int]


@dataclass(frozen=True, slots=True)
class Sysctl:
    """A setting of the kernel's, below /proc/sys. current: what it says; new: what is being written, if anything."""

    name: str = "kernel/ostype"
    current: bytes = b"Linux\n"
    new: bytes = b""


@dataclass(slots=True)
class World:
    """Clock, randomness, CPU, task: what helpers see and change. Part of the input; the same for every engine.

    clock    nanoseconds since boot; each reading moves it on by `tick`
    random   state of the random stream (any 64-bit number)
    cpu      number of the CPU
    pid_tgid, uid_gid, comm   the current task; task: the address of its task_struct; node: the CPU's NUMA node
    tai      what International Atomic Time has more than the clock, in nanoseconds
    cgroups  ids of the task's cgroup and those it is in, the root first
    pidns    device and inode of its pid namespace
    netns    number of its network namespace
    counters name of a perf event array -> for each CPU, what its event counted, and how long it was enabled and ran
    cookie   what the program was attached with
    kernel, user   address -> bytes there, of the kernel and of the task, for the probe_read family and for loads of the
             kernel's structures
    symbols  name -> address of the kernel's symbols
    tasks    pid -> address of its task_struct; cgroup_objects: id -> address of its struct cgroup
    per_cpu  for each CPU, how far its variables are from the addresses of the kernel's per-CPU symbols
    context_object   address of the structure that a program's context stands for (sk_buff, xdp_buff); 0: none
    held     address of a structure -> how often programs have acquired it and not released it
    signals  (process or thread, number) of each signal sent; overridden: what override_return last said
    timers   number of a bpf_timer (which its bytes hold) -> map, offset of it there, callback (0: none), when it
             expires (-1: never), how many were started before it
    values   map name -> bytes of its first value, over what the object file says
    elements map name -> what is put into it when it comes to be; a map without keys takes the values alone
    maps     map name -> the map; it comes to be with the first run that has it, and keeps its contents from run to run
    programs name of a prog array -> the programs in it (see Map.programs), over what the map says
    printed  lines that trace_printk wrote
    net      devices, routes, neighbours, and the socket and cgroup of a packet
    sent     where programs have directed packets, in order
    inodes   number -> address of its struct inode; socket_objects: cookie -> address of its struct sock, where that is
             not the one that vm/helpers/owners.py gives the sockets of `net`
    stack, user_stack   return addresses of the kernel and of the task where the program is called, the innermost first
    attach_type   BPF_CGROUP_* that the program is attached as
    sysctl   the setting that a cgroup_sysctl program is asked about
    """

    clock: int = 1_000_000_000
    tick: int = 1_000
    random: int = 0x1234_5678_9ABC_DEF0
    cpu: int = 0
    pid_tgid: int = 4242 << 32 | 4243
    uid_gid: int = 1000 << 32 | 1000
    comm: bytes = b"crossbpf"
    task: int = 0xFFFF_8881_0420_0000
    node: int = 0
    tai: int = 1_750_000_037_000_000_000
    cgroups: tuple[int, ...] = (1, 42)
    pidns: tuple[int, int] = (4, 0xEFFF_FFFC)  # PROC_PID_INIT_INO
    netns: int = 1
    counters: dict[str, Sequence[tuple[int, int, int]]] = field(default_factory=dict)
    cookie: int = 0
    kernel: dict[int, Content] = field(default_factory=dict)
    user: dict[int, bytes] = field(default_factory=dict)
    symbols: dict[str, int] = field(default_factory=dict)
    tasks: dict[int, int] = field(default_factory=dict)
    cgroup_objects: dict[int, int] = field(default_factory=dict)
    per_cpu: tuple[int, ...] = tuple(cpu << 20 for cpu in range(CPUS))
    context_object: int = 0
    held: dict[int, int] = field(default_factory=dict)
    signals: list[tuple[str, int]] = field(default_factory=list)
    overridden: int | None = None
    timers: dict[int, Timer] = field(default_factory=dict)
    values: dict[str, bytes] = field(default_factory=dict)
    programs: dict[str, tuple[int, ...]] = field(default_factory=dict)
    printed: list[str] = field(default_factory=list)
    elements: dict[str, Sequence[Element]] = field(default_factory=dict)
    maps: dict[str, MapState] = field(default_factory=dict)
    net: Network = NETWORK
    sent: list[Sent] = field(default_factory=list)
    inodes: dict[int, int] = field(default_factory=dict)
    socket_objects: dict[int, int] = field(default_factory=dict)
    stack: tuple[int, ...] = ()
    user_stack: tuple[int, ...] = ()
    attach_type: int = 0
    sysctl: Sysctl = field(default_factory=Sysctl)

    def plain(self, order: Order) -> World:
        """The same world, with the kernel's memory as bytes of a byte order."""
        if all(isinstance(data, bytes) for data in self.kernel.values()):
            return self
        return replace(self, kernel={address: content(data, order) for address, data in self.kernel.items()})

    def snapshot(self) -> Snapshot:
        """What a run can change, besides the printed lines; plain data."""
        maps = {name: state.save() for name, state in self.maps.items()}
        task = dict(self.user), tuple(self.signals), self.overridden, dict(self.timers), dict(self.held)
        return self.clock, self.random, self.cpu, maps, task

    def restore(self, snapshot: Snapshot) -> None:
        """Go back to a snapshot; nothing has been printed, and maps that came to be later are gone."""
        self.clock, self.random, self.cpu, maps, (user, signals, self.overridden, timers, held) = snapshot
        self.user, self.signals, self.timers, self.held = dict(user), list(signals), dict(timers), dict(held)
        self.printed.clear()
        self.sent.clear()
        for name, state in list(self.maps.items()):
            if name in maps:
                state.load(maps[name])
            else:
                del self.maps[name]

    def copy(self) -> World:
        """A world of its own in the same state, without printed lines."""
        maps = {name: state.copy() for name, state in self.maps.items()}
        return replace(
            self,
            values=dict(self.values),
            programs=dict(self.programs),
            printed=[],
            sent=[],
            elements=dict(self.elements),
            maps=maps,
            user=dict(self.user),
            signals=list(self.signals),
            timers=dict(self.timers),
            held=dict(self.held),
        )

    def open_maps(self, unit: Unit) -> None:
        """Have all maps of a unit. One of the same name that was declared otherwise gives way. Raises BadInput."""
        for map_ in unit.maps:
            there = self.maps.get(map_.name)
            if map_.kind not in RULES:
                continue
            if there is not None and (there.map, there.order) == (map_, unit.order):
                there.describe(self.net)
                continue
            state = self.maps[map_.name] = new_map(map_, "big" if unit.order == "big" else "little")
            state.describe(self.net)
            first = self.values.get(map_.name, b"")[: len(state.values) if map_.kind == "arena" else map_.value_size]
            state.values[: len(first)] = first
            members = [(n, unit.maps[number].name) for n, number in enumerate(map_.maps) if number != -1]
            for key, value in (*members, *self.elements.get(map_.name, ())):
                _put(state, map_, key, value)


Snapshot = tuple[int, int, int, dict[str, tuple[Any, ...]], tuple[Any, ...]]


def _put(state: MapState, map_: Map, key: bytes | int, value: bytes | int | str) -> None:
    """Put an element into a map of a world. Raises BadInput."""
    try:
        if isinstance(key, int):
            key = key.to_bytes(map_.key_size, state.order) if map_.key_size else b""
        if isinstance(value, int):
            if not map_.value_size:
                raise ValueError(f"values of a {map_.kind} have no size of their own, {value} must be given as bytes")
            value = value.to_bytes(map_.value_size, state.order, signed=value < 0)
        state.update(key, value.encode() if isinstance(value, str) else value)
    except (ValueError, OverflowError, OSError) as error:
        raise BadInput(f"map {map_.name}: an element cannot be put there: {error}") from None


@dataclass(frozen=True, slots=True)
class Limits:
    """When a run is given up.

    instructions  BPF instructions, for engines that count them
    seconds       wall time, for engines that don't
    may_goto      how often each activation of a function passes a may_goto before it goes elsewhere
    tail_calls    how many a run takes, 0 to 33: that is Linux's number since 5.17, before it was 32
    """

    instructions: int = 20_000_000
    seconds: float = 5.0
    may_goto: int = 65_536
    tail_calls: int = MAX_TAIL_CALLS

    def __post_init__(self) -> None:
        if not 0 <= self.tail_calls <= MAX_TAIL_CALLS:
            raise ValueError(f"{self.tail_calls} tail calls: 0 to {MAX_TAIL_CALLS} have room on the stack")
