/* Sends what is for one port to another, address and port at once, with the kernel's helpers for checksums. */
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/pkt_cls.h>
#include <linux/udp.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

struct target {
	__be32 address;
	__be16 port;
	__u16 rewritten; /* how often */
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 64);
	__type(key, __be16);
	__type(value, struct target);
} targets SEC(".maps");

#define IP_AT sizeof(struct ethhdr)
#define UDP_AT (IP_AT + sizeof(struct iphdr))
#define CHECK_AT (UDP_AT + offsetof(struct udphdr, check))

SEC("tc")
int rewrite(struct __sk_buff *skb)
{
	__u64 flags = BPF_F_MARK_MANGLED_0;
	struct target *target;
	struct udphdr udp;
	struct iphdr ip;

	if (skb->protocol != bpf_htons(ETH_P_IP))
		return TC_ACT_OK;
	if (bpf_skb_load_bytes(skb, IP_AT, &ip, sizeof(ip)) || bpf_skb_load_bytes(skb, UDP_AT, &udp, sizeof(udp)))
		return TC_ACT_OK;
	if (ip.protocol != IPPROTO_UDP)
		return TC_ACT_OK;
	target = bpf_map_lookup_elem(&targets, &udp.dest);
	if (!target)
		return TC_ACT_OK;
	bpf_l4_csum_replace(skb, CHECK_AT, ip.daddr, target->address, flags | BPF_F_PSEUDO_HDR | sizeof(__be32));
	bpf_l4_csum_replace(skb, CHECK_AT, udp.dest, target->port, flags | sizeof(__be16));
	bpf_l3_csum_replace(skb, IP_AT + offsetof(struct iphdr, check), ip.daddr, target->address, sizeof(__be32));
	bpf_skb_store_bytes(skb, IP_AT + offsetof(struct iphdr, daddr), &target->address, sizeof(__be32), 0);
	bpf_skb_store_bytes(skb, UDP_AT + offsetof(struct udphdr, dest), &target->port, sizeof(__be16), 0);
	target->rewritten++;
	skb->mark = bpf_ntohs(udp.dest);
	return TC_ACT_PIPE;
}

char _license[] SEC("license") = "GPL";
