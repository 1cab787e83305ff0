"""s390x: IBM Z in 64-bit addressing mode (z13), big-endian, variable-length code."""
