"""What only the kernel puts into programs: a register, instructions and functions that no program as given names."""

from __future__ import annotations

from dataclasses import replace
from types import MappingProxyType

from bpf.isa import ROW, Insn, make

AX = 11
"""BPF_REG_AX: free for what is put in; no engine has it."""

PERCPU = replace(ROW["mov64_reg"], name="mov64_percpu", text="r{dst} = &(void __percpu *)(r{src})", select=("off", -1))
"""From an address in each CPU's memory to that of the running CPU: BPF_ADDR_PERCPU."""

NOSPEC = replace(ROW["st64"], name="nospec", opcode=0xC2, text="nospec", fields=frozenset())
"""No mispredicted path goes on behind it: BPF_ST | BPF_NOSPEC."""

_FUNCTIONS = (
    "arch_bpf_timed_may_goto", "bpf_skb_load_helper_8_no_cache", "bpf_skb_load_helper_16_no_cache",
    "bpf_skb_load_helper_32_no_cache", "__htab_map_lookup_elem", "array_map_update_elem", "array_map_delete_elem",
    "percpu_array_map_lookup_elem", "htab_map_lookup_elem", "htab_map_update_elem", "htab_map_delete_elem",
    "htab_percpu_map_lookup_elem", "htab_percpu_map_update_elem", "htab_lru_map_lookup_elem",
    "htab_lru_map_update_elem", "htab_lru_map_delete_elem", "htab_lru_percpu_map_lookup_elem",
    "htab_lru_percpu_map_update_elem", "trie_lookup_elem", "trie_update_elem", "trie_delete_elem",
    "queue_stack_map_push_elem", "queue_map_pop_elem", "queue_map_peek_elem", "stack_map_pop_elem",
    "stack_map_peek_elem", "bloom_map_push_elem", "bloom_map_peek_elem", "bpf_for_each_array_elem",
    "bpf_for_each_hash_elem", "dev_map_redirect", "dev_hash_map_redirect", "cpu_map_redirect", "xsk_map_redirect",
)  # fmt: skip
FUNCTIONS = MappingProxyType({-1 - number: name for number, name in enumerate(_FUNCTIONS)})
"""Number in a call -> function of the kernel's own. Helpers have numbers from 1 on."""

_NUMBERS = {name: number for number, name in FUNCTIONS.items()}


def call(name: str) -> Insn:
    """A call of one of FUNCTIONS."""
    return make(ROW["call_helper"], imm=_NUMBERS[name])


def percpu(dst: int, src: int) -> Insn:
    """See PERCPU."""
    return make(PERCPU, dst, src)
