"""What every encoder shares: the error for operands that an instruction cannot hold."""

from __future__ import annotations


class Unencodable(ValueError):
    """An operand does not fit the instruction's field. An encoder never truncates."""
