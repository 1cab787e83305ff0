"""Mutants: faults that JITs have had, re-injected into ours one at a time, to measure what finds them."""

from fuzz.mutants.mutant import Edit, Mutant
from fuzz.mutants.parallel import Search, search_for
from fuzz.mutants.registry import MUTANTS, named
from fuzz.mutants.trial import Catch, Standing, Tester, fuzzer, suite, trials

__all__ = [
    "MUTANTS",
    "Catch",
    "Edit",
    "Mutant",
    "Search",
    "Standing",
    "Tester",
    "fuzzer",
    "named",
    "search_for",
    "suite",
    "trials",
]
