/* Tells user space of fragments, which a firewall cannot judge: a record with the start of the packet behind it. */
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/ip.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

struct event {
	__be32 from;
	__u16 id;
	__u16 offset; /* bytes */
};

struct {
	__uint(type, BPF_MAP_TYPE_PERF_EVENT_ARRAY);
	__uint(max_entries, 4);
	__type(key, __u32);
	__type(value, __u32);
} events SEC(".maps");

#define START (sizeof(struct ethhdr) + sizeof(struct iphdr))

SEC("xdp")
int fragments(struct xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	struct ethhdr *eth = data;
	struct iphdr *ip = (void *)(eth + 1);
	struct event event;
	__u16 fragment;

	if ((void *)(ip + 1) > end || eth->h_proto != bpf_htons(ETH_P_IP))
		return XDP_PASS;
	fragment = bpf_ntohs(ip->frag_off);
	if (!(fragment & (IP_MF | IP_OFFSET)))
		return XDP_PASS;
	event.from = ip->saddr;
	event.id = bpf_ntohs(ip->id);
	event.offset = (fragment & IP_OFFSET) * 8;
	if (bpf_perf_event_output(ctx, &events, BPF_F_CURRENT_CPU | (__u64)START << 32, &event, sizeof(event)))
		return XDP_ABORTED;
	return XDP_DROP;
}

char _license[] SEC("license") = "GPL";
