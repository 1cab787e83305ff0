"""The headers for C lay contexts out as bpf/spec does."""

from __future__ import annotations

from pathlib import Path

import pytest

from bpf.errors import NotHere
from bpf.spec.contexts import LAYOUTS
from crossbpf import cc

HEADED = (
    "xdp_md", "__sk_buff", "bpf_sock", "bpf_sock_addr", "bpf_sock_ops", "sk_msg_md", "bpf_sk_lookup", "sk_reuseport_md",
    "bpf_sysctl", "bpf_sockopt", "bpf_cgroup_dev_ctx",
)  # fmt: skip
"""The contexts that our own headers declare as structures."""


def test_the_headers_have_the_same_layouts(tmp_path: Path) -> None:
    lines = ["#include <linux/bpf.h>", "#include <bpf/bpf_helpers.h>"]
    for name in HEADED:
        lines.append(f'_Static_assert(sizeof(struct {name}) == {LAYOUTS[name].size}, "size");')
        lines += [
            f'_Static_assert(__builtin_offsetof(struct {name}, {one.name}) == {one.offset}, "{one.name}");'
            for one in LAYOUTS[name].fields
        ]
    path = tmp_path / "layouts.c"
    path.write_text("\n".join([*lines, 'SEC("xdp") int f(void) { return 0; }', ""]))
    try:
        cc.compile_c(path, "little")
    except NotHere as error:
        pytest.skip(str(error))
