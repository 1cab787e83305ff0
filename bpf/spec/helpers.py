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
    Helper(1, "map_lookup_elem", 2, "3.19"),
    Helper(2, "map_update_elem", 4, "3.19"),
    Helper(3, "map_delete_elem", 2, "3.19"),
    Helper(5, "ktime_get_ns", 0, "4.1"),
    Helper(6, "trace_printk", 5, "4.1"),
    Helper(7, "get_prandom_u32", 0, "4.1"),
    Helper(8, "get_smp_processor_id", 0, "4.1"),
    Helper(12, "tail_call", 3, "4.2", inline=True),
    Helper(14, "get_current_pid_tgid", 0, "4.2"),
    Helper(15, "get_current_uid_gid", 0, "4.2"),
    Helper(16, "get_current_comm", 2, "4.2"),
    Helper(25, "perf_event_output", 5, "4.4"),
    Helper(28, "csum_diff", 5, "4.6"),
    Helper(87, "map_push_elem", 3, "4.20"),
    Helper(88, "map_pop_elem", 2, "4.20"),
    Helper(89, "map_peek_elem", 2, "4.20"),
    Helper(93, "spin_lock", 1, "5.1"),
    Helper(94, "spin_unlock", 1, "5.1"),
    Helper(125, "ktime_get_boot_ns", 0, "5.8"),
    Helper(130, "ringbuf_output", 4, "5.8"),
    Helper(131, "ringbuf_reserve", 3, "5.8"),
    Helper(132, "ringbuf_submit", 2, "5.8"),
    Helper(133, "ringbuf_discard", 2, "5.8"),
    Helper(134, "ringbuf_query", 2, "5.8"),
    Helper(181, "loop", 4, "5.17", callback=2),
    Helper(195, "map_lookup_percpu_elem", 3, "5.19"),
)
"""The kernel's helpers that exist here, by the kernel's number."""

SUITE = _table(Helper(5, "unwind", 1, ""))
"""The public conformance suite's helpers: "unwind" returns R1, and ends the whole run with R0 = 0 when that is 0."""
