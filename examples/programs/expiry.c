/* Flows that end by themselves: each packet winds up its flow's timer, and a timer that runs out deletes the flow. */
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/ip.h>
#include <linux/pkt_cls.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#define CLOCK_MONOTONIC 1

struct flow {
	__u64 packets;
	struct bpf_timer timer;
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 64);
	__type(key, __be32);
	__type(value, struct flow);
} flows SEC(".maps");

volatile const __u64 patience = 1000000000;
__u64 expired, packets;

static int end_flow(void *map, __be32 *key, struct flow *flow)
{
	packets += flow->packets;
	expired++;
	bpf_map_delete_elem(map, key);
	return 0;
}

SEC("tc")
int track(struct __sk_buff *skb)
{
	void *data = (void *)(long)skb->data, *end = (void *)(long)skb->data_end;
	struct iphdr *ip = data + sizeof(struct ethhdr);
	struct flow first = {}, *flow;
	__be32 sender;

	if ((void *)(ip + 1) > end || skb->protocol != bpf_htons(ETH_P_IP))
		return TC_ACT_OK;
	sender = ip->saddr;
	flow = bpf_map_lookup_elem(&flows, &sender);
	if (!flow) {
		bpf_map_update_elem(&flows, &sender, &first, BPF_NOEXIST);
		flow = bpf_map_lookup_elem(&flows, &sender);
		if (!flow)
			return TC_ACT_SHOT;
		bpf_timer_init(&flow->timer, &flows, CLOCK_MONOTONIC);
		bpf_timer_set_callback(&flow->timer, end_flow);
	}
	flow->packets++;
	bpf_timer_start(&flow->timer, patience, 0);
	return TC_ACT_OK;
}

char _license[] SEC("license") = "GPL";
