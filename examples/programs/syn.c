/* Lets each sender open so many TCP connections; who has not been heard of for long is forgotten first. */
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/tcp.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 256);
	__type(key, __be32);
	__type(value, __u32);
} opened SEC(".maps");

volatile const __u32 most = 2;
__u64 refused;

SEC("xdp")
int syn(struct xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	struct ethhdr *eth = data;
	struct iphdr *ip = (void *)(eth + 1);
	struct tcphdr *tcp = (void *)(ip + 1);
	__u32 one = 1, *count;
	__be32 sender;

	if ((void *)(tcp + 1) > end || eth->h_proto != bpf_htons(ETH_P_IP))
		return XDP_PASS;
	if (ip->ihl != 5 || ip->protocol != IPPROTO_TCP || !tcp->syn || tcp->ack)
		return XDP_PASS;
	sender = ip->saddr;
	count = bpf_map_lookup_elem(&opened, &sender);
	if (!count) {
		bpf_map_update_elem(&opened, &sender, &one, BPF_ANY);
		return XDP_PASS;
	}
	if (__sync_fetch_and_add(count, 1) < most)
		return XDP_PASS;
	__sync_fetch_and_add(&refused, 1);
	return XDP_DROP;
}

char _license[] SEC("license") = "MIT";
