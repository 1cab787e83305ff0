/* Which local ports a tenant's addresses may be reached at; what is for another finds no socket. */
#include <linux/bpf.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#define SK_DROP 0
#define SK_PASS 1

struct ports {
	__u32 first;
	__u32 last;
};

struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 64);
	__uint(key_size, 8); /* prefix length, address */
	__type(value, struct ports);
} tenants SEC(".maps");

SEC("sk_lookup")
int steer(struct bpf_sk_lookup *ctx)
{
	__u32 key[2] = {32, ctx->local_ip4};
	struct ports *open = bpf_map_lookup_elem(&tenants, key);

	if (!open)
		return SK_PASS;
	return ctx->local_port >= open->first && ctx->local_port <= open->last ? SK_PASS : SK_DROP;
}

char _license[] SEC("license") = "MIT";
