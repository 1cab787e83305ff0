/* Hands packets to the CPUs in turn by their flow, so that a flow stays on one: a queue of a card, in software. */
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/ip.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#define CPUS 4

struct {
	__uint(type, BPF_MAP_TYPE_CPUMAP);
	__uint(max_entries, CPUS);
	__type(key, __u32);
	__type(value, __u32); /* how many packets may wait */
} cpus SEC(".maps");

SEC("xdp")
int spread(struct xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	struct ethhdr *eth = data;
	struct iphdr *ip = (void *)(eth + 1);
	__u32 hash;

	if ((void *)(ip + 1) > end || eth->h_proto != bpf_htons(ETH_P_IP))
		return XDP_PASS;
	hash = bpf_ntohl(ip->saddr ^ ip->daddr);
	hash ^= hash >> 16;
	hash ^= hash >> 8;
	return bpf_redirect_map(&cpus, hash % CPUS, XDP_DROP);
}

char _license[] SEC("license") = "MIT";
