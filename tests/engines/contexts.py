"""Random programs that use their context: loads, stores, spills, branches, calls, and accesses to the packet."""

from __future__ import annotations

from hypothesis import strategies as st

from bpf.spec.contexts import PACKET, PACKET_END, View
from bpf.spec.conventions import TYPED, Convention
from tests.engines.typed import FRAME

MACHINES = ("kprobe.arm64", "perf_event.ppc64")
WITH_FIELDS = [
    name for name, one in TYPED.items()
    if one.view and not one.view.layout.open and not one.orders and ("." not in name or name in MACHINES)
]  # fmt: skip
"""Types whose contexts have fields; of those that each machine has its own, one."""

PACKETS = {"xdp": "any", "sched_cls": "any", "sched_act": "any", "cgroup_skb": "reads", "lwt_in": "reads"}
"""Types with direct access to the packet, and what they may do there."""


def accesses(view: View, *, write: bool) -> list[tuple[int, int]]:
    """(offset, size) of the loads that give a number, or of the stores."""
    found = []
    for size in (1, 2, 4, 8):
        for offset in range(0, view.layout.size, size):
            one = view.access(offset, size, write=write)
            if one is not None and not one.pointer:
                found.append((offset, size))
    return found


def _guarded(convention: Convention, access: str, label: str) -> list[str]:
    """An access to the packet through R3, behind the comparison that the verifier asks for."""
    view = convention.view
    assert view is not None
    data = next(one.offset for one in view.layout.fields if one.pointer == PACKET)
    end = next(one.offset for one in view.layout.fields if one.pointer == PACKET_END)
    return [
        f"r3 = *(u32 *)(r6 + {data})", f"r4 = *(u32 *)(r6 + {end})", "r5 = r3", "r5 += 48",
        f"if r5 > r4 goto {label}", access, f"{label}: r3 = 0",
    ]  # fmt: skip


@st.composite
def context_programs(draw: st.DrawFn, name: str) -> str:
    """Assembly of a program of a type. R6 is the context, R7 and R8 are numbers; it ends with R0 = what R7 is."""
    convention = TYPED[name]
    view = convention.view
    assert view is not None
    loads, stores = accesses(view, write=False), accesses(view, write=True)
    lines = ["r6 = r1", "r7 = 1", "r8 = 2"]
    for number in range(draw(st.integers(1, 12))):
        what = draw(st.sampled_from(("load", "signed", "store", "spill", "branch", "call", "packet", "mix")))
        offset, size = draw(st.sampled_from(loads))
        if what == "load":
            lines += [f"r2 = *(u{8 * size} *)(r6 + {offset})", "r7 *= 31", "r7 += r2"]
        elif what == "signed" and view.access(offset, size, write=False, signed=True) and size < 8:
            lines += [f"r2 = *(s{8 * size} *)(r6 + {offset})", "r7 *= 31", "r7 ^= r2"]
        elif what == "store" and stores:
            offset, size = draw(st.sampled_from(stores))
            value = draw(st.sampled_from(("r7", "r8", str(draw(st.integers(-(1 << 31), (1 << 31) - 1))))))
            lines.append(f"*(u{8 * size} *)(r6 + {offset}) = {value}")
        elif what == "spill":
            slot = 8 * draw(st.integers(1, 4))
            lines += [f"*(u64 *)(r10 - {slot}) = r6", "r6 = 0", f"r6 = *(u64 *)(r10 - {slot})"]
        elif what == "branch":
            lines += [f"if r7 s> {draw(st.integers(-9, 9))} goto l{number}", "r7 += 7", f"l{number}: r8 ^= r7"]
        elif what == "call":
            lines += ["r1 = r6", "r2 = r7", "call f", "r7 = r0"]
        elif what == "packet" and name in PACKETS:
            access = f"r7 = *(u8 *)(r3 + {draw(st.integers(0, 47))})"
            if PACKETS[name] == "any" and draw(st.booleans()):
                access = f"*(u16 *)(r3 + {draw(st.integers(0, 46))}) = r7"
            lines += _guarded(convention, access, f"l{number}")
        else:
            lines += ["r8 += r7", "r7 <<= 3", "r7 ^= r8"]
    lines += ["r0 = r7", *(["r0 &= 1"] if name.startswith(("cgroup", "sk_")) else []), "exit"]
    if "call f" in lines:
        offset, size = draw(st.sampled_from(loads))
        lines += [f"f: r0 = *(u{8 * size} *)(r1 + {offset})", "r0 += r2", "exit"]
    return "; ".join(lines)


def frames() -> st.SearchStrategy[bytes]:
    """Frames from 14 bytes on: that of the body, cut or with other bytes."""
    return st.one_of(
        st.integers(14, len(FRAME)).map(lambda size: FRAME[:size]), st.binary(min_size=14, max_size=80), st.just(FRAME)
    )
