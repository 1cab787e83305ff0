/* A frame's way through several programs: in at one device, out at another, up to a socket. */
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/pkt_cls.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

struct {
	__uint(type, BPF_MAP_TYPE_DEVMAP);
	__type(key, __u32);
	__type(value, struct bpf_devmap_val);
	__uint(max_entries, 4);
} ports SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_HASH);
	__type(key, __u32);
	__type(value, __u64);
	__uint(max_entries, 8);
} lengths SEC(".maps");

int passed;

/* The last byte of the destination says which port. */
SEC("xdp")
int route(struct xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	struct ethhdr *eth = data;

	if ((void *)(eth + 1) > end)
		return XDP_ABORTED;
	return bpf_redirect_map(&ports, eth->h_dest[5], XDP_PASS);
}

/* The frame leaves with the device's number as its source. */
SEC("xdp/devmap")
int leave(struct xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	struct ethhdr *eth = data;

	if ((void *)(eth + 1) > end)
		return XDP_DROP;
	eth->h_source[4] = ctx->ingress_ifindex;
	eth->h_source[5] = ctx->egress_ifindex;
	return XDP_PASS;
}

/* Counts by protocol, and marks what comes often. */
SEC("tcx/ingress")
int count(struct __sk_buff *skb)
{
	__u32 protocol = bpf_ntohs(skb->protocol);
	__u64 length = skb->len, *sum = bpf_map_lookup_elem(&lengths, &protocol);

	if (sum) {
		*sum += length;
		skb->mark = *sum / length;
	} else {
		bpf_map_update_elem(&lengths, &protocol, &length, BPF_ANY);
		skb->mark = 1;
	}
	skb->cb[2] = skb->ifindex;
	return TC_ACT_UNSPEC;
}

/* Drops what the one before has marked, from the third on. */
SEC("tcx/ingress")
int police(struct __sk_buff *skb)
{
	return skb->mark > 2 || !skb->cb[2] ? TC_ACT_SHOT : TC_ACT_OK;
}

SEC("cgroup_skb/ingress")
int only_udp(struct __sk_buff *skb)
{
	void *data = (void *)(long)skb->data, *end = (void *)(long)skb->data_end;
	struct iphdr *ip = data;

	passed++;
	return (void *)(ip + 1) <= end && ip->protocol == IPPROTO_UDP;
}

SEC("socket")
int headers(struct __sk_buff *skb)
{
	return sizeof(struct iphdr) + 8;
}

char _license[] SEC("license") = "GPL";
