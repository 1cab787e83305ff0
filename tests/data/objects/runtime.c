#include <bpf/bpf_helpers.h>
struct { __uint(type, BPF_MAP_TYPE_HASH); __uint(max_entries, 8); __type(key, __u32); __type(value, __u64); } counts SEC(".maps");
struct { __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY); __uint(max_entries, 2); __type(key, __u32); __type(value, __u64); } each SEC(".maps");
int last(void *ctx);
struct { __uint(type, BPF_MAP_TYPE_PROG_ARRAY); __uint(max_entries, 4); __uint(key_size, 4); __array(values, int(void *)); } jumps SEC(".maps") = { .values = { [1] = (void *)&last } };
__u64 seen;
const volatile __u64 step = 2;
SEC("xdp") int count(void *ctx)
{
	__u32 key = 7; __u64 one = 1, *value = bpf_map_lookup_elem(&counts, &key);
	if (value) __sync_fetch_and_add(value, 1); else bpf_map_update_elem(&counts, &key, &one, BPF_ANY);
	seen += step;
	return 2;
}
SEC("xdp") int last(void *ctx) { __u32 k = 1; __u64 *v = bpf_map_lookup_elem(&each, &k); if (v) *v += 1; return 5; }
SEC("xdp") int jump(void *ctx) { bpf_tail_call(ctx, &jumps, 1); return 1; }
char _license[] SEC("license") = "GPL";
