"""Programs at hooks: attach, detach, and in which order they run. Linux's rules and errors, by hook."""

from __future__ import annotations

from collections.abc import Iterator

from bpf.errors import BadInput, CallFailed
from bpf.spec.attach import attach_of
from bpf.spec.hooks import BY_PRIORITY, CGROUP, CGROUPS, CHAIN, DEVICE, HOOKS, MAP, NAMESPACE, ONE, Hook, of_section
from runtime.kernel import Attachment, Kernel, ProgramObject

MULTI, OVERRIDE = "multi", "override"
MOST = 64  # BPF_CGROUP_MAX_PROGS, BPF_MPROG_MAX


def hook_named(kernel: Kernel, text: str) -> tuple[Hook, str]:
    """A hook and its place from what a user writes: xdp:eth0, cgroup_device:/web, sk_msg_verdict:MAP. BadInput."""
    name, _, place = text.partition(":")
    hook = HOOKS.get(name)
    if hook is None:
        raise BadInput(f"no hook {name!r}", remedy="hooks: " + ", ".join(HOOKS))
    if hook.at == NAMESPACE:
        if place:
            raise BadInput(f"hook {name} belongs to the network namespace, of which there is one")
        return hook, ""
    if hook.at == CGROUP:
        return hook, "/" + "/".join(part for part in place.split("/") if part)
    if not place:
        raise BadInput(f"hook {name} belongs to a {hook.at}", remedy=f"write {name}:{hook.at.upper()}")
    if hook.at == MAP:
        found = [one for one in kernel.maps.values() if place in (one.name, f"#{one.id}")]
        if len(found) != 1:
            raise BadInput(f"{len(found) or 'no'} maps are named {place!r}", remedy="write the id behind a #")
        if not found[0].declared.kind.startswith("sock"):
            raise CallFailed("EOPNOTSUPP", f"map {place} of type {found[0].declared.kind} has no sockets")
        return hook, str(found[0].id)
    return hook, place


def shown(kernel: Kernel, name: str, place: str) -> str:
    """A hook and its place as a user writes them."""
    if HOOKS[name].at == MAP:
        same = [one for one in kernel.maps.values() if one.name == kernel.maps[int(place)].name]
        place = same[0].name if len(same) == 1 else f"#{place}"
    return f"{name}:{place}" if place else name


def own_hook(program: ProgramObject) -> tuple[Hook, str] | None:
    """The hook that the section of a program means, where its type is one that the hook takes."""
    found = of_section(program.program.section)
    return found if found is not None and program.type in found[0].types else None


def belongs(program: ProgramObject, hook: Hook, place: str) -> bool:
    """Whether a program is for a hook: its section means that, or it has none and its type fits."""
    if not program.program.section:
        return program.type in hook.types
    meant = own_hook(program)
    return meant is not None and meant[0] is hook and meant[1] in ("", place)


def auto(kernel: Kernel, program: ProgramObject) -> bool:
    """Attach a program to what its section names, kprobe/do_exit say; False where that is nothing. CallFailed."""
    meant = own_hook(program)
    if meant is None or not (meant[1] or meant[0].at == NAMESPACE):
        return False
    attach(kernel, program, *meant)
    return True


def at(kernel: Kernel, hook: Hook, place: str) -> list[Attachment]:
    """What is attached there, in the order in which it runs."""
    found = [one for one in kernel.attached if (one.hook, one.place) == (hook.name, place)]
    return sorted(found, key=lambda one: one.priority) if hook.rule == BY_PRIORITY else found


def effective(kernel: Kernel, hook: Hook, place: str) -> list[Attachment]:
    """What an event at a hook meets, in order; of a cgroup also the programs of the ones around it."""
    found = at(kernel, hook, place)
    if hook.at == CGROUP:
        for above in _above(place):
            there = at(kernel, hook, above)
            if not found or (there and there[0].flags == MULTI):
                found += there
    return found


def _above(path: str) -> Iterator[str]:
    """The cgroups that a cgroup is in, the nearest first."""
    while path != "/":
        path = path.rpartition("/")[0] or "/"
        yield path


def attach(
    kernel: Kernel, program: ProgramObject, hook: Hook, place: str, *, flags: str = "", overwrite: bool = False,
    prepend: bool = False, priority: int = 0,
) -> None:  # fmt: skip
    """Attach a program. Raises CallFailed.

    flags: of a cgroup, "multi" or "override". overwrite: take the place of the one that is there. prepend: before the
    others of a chain. priority: of a netfilter hook, the least first.
    """
    where = shown(kernel, hook.name, place)
    _check(program, hook, where, flags, overwrite=overwrite, prepend=prepend, priority=priority)
    there = at(kernel, hook, place)
    made = Attachment(hook.name, place, program.id, flags, priority)
    if hook.rule == CGROUPS:
        _to_cgroup(kernel, hook, place, there, made)
    elif hook.rule == ONE:
        if there and hook.at == DEVICE and not overwrite:
            raise CallFailed("EBUSY", f"{where} has a program", remedy="overwrite takes its place")
        if hook.at == MAP:
            _one_verdict(kernel, hook, place)
        kernel.attached = [one for one in kernel.attached if one not in there] + [made]
    elif any(one.program == program.id for one in there):
        raise CallFailed("EEXIST", f"program {program.name} is at {where} already")
    elif len(there) >= MOST:
        raise CallFailed("E2BIG", f"{where} has {MOST} programs")
    elif prepend:
        kernel.attached.insert(0, made)
    else:
        kernel.attached.append(made)


def _check(
    program: ProgramObject, hook: Hook, where: str, flags: str, *, overwrite: bool, prepend: bool, priority: int
) -> None:
    """Raise CallFailed EINVAL for what the hook does not take."""
    if program.type not in hook.types:
        takes = " or ".join(hook.types)
        raise CallFailed("EINVAL", f"program {program.name} is of type {program.type}, {hook.name} takes {takes}")
    section = program.program.section.removeprefix("?")
    meant = of_section(section)
    if attach_of(section) in ("xdp_devmap", "xdp_cpumap") and hook.name == "xdp":
        raise CallFailed("EINVAL", f"program {program.name} is for the entries of a map: {section}")
    if hook.strict and meant is not None and meant[0] is not hook:
        raise CallFailed("EINVAL", f"program {program.name} was loaded for {meant[0].name}")
    for given, fits, word in (
        (flags, hook.rule == CGROUPS, flags), (overwrite, hook.at == DEVICE and hook.rule == ONE, "overwrite"),
        (prepend, hook.rule == CHAIN, "prepend"), (priority, hook.rule == BY_PRIORITY, "priority"),
    ):  # fmt: skip
        if given and not fits:
            raise CallFailed("EINVAL", f"{word} means nothing at {where}")


def _to_cgroup(kernel: Kernel, hook: Hook, place: str, there: list[Attachment], made: Attachment) -> None:
    """Attach to a cgroup: what is above must allow it, and one cgroup has programs of one kind (cgroup_bpf_attach)."""
    for above in _above(place):
        around = at(kernel, hook, above)
        if around and around[0].flags == MULTI:
            break
        if around and around[0].flags != OVERRIDE:
            raise CallFailed("EPERM", f"the program of {hook.name}:{above} is for the cgroups in it, too")
        if around:
            break
    if there and there[0].flags != made.flags:
        kind = there[0].flags or "neither multi nor override"
        raise CallFailed("EPERM", f"the programs of {hook.name}:{place} were attached as {kind}")
    if made.flags != MULTI:
        kernel.attached = [one for one in kernel.attached if one not in there]
    elif any(one.program == made.program for one in there):
        raise CallFailed("EINVAL", f"the program is at {hook.name}:{place} already")
    elif len(there) >= MOST:
        raise CallFailed("E2BIG", f"{hook.name}:{place} has {MOST} programs")
    kernel.attached.append(made)


def _one_verdict(kernel: Kernel, hook: Hook, place: str) -> None:
    """A sockmap has a verdict on streams or on packets. Raises CallFailed EBUSY."""
    kinds = {"sk_skb_verdict": "sk_skb_stream_verdict", "sk_skb_stream_verdict": "sk_skb_verdict"}
    other = kinds.get(hook.name)
    if other is not None and at(kernel, HOOKS[other], place):
        raise CallFailed("EBUSY", f"{shown(kernel, other, place)} has a program")


def detach(kernel: Kernel, hook: Hook, place: str, program: ProgramObject | None = None) -> None:
    """Take a program away, None: all that are there. Raises CallFailed ENOENT."""
    gone = [one for one in at(kernel, hook, place) if program is None or one.program == program.id]
    if not gone:
        what = "no program" if program is None else f"program {program.name} is not"
        raise CallFailed("ENOENT", f"{what} at {shown(kernel, hook.name, place)}")
    kernel.attached = [one for one in kernel.attached if one not in gone]
