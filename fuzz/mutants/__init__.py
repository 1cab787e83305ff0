"""Mutants: faults that JITs have had, re-injected into ours one at a time, to measure what finds them."""

from fuzz.mutants.mutant import Edit, Mutant
from fuzz.mutants.registry import MUTANTS, named
from fuzz.mutants.trial import Catch, Standing, Tester, fuzzer, suite, trials

__all__ = ["MUTANTS", "Catch", "Edit", "Mutant", "Standing", "Tester", "fuzzer", "named", "suite", "trials"]
