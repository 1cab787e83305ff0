/* Which sockets a cgroup may have: no raw ones, a few of the others; each gets the mark of its kind. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#define STREAM 1
#define DATAGRAM 2

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 4);
	__type(key, __u32);
	__type(value, __u32);
} made SEC(".maps");

SEC("cgroup/sock_create")
int create(struct bpf_sock *ctx)
{
	__u32 kind = ctx->type, *count;

	if (kind != STREAM && kind != DATAGRAM)
		return 0;
	count = bpf_map_lookup_elem(&made, &kind);
	if (!count || *count >= 2)
		return 0;
	++*count;
	ctx->mark = 0x100 + kind;
	ctx->priority = kind == STREAM ? 2 : 6;
	return 1;
}

char _license[] SEC("license") = "MIT";
