"""All mutants by name, those of the shared base first: a module of this package for it and for each backend."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from importlib import import_module

from bpf.errors import BadInput
from fuzz.mutants.mutant import Mutant
from fuzz.mutants.verifier_mutant import VerifierMutant
from jit.registry import TARGETS, backend, target

_FAMILIES = ("base", *dict.fromkeys(backend(machine).__module__.split(".")[1] for machine in TARGETS.values()))

MUTANTS: dict[str, Mutant] = {
    mutant.name: mutant for family in _FAMILIES for mutant in import_module(f"fuzz.mutants.{family}").MUTANTS
}

VERIFIER_FAMILIES = ("scalars", "branches", "memory", "paths")

VERIFIER_MUTANTS: dict[str, VerifierMutant] = {
    mutant.name: mutant
    for family in VERIFIER_FAMILIES
    for mutant in import_module(f"fuzz.mutants.verifier_{family}").MUTANTS
}


def named(names: Sequence[str] = (), targets: Sequence[str] | None = None) -> list[Mutant]:
    """The mutants whose names contain one of the names (default: all), and that change code of one of the targets.

    Raises BadInput for a name that no mutant has, and for a target that there is not.
    """
    _check(names, MUTANTS, "")
    wanted = {target(name) for name in targets} if targets is not None else None
    return [
        mutant
        for mutant in MUTANTS.values()
        if not names or any(name in mutant.name for name in names)
        if wanted is None or wanted & set(mutant.targets)
    ]


def named_verifier(names: Sequence[str] = ()) -> list[VerifierMutant]:
    """As `named`, for mutants of the verifier. Raises BadInput."""
    _check(names, VERIFIER_MUTANTS, " --verifier")
    return [one for one in VERIFIER_MUTANTS.values() if not names or any(name in one.name for name in names)]


def _check(names: Sequence[str], there: Iterable[str], option: str) -> None:
    for name in names:
        if not any(name in mutant for mutant in there):
            remedy = f"`crossbpf mutants{option} --list` shows the names"
            raise BadInput(f"no mutant is named {name!r}", remedy=remedy)
