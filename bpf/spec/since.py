"""The kernel release that each helper came in, and releases in their order."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from bpf.spec.prototypes import PROTOTYPES

_UP_TO = (
    (3, "3.19"), (11, "4.1"), (16, "4.2"), (22, "4.3"), (25, "4.4"), (26, "4.5"), (30, "4.6"), (36, "4.8"),
    (41, "4.9"), (44, "4.10"), (45, "4.11"), (47, "4.12"), (50, "4.13"), (53, "4.14"), (57, "4.15"), (59, "4.16"),
    (64, "4.17"), (80, "4.18"), (83, "4.19"), (90, "4.20"), (92, "5.0"), (98, "5.1"), (108, "5.2"), (109, "5.3"),
    (110, "5.4"), (115, "5.5"), (118, "5.6"), (124, "5.7"), (135, "5.8"), (141, "5.9"), (155, "5.10"), (162, "5.11"),
    (163, "5.12"), (165, "5.13"), (168, "5.14"), (175, "5.15"), (179, "5.16"), (185, "5.17"), (193, "5.18"),
    (203, "5.19"), (207, "6.0"), (209, "6.1"), (211, "6.2"),
)  # fmt: skip

HELPERS: Mapping[int, str] = MappingProxyType(
    {number: next(release for last, release in _UP_TO if number <= last) for number in PROTOTYPES}
)
"""Number of a helper -> release, of every helper of Linux 6.12."""


def release(text: str) -> tuple[int, ...]:
    """A release as numbers that compare: "5.4" or "6.12.3-arch1" -> (5, 4), (6, 12). Raises ValueError."""
    first, dot, rest = text.strip().removeprefix("v").partition(".")
    second = rest.split(".")[0].split("-")[0]
    if not dot or not first.isdecimal() or not second.isdecimal():
        raise ValueError(text)
    return int(first), int(second)
