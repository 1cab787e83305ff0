"""Mutants: faults that JITs and verifiers have had, re-injected into ours one at a time, to measure what finds them."""

from fuzz.mutants.mutant import Edit, Mutant
from fuzz.mutants.parallel import Search, search_for
from fuzz.mutants.registry import MUTANTS, VERIFIER_MUTANTS, named, named_verifier
from fuzz.mutants.trial import Catch, Named, Standing, Tester, fuzzer, suite, trials
from fuzz.mutants.verifier_mutant import VerifierMutant

__all__ = [
    "MUTANTS",
    "VERIFIER_MUTANTS",
    "Catch",
    "Edit",
    "Mutant",
    "Named",
    "Search",
    "Standing",
    "Tester",
    "VerifierMutant",
    "fuzzer",
    "named",
    "named_verifier",
    "search_for",
    "suite",
    "trials",
]
