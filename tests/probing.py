"""Hold the tables of helpers against the live kernel: `python -m tests.probing`. It loads programs, and runs none.

Printed is each difference; the exit code is 1 if there is one. What the kernel was built without, and types that it
does not load here, are left out.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterable, Iterator
from functools import cache

from bpf.isa import ROW, make
from bpf.program import program
from bpf.spec.attach import ATTACH_TYPES
from bpf.spec.callers import allowed, callers
from bpf.spec.maps import MAP_TYPES, RULES
from bpf.spec.program_types import PROGRAM_TYPES
from bpf.spec.prototypes import PROTOTYPES
from bpf.spec.signatures import EXPECTED, Signature, signature
from bpf.text import assemble
from engines import syscall
from engines.function_info import function_info

NOT_BUILT = frozenset({"probe_write_user", "override_return"})
"""Helpers that a kernel may be configured without, and say so as if the type could not have them."""
CALLS = {number: program([make(ROW["call_helper"], imm=number), make(ROW["exit"])]).encode() for number in PROTOTYPES}
RELEASE = "6.18"
"""The kernel that the tables are of; others have other helpers."""
LEAVE = "r0 = 0; exit"
PACKETS = {"xdp": (0, 4), "sched_cls": (76, 80), "lwt_xmit": (76, 80), "sk_skb": (76, 80)}
"""Types with a packet -> offsets of data and data_end in the context."""


def answer(code: bytes, kind: str, attach: int = 0, *, license: str = "GPL", functions: tuple[int, ...] = ()) -> str:
    """The verifier's first line, "" where it takes the program."""
    info = function_info(functions, sys.byteorder) if functions else None
    try:
        number = PROGRAM_TYPES[kind].number
        descriptor, _ = syscall.load(code, kind=number, attach=attach, license_name=license, functions=info)
    except syscall.LoadError as error:
        return error.log.partition("\n")[0] or f"errno {error.errno}"
    os.close(descriptor)
    return ""


@cache
def attaches(kind: str) -> tuple[str, ...]:
    """The attach types with which the kernel loads a type; the first alone where it does not look at them."""
    code = assemble(LEAVE, order=sys.byteorder).encode()
    found = tuple(name for name, number in ATTACH_TYPES.items() if not answer(code, kind, number))
    found = found[kind == "cgroup_sock" :]  # where number 0 stands for another
    return (
        found[:1]
        if len(found) == len(ATTACH_TYPES) and not kind.startswith(("kprobe", "sock_ops", "cgroup"))
        else found
    )


def sets(kinds: Iterable[str] = PROGRAM_TYPES, numbers: Iterable[int] = PROTOTYPES) -> Iterator[str]:
    """What is different about which types, loaded for what, may call which helpers."""
    for kind in kinds:
        for attach in attaches(kind):
            table = allowed(kind, attach)
            for number in numbers:
                name = PROTOTYPES[number].name
                said = answer(CALLS[number], kind, ATTACH_TYPES[attach])
                may = "cannot use helper" not in said and "invalid func" not in said
                if may != (number in table) and name not in NOT_BUILT:
                    yield f"{kind} {attach}: {name} is {'allowed' if may else 'refused'} there: {said}"


def properties(numbers: Iterable[int] = PROTOTYPES) -> Iterator[str]:
    """What is different about licenses and sleeping."""
    for number in numbers:
        for kind in callers(number):
            attach = next((one for one in attaches(kind) if number in allowed(kind, one)), "")
            if not attach or PROTOTYPES[number].name in NOT_BUILT:
                continue
            one = signature(number, kind, attach)
            said = answer(CALLS[number], kind, ATTACH_TYPES[attach], license="none")
            if ("GPL-restricted" in said) != one.gpl_only:
                yield f"{kind}: {PROTOTYPES[number].name} without a license: {said}"
            said = answer(CALLS[number], kind, ATTACH_TYPES[attach])
            if ("might sleep" in said) != (one.might_sleep and kind != "syscall"):
                yield f"{kind}: {PROTOTYPES[number].name} without sleep: {said}"


def _given(register: int, base: str, size: int, map_: int) -> str:
    """Text that gives a register what a kind of argument takes; "" where that is not at hand."""
    on_stack = f"r{register} = r10; r{register} += {-64 if size == 0 else -128};"
    return {
        "ARG_PTR_TO_CTX": f"r{register} = r6;",
        "ARG_CONST_MAP_PTR": f"r{register} = map[fd:{map_}];" if map_ else "",
        "ARG_PTR_TO_MAP_KEY": on_stack,
        "ARG_PTR_TO_MAP_VALUE": on_stack,
        "ARG_PTR_TO_MEM": on_stack,
        "ARG_PTR_TO_STACK": f"r{register} = 0;",
        "ARG_PTR_TO_FUNC": f"r{register} = func[back];",
    }.get(base, "" if base.startswith("ARG_PTR") or base == "ARG_KPTR_XCHG_DEST" else f"r{register} = 8;")


def _map_of(name: str) -> int:
    """A descriptor of a map that a helper takes, 0 where there is none."""
    kind = next((kind for kind, rules in RULES.items() if name in rules.helpers), "")
    if not kind or "of_maps" in kind or kind.endswith("storage"):  # these are made with types
        return 0
    rules = RULES[kind]
    key, value = (max(least, min(8, most)) for least, most in (rules.keys, rules.values))
    entries = 4096 if not rules.values[1] else 1
    return syscall.create_map("probe", MAP_TYPES[kind].number, key, value, entries, rules.needs)


def arguments(numbers: Iterable[int] = PROTOTYPES) -> Iterator[str]:
    """What is different about the arguments' kinds, as far as the ones before can be given."""
    for number in numbers:
        tried: set[Signature] = set()
        for kind in callers(number):
            attach = next((one for one in attaches(kind) if number in allowed(kind, one)), "")
            one = signature(number, kind, attach)
            if not attach or one in tried or one.restricted or PROTOTYPES[number].name in NOT_BUILT:
                continue
            if one.might_sleep and kind != "syscall":
                continue
            tried.add(one)
            map_ = _map_of(PROTOTYPES[number].name)
            try:
                for register in range(1, 6):
                    wanted = _expected(one, register)
                    found = _found(number, one, register, kind, ATTACH_TYPES[attach], map_)
                    if found is None:
                        break
                    if found != wanted:
                        yield f"{kind}: {PROTOTYPES[number].name} R{register}: {found or 'anything'}, not {wanted}"
            finally:
                if map_:
                    os.close(map_)


def _expected(one: Signature, register: int) -> str:
    kind = one.arguments[register - 1] if register <= len(one.arguments) else None
    if kind is None or kind.base == "ARG_ANYTHING":
        return ""
    return EXPECTED[kind.base]


def _found(number: int, one: Signature, register: int, kind: str, attach: int, map_: int) -> str | None:
    """What the verifier expects in a register, "" for anything; None where the ones before cannot be given."""
    text = "r6 = r1;" + "".join(f"*(u64 *)(r10 - {at}) = 0;" for at in range(8, 136, 8))
    for before, argument in enumerate(one.arguments[: register - 1], 1):
        given = _given(before, argument.base, argument.size, map_)
        if not given:
            return None
        text += given
    scalar = _expected(one, register) == "scalar"
    for after in range(register, 6):
        text += f"r{after} = {'r10' if scalar and after == register else 1};"
    back = "; back:; r0 = 0; exit" if "[back]" in text else ""
    made = assemble(f"{text} call {number}; {LEAVE}{back}".replace(";", "\n"), order=sys.byteorder)
    starts = tuple(function.start for function in made.functions)
    said = answer(made.encode(), kind, attach, functions=starts if back else ())
    match = re.match(rf"R{register} type=\S+ expected=(.*)", said)
    return match[1].strip() if match else ""


def packets(numbers: Iterable[int] = PROTOTYPES) -> Iterator[str]:
    """What is different about pointers into the packet after a call, and about references that it gives."""
    for number in numbers:
        for kind, (data, end) in PACKETS.items():
            if number not in allowed(kind):
                continue
            one = signature(number, kind)
            map_ = _map_of(PROTOTYPES[number].name)
            given = [_given(n, kind.base, kind.size, map_) for n, kind in enumerate(one.arguments, 1)]
            text = "r6 = r1;" + "".join(f"*(u64 *)(r10 - {at}) = 0;" for at in range(8, 136, 8))
            text += f"r7 = *(u32 *)(r6 + {data}); r2 = *(u32 *)(r6 + {end}); r3 = r7; r3 += 8; if r3 > r2 goto out;"
            text += "".join(given) + f"call {number}; r1 = *(u8 *)(r7 + 0); out:; {LEAVE}"
            possible = all(given) and not one.might_sleep and "[back]" not in text
            said = answer(assemble(text.replace(";", "\n"), order=sys.byteorder).encode(), kind) if possible else ""
            if map_:
                os.close(map_)
            if not possible:
                continue
            name = PROTOTYPES[number].name
            if ("R7 invalid mem access" in said) != one.changes_packet:
                yield f"{kind}: the packet after {name}: {said}"
            if said.startswith("Unreleased reference") != one.acquires:
                yield f"{kind}: a reference of {name}: {said}"


def main() -> int:
    """Print every difference."""
    found = False
    for difference in (*sets(), *properties(), *arguments(), *packets()):
        found = True
        sys.stdout.write(difference + "\n")
    return int(found)


if __name__ == "__main__":
    sys.exit(main())
