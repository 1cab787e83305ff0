"""Conformance: the public suite's files."""
