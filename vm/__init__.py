"""The reference machine: what should happen."""
