"""Every encoder against outside judges: the vectors (GNU as, LLVM), Capstone, Keystone."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from types import ModuleType

import pytest

from jit.encoding import Unencodable
from jit.registry import TARGETS
from jit.target import Target
from tests.jit.judges import (
    Vector,
    disassemble,
    encoder,
    evaluate,
    exemptions,
    in_memory,
    names_in,
    refused,
    vectors,
)

each_target = pytest.mark.parametrize("target", TARGETS.values(), ids=list(TARGETS))

KEYSTONE = {  # Capstone's name of an architecture -> Keystone's, and its mode for little- and big-endian code
    "CS_ARCH_X86": ("KS_ARCH_X86", "KS_MODE_64", ""),
    "CS_ARCH_ARM64": ("KS_ARCH_ARM64", "KS_MODE_LITTLE_ENDIAN", ""),
    "CS_ARCH_PPC": ("KS_ARCH_PPC", "KS_MODE_PPC64", "KS_MODE_BIG_ENDIAN"),
    "CS_ARCH_SYSZ": ("KS_ARCH_SYSTEMZ", "KS_MODE_BIG_ENDIAN", "KS_MODE_BIG_ENDIAN"),
}


def report(failures: list[str]) -> None:
    """Fail with all of them, the first fifty in full."""
    assert not failures, "\n".join([f"{len(failures)} failures", *failures[:50]])


def public_functions(module: ModuleType) -> set[str]:
    """Names of the encoders: what can be called, is no class, and was made in the module."""
    return {
        name
        for name, value in vars(module).items()
        if not name.startswith("_")
        and callable(value)
        and not isinstance(value, type)
        and getattr(value, "__module__", "") == module.__name__
    }


@each_target
def test_calls_give_the_bytes(target: Target) -> None:
    encode, failures = encoder(target), []
    for vector in vectors(target):
        try:
            code = in_memory(evaluate(vector.call, encode), target, len(vector.code))
        except Exception as problem:  # noqa: BLE001 (all lines are judged before the test fails)
            failures.append(f"{vector.place}: {vector.call}: {problem!r}")
            continue
        if code != vector.code:
            failures.append(f"{vector.place}: {vector.call} gives {code.hex()}, {vector.text} is {vector.code.hex()}")
    report(failures)


@each_target
def test_every_encoder_has_a_vector(target: Target) -> None:
    encode = encoder(target)
    functions = public_functions(encode)
    assert functions, f"{encode.__name__} has no encoders"
    mentioned = set().union(*(names_in(vector.call) for vector in vectors(target)))
    assert not functions - mentioned, f"no vector for {sorted(functions - mentioned)}"


@each_target
def test_the_refused_are_refused(target: Target) -> None:
    encode, failures = encoder(target), []
    calls = refused(target)
    assert calls, "no refused calls"
    for place, call in calls:
        try:
            failures.append(f"{place}: {call} gives {evaluate(call, encode)!r}")
        except Unencodable:
            continue
        except Exception as problem:  # noqa: BLE001 (all lines are judged before the test fails)
            failures.append(f"{place}: {call}: {problem!r}")
    report(failures)


def decoded_alone(target: Target, vector: Vector) -> bool:
    """Whether Capstone takes the bytes for exactly one instruction."""
    return [size for size, _, _ in disassemble(target, vector.code)] == [len(vector.code)]


@each_target
def test_capstone_decodes_each(target: Target) -> None:
    excused = exemptions(target, "capstone")
    covered = {vector for exemption in excused for vector in vectors(target) if exemption.covers(vector)}
    report([
        f"{vector.place}: {vector.text} is {disassemble(target, vector.code)} in Capstone"
        for vector in vectors(target)
        if vector not in covered and not decoded_alone(target, vector)
    ])  # fmt: skip


@each_target
def test_what_capstone_is_excused_from_it_cannot_decode(target: Target) -> None:
    failures = []
    for exemption in exemptions(target, "capstone"):
        covered = [vector for vector in vectors(target) if exemption.covers(vector)]
        if not covered:
            failures.append(f"{exemption.place}: {exemption.pattern} matches no vector")
        failures += [
            f"{exemption.place}: Capstone knows {vector.text}" for vector in covered if decoded_alone(target, vector)
        ]
    report(failures)


def keystone_of(target: Target) -> Callable[[str], bytes | None]:
    """Text -> bytes, or None where Keystone does not know the text. Skips where there is no Keystone for the target."""
    keystone = pytest.importorskip("keystone", reason="Keystone has wheels for x86-64 hosts only")
    if target.capstone[0] not in KEYSTONE:
        pytest.skip(f"Keystone does not know {target.name}")
    arch, little, big = KEYSTONE[target.capstone[0]]
    mode = getattr(keystone, little)
    if target.order == "big":
        mode |= getattr(keystone, big)
    assembler = keystone.Ks(getattr(keystone, arch), mode)

    def assemble(text: str) -> bytes | None:
        try:
            code, _ = assembler.asm(at_zero(text), 0)
        except keystone.KsError:
            return None
        return bytes(code) if code else None

    return assemble


def at_zero(text: str) -> str:
    """The text with distances from the instruction (`.+20`) as addresses, the instruction being at 0."""
    return re.sub(r"(?<![\w.])\.([+-])(\d+|0x[0-9a-f]+)", lambda found: str(int(found[1] + found[2], 0)), text)


def judged(target: Target) -> Iterator[tuple[Vector, bytes]]:
    """The vectors that Keystone knows, with what it makes of them."""
    assemble = keystone_of(target)
    for vector in vectors(target):
        code = assemble(vector.text)
        if code is not None:
            yield vector, code


@each_target
def test_keystone_agrees(target: Target) -> None:
    excused = exemptions(target, "keystone")
    asked, failures, used = 0, [], set()
    for vector, code in judged(target):
        same = code == vector.code or disassemble(target, code) == (disassemble(target, vector.code) or None)
        covering = [exemption for exemption in excused if exemption.covers(vector)]
        if covering and same:
            failures.append(f"{covering[0].place}: Keystone agrees about {vector.text}")
        elif not covering and not same:
            failures.append(f"{vector.place}: {vector.text} is {code.hex()} in Keystone, not {vector.code.hex()}")
        used.update(covering)
        asked += not covering
    failures += [f"{unused.place}: {unused.pattern} matches nothing" for unused in excused if unused not in used]
    report(failures)
    assert asked * 2 > len(vectors(target)), f"Keystone knew only {asked} of {len(vectors(target))}"
