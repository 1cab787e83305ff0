"""Names of sections as libbpf before 1.0 took them: by how they begin."""

from __future__ import annotations

from collections.abc import Iterable


def older(section: str, names: Iterable[str]) -> str:
    """The longest of `names` that a section's name begins with, as `xdp_prog`, `socket1`, `classifier/in`; "": none.

    A letter may not follow it: `tcp` is no tc, nor is `iterate` an iterator.
    """
    begun = (name for name in names if section.startswith(name) and not section[len(name) : len(name) + 1].isalpha())
    return max(begun, key=len, default="")
