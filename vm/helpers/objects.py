"""Kernel functions on tasks and cgroups: World.tasks and World.cgroup_objects say where their structures are."""

from __future__ import annotations

from collections.abc import Sequence

from vm.helpers.base import Place

M32 = (1 << 32) - 1


def acquire(place: Place, arguments: Sequence[int]) -> int:
    """R1 itself, which is now held; the World counts who holds what."""
    held = place.world.held
    held[arguments[0]] = held.get(arguments[0], 0) + 1
    return arguments[0]


def release(place: Place, arguments: Sequence[int]) -> int:
    """R1 is no longer held."""
    held = place.world.held
    held[arguments[0]] = held.get(arguments[0], 0) - 1
    if not held[arguments[0]]:
        del held[arguments[0]]
    return 0


def _held(place: Place, address: int) -> int:
    return acquire(place, (address,)) if address else 0


def task_from_pid(place: Place, arguments: Sequence[int]) -> int:
    """The task of pid R1, held; 0 for none."""
    pid, world = arguments[0] & M32, place.world
    return _held(place, world.tasks.get(pid, world.task if pid == world.pid_tgid & M32 else 0))


def task_under_cgroup(place: Place, arguments: Sequence[int]) -> int:
    """Whether the current task R1 is in cgroup R2 or below; no other task is in one."""
    world = place.world
    own = {world.cgroup_objects.get(number) for number in world.cgroups}
    return int(arguments[0] == world.task and arguments[1] in own)


def cgroup_from_id(place: Place, arguments: Sequence[int]) -> int:
    """The cgroup of id R1, held; 0 for none."""
    return _held(place, place.world.cgroup_objects.get(arguments[0], 0))


def cgroup_ancestor(place: Place, arguments: Sequence[int]) -> int:
    """The ancestor of cgroup R1 at level R2, held; 0 for none. Of cgroups that are not the task's nothing is known."""
    world, level = place.world, arguments[1] & M32
    ids = [number for number in world.cgroups if world.cgroup_objects.get(number) == arguments[0]]
    if not ids or level > world.cgroups.index(ids[0]):
        return 0
    return _held(place, world.cgroup_objects.get(world.cgroups[level], 0))
