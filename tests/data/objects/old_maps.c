/* The old section maps, with a struct that is longer than what is known. */
#include <bpf/bpf_helpers.h>

struct old_map {
	unsigned type, key_size, value_size, max_entries, map_flags, more[2];
};

struct old_map counts SEC("maps") = { BPF_MAP_TYPE_HASH, 4, 8, 16, BPF_F_NO_PREALLOC };
struct old_map table SEC("maps") = { BPF_MAP_TYPE_ARRAY, 4, 12, 3 };

SEC("socket") int old(void *ctx)
{
	__u32 key = 0;
	return bpf_map_lookup_elem(&table, &key) || bpf_map_lookup_elem(&counts, &key);
}
