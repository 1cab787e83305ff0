/* A tc action: priority by port, and a VLAN tag for the traffic of one service. */
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/pkt_cls.h>
#include <linux/udp.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

struct class {
	__u32 priority;
	__u16 tag;
	__u16 unused;
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 64);
	__type(key, __u16);
	__type(value, struct class);
} classes SEC(".maps");

SEC("action")
int tag(struct __sk_buff *skb)
{
	void *data = (void *)(long)skb->data, *end = (void *)(long)skb->data_end;
	struct iphdr *ip = data + sizeof(struct ethhdr);
	struct udphdr *udp = (void *)(ip + 1);
	struct class *class;
	__u16 port;

	if ((void *)(udp + 1) > end || skb->protocol != bpf_htons(ETH_P_IP) || ip->protocol != IPPROTO_UDP)
		return TC_ACT_PIPE;
	port = bpf_ntohs(udp->dest);
	class = bpf_map_lookup_elem(&classes, &port);
	if (!class)
		return TC_ACT_PIPE;
	skb->priority = class->priority;
	if (class->tag && bpf_skb_vlan_push(skb, bpf_htons(ETH_P_8021Q), class->tag))
		return TC_ACT_SHOT;
	return TC_ACT_OK;
}

char _license[] SEC("license") = "GPL";
