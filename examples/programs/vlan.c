/* Takes the VLAN tag out of tagged frames, and puts one into the others: that of the interface they came from. */
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

struct tagged {
	__u8 addresses[2 * ETH_ALEN];
	__be16 outer; /* ETH_P_8021Q */
	__be16 tag;
	__be16 inner;
} __attribute__((packed));

#define TAG 4

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 8);
	__type(key, __u32);
	__type(value, __u32);
} tags SEC(".maps");

SEC("xdp")
int vlan(struct xdp_md *ctx)
{
	struct tagged *frame = (void *)(long)ctx->data;
	__u8 addresses[2 * ETH_ALEN];
	__u32 from = ctx->ingress_ifindex, *tag;

	if ((void *)(frame + 1) > (void *)(long)ctx->data_end)
		return XDP_DROP;
	__builtin_memcpy(addresses, frame->addresses, sizeof(addresses));
	if (frame->outer == bpf_htons(ETH_P_8021Q)) {
		if (bpf_xdp_adjust_head(ctx, TAG))
			return XDP_ABORTED;
		frame = (void *)(long)ctx->data;
		if ((void *)frame + sizeof(addresses) > (void *)(long)ctx->data_end)
			return XDP_ABORTED;
		__builtin_memcpy(frame->addresses, addresses, sizeof(addresses));
		return XDP_PASS;
	}
	tag = bpf_map_lookup_elem(&tags, &from);
	if (!tag || !*tag)
		return XDP_PASS;
	if (bpf_xdp_adjust_head(ctx, -TAG))
		return XDP_ABORTED;
	frame = (void *)(long)ctx->data;
	if ((void *)(frame + 1) > (void *)(long)ctx->data_end)
		return XDP_ABORTED;
	__builtin_memcpy(frame->addresses, addresses, sizeof(addresses));
	frame->outer = bpf_htons(ETH_P_8021Q);
	frame->tag = bpf_htons(*tag);
	return XDP_PASS;
}

char _license[] SEC("license") = "MIT";
