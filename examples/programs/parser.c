/* A program for each protocol: each hands the packet on to the next one by a tail call, and notes how far it got. */
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/udp.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

enum { ETHERNET, IPV4, UDP, STAGES };

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, STAGES);
	__type(key, __u32);
	__type(value, __u64);
} reached SEC(".maps");

int parse_ipv4(struct xdp_md *ctx);
int parse_udp(struct xdp_md *ctx);

struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, STAGES + 1);
	__uint(key_size, sizeof(__u32));
	__array(values, int(struct xdp_md *));
} stages SEC(".maps") = {
	.values = {
		[IPV4] = &parse_ipv4,
		[UDP] = &parse_udp,
	},
};

static void reach(__u32 stage)
{
	__u64 *count = bpf_map_lookup_elem(&reached, &stage);

	if (count)
		__sync_fetch_and_add(count, 1);
}

SEC("xdp")
int parse(struct xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	struct ethhdr *eth = data;

	reach(ETHERNET);
	if ((void *)(eth + 1) > end)
		return XDP_DROP;
	if (eth->h_proto == bpf_htons(ETH_P_IP))
		bpf_tail_call(ctx, &stages, IPV4);
	if (eth->h_proto == bpf_htons(ETH_P_ARP))
		bpf_tail_call(ctx, &stages, STAGES); /* nobody is there: the call falls through */
	return XDP_PASS;
}

SEC("xdp")
int parse_ipv4(struct xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	struct iphdr *ip = data + sizeof(struct ethhdr);

	reach(IPV4);
	if ((void *)(ip + 1) > end || ip->version != 4)
		return XDP_DROP;
	if (ip->protocol == IPPROTO_UDP)
		bpf_tail_call(ctx, &stages, UDP);
	return XDP_PASS;
}

SEC("xdp")
int parse_udp(struct xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	struct udphdr *udp = data + sizeof(struct ethhdr) + sizeof(struct iphdr);

	reach(UDP);
	if ((void *)(udp + 1) > end)
		return XDP_DROP;
	return udp->dest == bpf_htons(9) ? XDP_DROP : XDP_PASS; /* the discard service */
}

char _license[] SEC("license") = "MIT";
