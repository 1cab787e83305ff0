"""Finding differences: generated programs, oracles, the conformance suite."""
