"""Does a difference count? Engines that choose addresses themselves run a program in other surroundings than the plan.

Where memory lies, what the stack holds that nobody has written, what the clock says: the live kernel and external
runtimes have their own. A pointer that is kept as it is can be told (Outcome.moved). What a program computes from one
cannot, so before a difference counts, the interpreter runs the program twice more, with addresses and stack bytes that
have no bit in common: when its own results differ, the program has no one result to be compared.
"""

from __future__ import annotations

from dataclasses import replace

from bpf.plan import PAGE, STUB_SIZE, Plan, Unit
from bpf.program import Map
from bpf.spec.helpers import KERNEL
from bpf.spec.kfuncs import KFUNCS
from bpf.spec.maps import EACH, MAP_HELPERS
from engines.base import Engine
from engines.interpreter import InterpreterEngine
from vm.outcome import AT_THE_PLAN, Difference, Moved, Outcome, difference
from vm.world import Input, Limits, World

M64 = (1 << 64) - 1
_OF_MAPS = frozenset(name for name in MAP_HELPERS if not name.startswith("perf_")) - {"get_stackid"}
_DYNPTRS = frozenset(f"dynptr_{name}" for name in ("from_mem", "read", "write", "data"))
_TEXT = frozenset({"strtol", "strtoul", "strncmp"})  # what snprintf makes of a pointer is not the same
_OF_THE_MACHINE = frozenset({
    "get_hash_recalc", "get_socket_cookie", "get_socket_uid", "skb_cgroup_id", "get_cgroup_classid", "get_route_realm",
    "fib_lookup", "check_mtu", "clone_redirect", "sk_lookup_tcp", "sk_lookup_udp", "skc_lookup_tcp", "sk_release",
    "sk_fullsock", "tcp_sock", "get_listener_sock", "sk_assign", "tcp_check_syncookie", "tcp_gen_syncookie",
    "sk_cgroup_id", "sk_ancestor_cgroup_id", "skb_ancestor_cgroup_id", "skb_cgroup_classid", "skb_under_cgroup",
    "skb_get_xfrm_state", "setsockopt", "getsockopt",
})  # fmt: skip
_OF_PACKETS = frozenset(helper.name for helper in KERNEL.values() if helper.typed) - _OF_THE_MACHINE
_OTHERS = frozenset({"csum_diff", "loop", "unwind", "spin_lock", "spin_unlock", "kptr_xchg"})
_OF_TASKS = ("bpf_task_", "bpf_cgroup_", "bpf_iter_task_", "bpf_copy_from_user")
_FUNCTIONS = frozenset(one.name for one in KFUNCS.values() if not one.name.startswith(_OF_TASKS))
SAME_EVERYWHERE = _OTHERS | _OF_MAPS | _DYNPTRS | _TEXT | _OF_PACKETS | _FUNCTIONS
"""Helpers whose result depends on their arguments, the maps, the packet, or the functions that they call."""


def _plan(name: str, shift: int, bits: int, flip: int) -> Plan:
    """A plan whose addresses are a small number, shifted, and `bits`; `flip` inverts what alignment leaves free."""

    def at(number: int, mask: int = -PAGE) -> int:
        return (number << shift | bits & mask) ^ (flip & mask)

    return Plan(
        name, text=at(1), native=at(2), harness=at(3), context=at(4), packet=at(5), memory=at(6), values=at(7),
        arena=at(8), handles=at(9, -STUB_SIZE), stack=at(10, -8),
    )  # fmt: skip


PLANS = tuple(
    _plan(name, shift, bits, flip)
    for shift, bits, names in ((40, 0x55_5555_555F, ("here", "there")), (33, 0, ("low", "high")))
    for name, flip in zip(names, (0, M64), strict=True)
)
FILLS = (0x35, 0xCA, 0x00, 0xFF)

SOON = 1_000_000
"""A program that the interpreter ends within so many instructions takes every engine far less than a time limit."""


def late(expected: Outcome, outcome: Outcome) -> bool:
    """Whether an engine ran into its limit with a program that the interpreter ended soon."""
    instructions = expected.counts.get("instructions", SOON + 1)
    return outcome.status == "limit" and expected.status in ("done", "fault") and instructions <= SOON


def judge(
    engine: Engine, unit: Unit, expected: Outcome, outcome: Outcome, entry: Input, world: World, limits: Limits
) -> Difference:
    """As difference(expected, outcome), the interpreter's and an engine's, but only what had to be equal counts.

    world: as it was before the run; limits: those of the run. A run that is late is a difference. Where the program
    depends on its surroundings the answer is undecided and says why.
    """
    if not engine.abilities.plans:
        outcome = _without_elements(unit, expected, outcome)
    found = difference(expected, outcome)
    if late(expected, outcome):
        needed = expected.counts["instructions"]
        found = Difference(f"did not end within {limits.seconds:g} s; the interpreter needed {needed} instructions")
    if not found or engine.abilities.plans:
        return found
    why = _depends(unit, expected, outcome, entry, world, limits)
    return Difference(decided=False, why=why) if why else found


def _without_elements(unit: Unit, expected: Outcome, outcome: Outcome) -> Outcome:
    """An outcome without R1-R9 that hold the address of a map's element: an engine has it elsewhere, and cannot say."""
    if expected.registers is None or outcome.registers is None:
        return outcome
    regions = [
        region for map_, region in zip(unit.maps, unit.map_regions, strict=True) if not _told(map_) and region.size
    ]
    registers = list(outcome.registers)
    for number, value in enumerate(expected.registers[1:], 1):
        if value is not None and any(0 <= value - region.start <= region.size for region in regions):
            registers[number] = None
    return replace(outcome, registers=tuple(registers))


def _told(map_: Map) -> bool:
    """Whether an engine that chooses addresses can say where the memory of a map is."""
    return map_.addressable or map_.kind == "arena"


def _depends(unit: Unit, expected: Outcome, outcome: Outcome, entry: Input, world: World, limits: Limits) -> str:
    """On what of its surroundings the shown result of a program depends, in words; "" for nothing."""
    if expected.counts.get("ran_out"):
        return "a may_goto has run out, which happens elsewhere after another time"
    for map_ in unit.maps:
        held = len((expected.maps or {}).get(map_.name, ()))
        if map_.kind.startswith("lru") and (expected.counts.get("evicted") or 2 * held > map_.max_entries):
            return f"map {map_.name} is half full, and an LRU map may give up elements long before it is full"
    for call in expected.calls or ():
        if call.helper == EACH and any("hash" in map_.kind for map_ in unit.maps):
            return "it goes through a hash table, whose order is the machine's"
        if call.helper not in SAME_EVERYWHERE:
            return f"it calls {call.helper}, whose result is the machine's"
    shown = []
    units = [Unit(unit.programs, unit.maps, unit.convention, plan) for plan in PLANS]
    for bound, fill in zip(units, FILLS, strict=True):
        run = InterpreterEngine().prepare(bound).run(replace(entry, stack_fill=fill), world.copy(), limits)
        shown.append(_as_shown(run, outcome))
    if outcome.moved is not AT_THE_PLAN:
        shown[1:] = [replace(run, moved=_moved(units[0], unit)) for run, unit in zip(shown[1:], units[1:], strict=True)]
    if any(difference(shown[0], other) for other in shown[1:]):
        return "its result depends on where memory lies, or on stack bytes that it has not written"
    return ""


def _as_shown(run: Outcome, outcome: Outcome) -> Outcome:
    """A run of the interpreter, cut down to what the engine's outcome shows."""
    registers, regions = None, None
    if outcome.registers is not None and run.registers is not None:
        pairs = zip(run.registers, outcome.registers, strict=True)
        registers = tuple(None if other is None else mine for mine, other in pairs)
    if outcome.regions is not None and run.regions is not None:
        regions = {name: content for name, content in run.regions.items() if name in outcome.regions}
    return replace(run, registers=registers, regions=regions, calls=None, printed=None)


def _moved(here: Unit, there: Unit) -> Moved:
    """The distances between the regions of two units."""
    pairs = [
        (getattr(there.plan, name), getattr(here.plan, name))
        for name in ("stack", "context", "packet", "memory", "handles")
    ]
    regions = zip(here.maps, here.map_regions, there.map_regions, strict=True)
    pairs += [(b.start, a.start) for map_, a, b in regions if _told(map_)]
    return Moved("big" if here.order == "big" else "little", frozenset((b - a) & M64 for b, a in pairs))
