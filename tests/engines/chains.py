"""Programs that tail-call each other: the same on every engine, the live kernel included."""

from __future__ import annotations

from dataclasses import dataclass

from bpf.plan import PLANS, Unit
from bpf.program import Map
from bpf.spec.conventions import PACKET
from bpf.text import assemble
from vm.world import Input

GIVEN = Input(packet=bytes(range(64)))
KEPT = Map("kept", value_size=64, initial=bytes(64))
KEEP, JUMP = "map_value[idx:0]", "r2 = map[idx:1]; call 12"


@dataclass(frozen=True, slots=True)
class Chain:
    """texts: the programs; programs: those in the prog array `jumps`, which is map 1 behind `kept`; r0: the result."""

    r0: int
    texts: tuple[str, ...]
    programs: tuple[int, ...]
    entries: int = 0

    def unit(self, order: str, plan: str = "high") -> Unit:
        """Bound to a plan."""
        jumps = Map("jumps", "prog_array", max_entries=self.entries or len(self.programs), programs=self.programs)
        programs = tuple(assemble(text, order=order) for text in self.texts)
        return Unit(programs, (KEPT, jumps), PACKET, PLANS[plan])


def counted(more: str) -> str:
    """Count the entries in word 0 of the map, then go on with R7 = its address, R8 = the count."""
    return f"r7 = {KEEP}[0]; r8 = *(u64 *)(r7 + 0); r8 += 1; *(u64 *)(r7 + 0) = r8; {more}"


def _index(r0: int, setup: str, entries: int = 2) -> Chain:
    return Chain(r0, (f"{setup}; {JUMP}; r0 = 1; exit", "r0 = 2; exit"), (-1, 1), entries)


def _turns(calls: int) -> Chain:
    """A program that wants so many tail calls of itself; R0 = entries * 1000 + 1 if the last one was not taken."""
    text = counted(
        f"r0 = r8; r0 *= 1000; if r8 > {calls} goto out; r9 = r0; r3 = 0; {JUMP}; r0 = r9; r0 += 1; out: exit"
    )
    return Chain(min(calls, 33) * 1000 + 1000 + (calls > 33), (text,), (0,))


def _saves(number: int, registers: str, following: int) -> str:
    """A program that writes some of R6-R9, and so saves those, and calls the next."""
    writes = "".join(f"r{register} = {number}{register}; " for register in registers)
    return f"{writes}r3 = {following}; {JUMP}; r0 = {number}; exit"


_DEEP = [(number, "fghijk"[number - 1], "ghijkl"[number - 1]) for number in range(1, 7)]
CHAINS = {
    "one": Chain(7, (f"r3 = 0; {JUMP}; r0 = 1; exit", "r0 = 7; exit"), (1,)),
    **{f"{calls} calls": _turns(calls) for calls in (31, 32, 33, 34)},
    "empty slot": _index(1, "r3 = 0"),
    "taken slot": _index(2, "r3 = 1"),
    "index beyond 32 bits": _index(2, "r3 = 0x100000001 ll"),
    "index with all bits above": _index(2, "r3 = 0xffffffff00000001 ll"),
    "index of the bound": _index(1, "r3 = 2"),
    "index of the bound beyond 32 bits": _index(1, "r3 = 0x100000002 ll"),
    "index -1": _index(1, "r3 = -1"),
    "index of the sign": _index(1, "r3 = 0x80000001 ll"),
    "slot that nobody filled": _index(1, "r3 = 5", entries=7),
    "a bound that is no immediate": _index(2, "r3 = 1", entries=5000),
    "main, function, main again": Chain(
        134, (f"call f; r0 += 1; exit; f: r3 = 0; {JUMP}; r0 = 100; exit",), (0,)
    ),
    "registers of the caller": Chain(
        1 + 22 + 33 + 44 + 7,
        ((f"r6 = 1; r7 = 22; r8 = 33; r9 = 44; call f; r0 += r6; r0 += r7; r0 += r8; r0 += r9; exit\n"
         f"f: r7 = 5; r9 = 6; r3 = 0; {JUMP}; r0 = 0; exit"), "r6 = 3; r8 = 4; r0 = r6; r0 += r8; exit"),
        (1,),
    ),
    "programs that save other registers": Chain(
        105,
        (f"r6 = 5; r9 = 100; call f; r0 = r6; r0 += r9; exit; f: r6 = 1; r3 = 0; {JUMP}; r0 = 9; exit",
         _saves(2, "6789", 1), _saves(3, "", 2), _saves(4, "7", 3), _saves(5, "69", 4), "r8 = 1; r0 = r8; exit"),
        (1, 2, 3, 4, 5),
    ),
    "from a function that calls": Chain(
        60,
        ((f"r9 = 20; call f; r0 += r9; exit\n"
         f"f: r6 = r1; call g; r1 = r6; r3 = 0; {JUMP}; r0 = 9; exit\ng: r0 = 2; exit"),
         "r6 = 30; call h; r0 += r6; exit; h: r6 = 10; r0 = r6; exit"), (1,),
    ),
    "failed, then taken": Chain(
        8, (f"r6 = r1; r3 = 9; {JUMP}; r7 = 3; r1 = r6; r3 = 0; {JUMP}; r1 = r6; r3 = 1; {JUMP}; r0 = 1; exit",
            "r0 = 8; exit"), (-1, 1),
    ),
    "one count for all frames": Chain(
        34,
        ((f"r6 = r1; call f; r1 = r6; call f; r1 = r6; call f; r7 = {KEEP}[0]; r0 = *(u64 *)(r7 + 0); exit\n"
         f"f: r3 = 0; {JUMP}; r7 = {KEEP}[0]; r8 = *(u64 *)(r7 + 0); r8 += 1; *(u64 *)(r7 + 0) = r8; r0 = 0; exit"),
         counted(f"r9 = r8; r9 %= 20; if r9 == 0 goto out; r3 = 0; {JUMP}; out: r0 = 0; exit")), (1,),
    ),
    "a count that is not given back": Chain(
        33 + 5,
        (counted(f"r6 = r1; call f; r1 = r6; call f; r1 = r6; call f; r1 = r6; call f; r1 = r6; call f\n"
                 f"r0 = *(u64 *)(r7 + 8); r1 = *(u64 *)(r7 + 16); r0 += r1; exit\n"
                 f"f: r3 = 0; r6 = {KEEP}[16]; r0 = *(u64 *)(r6 + 0); r0 += 1; *(u64 *)(r6 + 0) = r0\n"
                 f"{JUMP}; r0 = 0; exit"),
         f"r6 = {KEEP}[8]; r7 = *(u64 *)(r6 + 0); r7 += 1; *(u64 *)(r6 + 0) = r7; r3 = 0; {JUMP}; r0 = 0; exit"), (1,),
    ),
    "eight frames deep": Chain(
        28,
        ("call f; r0 += 1; exit; " + "".join(f"{name}: call {below}; r0 += {n}; exit; " for n, name, below in _DEEP)
         + f"l: r3 = 0; {JUMP}; r0 = 1000; exit", "r0 = 6; exit"), (1,),
    ),
    "the stack of the target": Chain(
        12,
        ((f"r6 = 5; *(u64 *)(r10 - 8) = r6; call f; r1 = *(u64 *)(r10 - 8); r0 += r1; exit\n"
         f"f: r6 = 99; *(u64 *)(r10 - 8) = r6; r3 = 0; {JUMP}; r0 = 0; exit"),
         "*(u64 *)(r10 - 8) = 7; call g; r0 = *(u64 *)(r10 - 8); exit; g: *(u64 *)(r10 - 8) = 3; r0 = 0; exit"),
        (1,),
    ),
}  # fmt: skip
