"""The command line: the group of verbs, exit codes, and the one place where errors become lines.

Exit codes: 0 yes; 1 the answer is no; 2 usage, unreadable, or refused by all; 3 a fault of crossbpf itself.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence

import click

from bpf.errors import CrossbpfError
from crossbpf import __version__
from crossbpf.asm import asm, disasm
from crossbpf.check import check
from crossbpf.conform import conform
from crossbpf.fuzz import fuzz
from crossbpf.image import image
from crossbpf.jit import jit
from crossbpf.mutants import mutants
from crossbpf.plugin import plugin
from crossbpf.trace import trace

OK, NO, UNUSABLE, BROKEN = 0, 1, 2, 3


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="crossbpf")
def cli() -> None:
    """Run one eBPF program on every CPU: x86_64, arm64, riscv64, ppc64, ppc64le, s390x."""


for verb in (check, trace, conform, fuzz, plugin, asm, disasm, jit, image, mutants):
    cli.add_command(verb)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    try:
        code = cli.main(args=list(arguments), prog_name="crossbpf", standalone_mode=False)
        return code if isinstance(code, int) else OK
    except CrossbpfError as error:
        return report(error, as_json="--json" in arguments)
    except click.ClickException as error:
        error.show()
        return UNUSABLE
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


def report(error: CrossbpfError, *, as_json: bool) -> int:
    """Say what was wrong, in one line or as a record."""
    if as_json:
        record = {"error": error.message, "file": error.file, "place": error.place, "remedy": error.remedy}
        click.echo(json.dumps(record))
    else:
        click.echo("crossbpf: " + " ".join(str(error).split()), err=True)
    return UNUSABLE
