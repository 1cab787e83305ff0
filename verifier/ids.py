"""Ids of two states side by side (check_ids of Linux 6.18)."""

from __future__ import annotations


class Ids:
    """Which id of the old state stands for which of the new."""

    __slots__ = ("made", "pairs")

    def __init__(self, last: int) -> None:
        self.pairs: list[tuple[int, int]] = []
        self.made = last

    def same(self, old: int, new: int) -> bool:
        if not old or not new:
            return old == new
        for one, other in self.pairs:
            if one == old:
                return other == new
            if other == new:
                return False
        self.pairs.append((old, new))
        return True

    def scalars(self, old: int, new: int) -> bool:
        """As `same`; a scalar without an id is linked to itself alone."""
        if not old and not new:
            return True
        if not old:
            self.made += 1
            old = self.made
        if not new:
            self.made += 1
            new = self.made
        return self.same(old, new)
