/* Gives each UDP flow a port of its own out of a stack of free ones, and takes the port back when the flow says so. */
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/udp.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#define CLOSES 0xff /* a first byte of the payload */

struct flow {
	__be32 from;
	__be32 to;
	__be16 source;
	__be16 dest;
};

struct {
	__uint(type, BPF_MAP_TYPE_STACK);
	__uint(max_entries, 64);
	__type(value, __be16);
} ports SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 64);
	__type(key, struct flow);
	__type(value, __be16);
} flows SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_QUEUE);
	__uint(max_entries, 8);
	__type(value, struct flow); /* whom no port was left for, the last few */
} turned_away SEC(".maps");

SEC("xdp")
int masquerade(struct xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	struct ethhdr *eth = data;
	struct iphdr *ip = (void *)(eth + 1);
	struct udphdr *udp = (void *)(ip + 1);
	__u8 *payload = (void *)(udp + 1), closes;
	struct flow flow = {};
	__be16 *known, port;

	if ((void *)(payload + 1) > end || eth->h_proto != bpf_htons(ETH_P_IP))
		return XDP_PASS;
	if (ip->ihl != 5 || ip->protocol != IPPROTO_UDP)
		return XDP_PASS;
	closes = *payload == CLOSES;
	flow.from = ip->saddr;
	flow.to = ip->daddr;
	flow.source = udp->source;
	flow.dest = udp->dest;
	known = bpf_map_lookup_elem(&flows, &flow);
	if (known) {
		port = *known;
	} else {
		if (closes)
			return XDP_DROP;
		if (bpf_map_pop_elem(&ports, &port)) {
			bpf_map_push_elem(&turned_away, &flow, BPF_EXIST);
			return XDP_DROP;
		}
		bpf_map_update_elem(&flows, &flow, &port, BPF_ANY);
	}
	if (closes) {
		bpf_map_delete_elem(&flows, &flow);
		bpf_map_push_elem(&ports, &port, 0);
	}
	udp->source = port;
	udp->check = 0; /* none, which IPv4 allows */
	return XDP_TX;
}

char _license[] SEC("license") = "MIT";
