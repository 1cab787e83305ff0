"""The body of real programs (examples/programs): what each is given, what it answers, what it leaves."""

from __future__ import annotations

from tests.programs.on_packets import ON_PACKETS
from tests.programs.on_sockets import ON_SOCKETS
from tests.programs.said import Body

BODY: dict[str, Body] = {**ON_PACKETS, **ON_SOCKETS}
