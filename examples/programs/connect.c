/* Sends the connections of a cgroup to a proxy: who connects to a service gets the proxy's address instead. */
#include <linux/bpf.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

struct endpoint {
	__be32 address;
	__be16 port;
	__u16 unused;
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 64);
	__type(key, struct endpoint);
	__type(value, struct endpoint);
} proxies SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_QUEUE);
	__uint(max_entries, 16);
	__type(value, struct endpoint); /* where those wanted to go whom the proxy gets */
} wanted SEC(".maps");

SEC("cgroup/connect4")
int redirect(struct bpf_sock_addr *ctx)
{
	struct endpoint to = {.address = ctx->user_ip4, .port = ctx->user_port}, *proxy;

	if (to.port == bpf_htons(25))
		return 0; /* nobody sends mail from here */
	proxy = bpf_map_lookup_elem(&proxies, &to);
	if (!proxy)
		return 1;
	bpf_map_push_elem(&wanted, &to, BPF_EXIST);
	ctx->user_ip4 = proxy->address;
	ctx->user_port = proxy->port;
	return 1;
}

char _license[] SEC("license") = "MIT";
