/* The ports of a cgroup: what it binds below 1024 is moved up by 8000, and each port is given once. */
#include <linux/bpf.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1024);
	__type(key, __u32);
	__type(value, __u32); /* the port that was asked for */
} given SEC(".maps");

SEC("cgroup/bind4")
int bind(struct bpf_sock_addr *ctx)
{
	__u32 asked = bpf_ntohs(ctx->user_port), port = asked;

	if (asked == 0)
		return 1; /* any will do */
	if (asked < 1024)
		port += 8000;
	if (bpf_map_update_elem(&given, &port, &asked, BPF_NOEXIST))
		return 0;
	ctx->user_port = bpf_htons(port);
	return 1;
}

char _license[] SEC("license") = "MIT";
