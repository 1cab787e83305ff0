"""How a program is verified: who asks, how strictly, how long, how much is written down."""

from __future__ import annotations

from dataclasses import dataclass

from bpf.spec.layout import CPUS

BPF, PERFMON, NET_ADMIN, SYS_ADMIN = "CAP_BPF", "CAP_PERFMON", "CAP_NET_ADMIN", "CAP_SYS_ADMIN"
ALL = frozenset({BPF, PERFMON, NET_ADMIN, SYS_ADMIN})


@dataclass(frozen=True, slots=True)
class Options:
    """Options of one verification.

    caps       capabilities of who loads the program; none: unprivileged
    strict     BPF_F_STRICT_ALIGNMENT; any_alignment: BPF_F_ANY_ALIGNMENT; frequent: BPF_F_TEST_STATE_FREQ
    log_level  0 none, 1 the path to the verdict, 2 everything; 4 is added for the line of figures
    prune      whether a state that an explored one covers is left out
    processed  how many instructions may be processed; sequence: how many jumps may wait to be explored
    seconds    time limit, 0 for none
    cpus       how many CPUs there are
    merge      try first with one state for each block entry (merge.py)
    """

    caps: frozenset[str] = ALL
    strict: bool = False
    frequent: bool = False
    any_alignment: bool = False
    log_level: int = 1
    prune: bool = True
    processed: int = 1_000_000
    sequence: int = 8192
    seconds: float = 0.0
    cpus: int = CPUS
    merge: bool = False


def holds(caps: frozenset[str], capability: str) -> bool:
    """Whether somebody may do what needs a capability; CAP_SYS_ADMIN stands for each of them."""
    return capability in caps or SYS_ADMIN in caps
