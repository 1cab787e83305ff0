"""The command line: the group of verbs, exit codes, and the one place where errors become lines.

Exit codes: 0 yes; 1 the answer is no; 2 usage, unreadable, or refused by all; 3 a fault of crossbpf itself.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from importlib import import_module

import click

from bpf.errors import BadInput, CrossbpfError, Rejected
from crossbpf import __version__

OK, NO, UNUSABLE, BROKEN = 0, 1, 2, 3

VERBS = {
    "run": "crossbpf.running",
    **{name: f"crossbpf.{name}" for name in ("check", "verify", "trace", "conform", "fuzz", "plugin")},
    "asm": "crossbpf.asm",
    "disasm": "crossbpf.asm",
    **{name: f"crossbpf.{name}" for name in ("jit", "image", "mutants", "btf", "prog", "map", "features")},
    "net": "crossbpf.attaching",
    "cgroup": "crossbpf.attaching",
    "fire": "crossbpf.firing",
}
"""The verbs and the modules they are in, which are imported when they are asked for: a plugin starts often."""


class _Verbs(click.Group):
    """The group of verbs."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in VERBS:
            return None
        verb: click.Command = getattr(import_module(VERBS[cmd_name]), cmd_name)
        return verb


@click.group(cls=_Verbs, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="crossbpf")
def cli() -> None:
    """Run one eBPF program on every CPU: x86_64, arm64, riscv64, ppc64, ppc64le, s390x."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    try:
        code = cli.main(args=list(arguments), prog_name="crossbpf", standalone_mode=False)
        return code if isinstance(code, int) else OK
    except Rejected as error:
        report(error, as_json=_wants_record(arguments))
        return NO
    except CrossbpfError as error:
        return report(error, as_json=_wants_record(arguments))
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        return UNUSABLE
    except click.ClickException as error:
        return report(_usage(error, arguments), as_json=_wants_record(arguments))
    except (click.Abort, KeyboardInterrupt):
        click.echo("interrupted", err=True)
        return 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return OK
    except Exception as error:  # the last resort: a fault of ours is one line too
        if os.environ.get("CROSSBPF_DEBUG"):
            raise
        click.echo(
            f"crossbpf: internal error: {type(error).__name__}: {error} "
            "(a fault of crossbpf: please report it; CROSSBPF_DEBUG=1 shows where)",
            err=True,
        )
        return BROKEN


def _wants_record(arguments: Sequence[str]) -> bool:
    return not {"--json", "-j", "--pretty", "-p"}.isdisjoint(arguments)


def _usage(error: click.ClickException, arguments: Sequence[str]) -> BadInput:
    """What click has to say of a command line, as our errors are: one line, with the verb and where more is said."""
    command: click.Command | None = cli
    words: list[str] = []
    for word in arguments:  # click does not always say which verb it was
        command = command.get_command(click.Context(command), word) if isinstance(command, click.Group) else None
        if command is None:
            break
        words.append(word)
    remedy = f"see `{' '.join(['crossbpf', *words])} --help`"
    return BadInput(error.format_message().rstrip("."), place=" ".join(words), remedy=remedy)


def report(error: CrossbpfError, *, as_json: bool) -> int:
    """Say what was wrong, in one line or as a record."""
    if as_json:
        record = {"error": error.message, "file": error.file, "place": error.place, "remedy": error.remedy}
        click.echo(json.dumps(record))
    else:
        click.echo("crossbpf: " + " ".join(str(error).split()), err=True)
    return UNUSABLE
