/* Counts packets and bytes by the protocol of the network layer. */
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

struct count {
	__u64 packets;
	__u64 bytes;
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 16);
	__type(key, __u32);
	__type(value, struct count);
} counts SEC(".maps");

SEC("xdp")
int count(struct xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	struct ethhdr *eth = data;
	struct count first = {1, 0}, *found;
	__u32 key;

	if ((void *)(eth + 1) > end)
		return XDP_DROP;
	key = bpf_ntohs(eth->h_proto);
	first.bytes = end - data;
	found = bpf_map_lookup_elem(&counts, &key);
	if (!found) {
		bpf_map_update_elem(&counts, &key, &first, BPF_ANY);
		return XDP_PASS;
	}
	found->packets++;
	found->bytes += end - data;
	return XDP_PASS;
}
