"""Helper functions as data: number, name, how many arguments, since which kernel.

What a helper does is in vm/helpers; here is only what a program may call.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType


@dataclass(frozen=True, slots=True)
class Helper:
    """A helper function.

    arguments  how many of R1-R5 it reads
    callback   which of R1-R5 is a function that it calls, 0 for none
    inline     it is compiled code: nobody is called
    """

    number: int
    name: str
    arguments: int
    since: str
    callback: int = 0
    inline: bool = False


def _table(*helpers: Helper) -> Mapping[int, Helper]:
    return MappingProxyType({helper.number: helper for helper in helpers})


KERNEL = _table(
    Helper(5, "ktime_get_ns", 0, "4.1"),
    Helper(6, "trace_printk", 5, "4.1"),
    Helper(7, "get_prandom_u32", 0, "4.1"),
    Helper(8, "get_smp_processor_id", 0, "4.1"),
    Helper(12, "tail_call", 3, "4.2", inline=True),
    Helper(14, "get_current_pid_tgid", 0, "4.2"),
    Helper(15, "get_current_uid_gid", 0, "4.2"),
    Helper(16, "get_current_comm", 2, "4.2"),
    Helper(28, "csum_diff", 5, "4.6"),
    Helper(125, "ktime_get_boot_ns", 0, "5.8"),
    Helper(181, "loop", 4, "5.17", callback=2),
)
"""The kernel's helpers that exist here, by the kernel's number."""

SUITE = _table(Helper(5, "unwind", 1, ""))
"""The public conformance suite's helpers: "unwind" returns R1, and ends the whole run with R0 = 0 when that is 0."""
