"""RISC-V: RV64GC, the lp64 calling convention; instructions of 4 bytes, and of 2 with the C extension."""
