"""Does a program show where things lie? Run twice with everything at other addresses, it may not give anything else.

That is what a loader without CAP_PERFMON must not find out: a pointer, part of one, or what was computed from it, in R0
at the exit, in a map, in the packet, in the context, in what is printed or sent.
"""

from __future__ import annotations

from bpf.plan import PLANS, Plan, Unit
from bpf.program import Program
from bpf.spec.conventions import TYPED
from engines import engine
from fuzz.soundness import LIMITS
from vm.outcome import Outcome
from vm.world import Input, World

_PLAN, *_OTHERS = (plan for plan in PLANS.values() if not plan.fence)


def leak(program: Program, kind: str, given: Input, world: World) -> str:
    """What differs between runs at different addresses, "" for nothing."""
    one = _run(program, kind, _PLAN, given, world)
    for plan in _OTHERS:
        other = _run(program, kind, plan, given, world)
        for what, value in one.items():
            if other[what] != value:
                there, here = f"{value!r} under {_PLAN.name}", f"{other[what]!r} under {plan.name}"
                return f"{what} depends on where things lie: {there}, {here}"
    return ""


def _run(program: Program, kind: str, plan: Plan, given: Input, world: World) -> dict[str, object]:
    """What can be seen of a run from outside."""
    unit = Unit((program,), program.maps, TYPED[kind], plan)
    outcome = engine("interpreter").prepare(unit).run(given, world.copy(), LIMITS)
    return {"status": outcome.status, **(_shown(outcome, unit) if outcome.status == "done" else {})}


def _shown(outcome: Outcome, unit: Unit) -> dict[str, object]:
    regions = outcome.regions or {}
    shown: dict[str, object] = {
        "R0": outcome.r0, "maps": outcome.maps, "packet": outcome.packet, "context": outcome.context,
        "printed": outcome.printed, "sent": outcome.sent,
    }  # fmt: skip
    return shown | {region.name: regions.get(region.name) for region in unit.map_regions}
