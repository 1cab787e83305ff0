/* Sends frames out of the interface that a table has for their destination address; the others go to the host. */
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <bpf/bpf_helpers.h>

struct {
	__uint(type, BPF_MAP_TYPE_DEVMAP);
	__uint(max_entries, 16);
	__type(key, __u32);
	__type(value, __u32); /* number of an interface */
} ports SEC(".maps");

struct mac {
	__u8 bytes[ETH_ALEN];
	__u16 unused;
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 64);
	__type(key, struct mac);
	__type(value, __u32); /* the port that it has been seen at */
} learned SEC(".maps");

SEC("xdp")
int forward(struct xdp_md *ctx)
{
	struct ethhdr *eth = (void *)(long)ctx->data;
	struct mac from = {}, to = {};
	__u32 here = ctx->ingress_ifindex, *port;

	if ((void *)(eth + 1) > (void *)(long)ctx->data_end)
		return XDP_DROP;
	__builtin_memcpy(from.bytes, eth->h_source, ETH_ALEN);
	__builtin_memcpy(to.bytes, eth->h_dest, ETH_ALEN);
	bpf_map_update_elem(&learned, &from, &here, BPF_ANY);
	port = bpf_map_lookup_elem(&learned, &to);
	if (!port)
		return XDP_PASS;
	return bpf_redirect_map(&ports, *port, XDP_PASS);
}

char _license[] SEC("license") = "MIT";
