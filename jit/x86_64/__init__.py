"""x86-64: System V calling convention, variable-length code."""
