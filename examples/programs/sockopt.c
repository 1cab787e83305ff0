/* Keeps the sockets of a cgroup from options that are none of its business, and counts what it asks for. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#define SOL_IP 0
#define SOL_SOCKET 1
#define SO_MARK 36
#define IP_TOS 1

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 64);
	__type(key, __u64); /* level << 32 | option */
	__type(value, __u64);
} asked SEC(".maps");

SEC("cgroup/setsockopt")
int set(struct bpf_sockopt *ctx)
{
	__u32 level = ctx->level, option = ctx->optname;
	__u64 key, one = 1, *count;
	__u8 *tos = ctx->optval;

	barrier_var(level); /* or big-endian clang loads both at once, which no verifier allows */
	key = (__u64)level << 32 | option;
	count = bpf_map_lookup_elem(&asked, &key);
	if (count)
		++*count;
	else
		bpf_map_update_elem(&asked, &key, &one, BPF_ANY);
	if (level == SOL_SOCKET && option == SO_MARK)
		return 0;
	if (level == SOL_IP && option == IP_TOS && (void *)(tos + 1) <= ctx->optval_end)
		*tos &= 0xfc; /* the class is theirs, congestion notification is not */
	return 1;
}

char _license[] SEC("license") = "MIT";
