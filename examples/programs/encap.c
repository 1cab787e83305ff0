/* On a route's way out: a second IPv4 header in front of packets to a network, which a tunnel's end takes off again. */
#include <linux/bpf.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#define BPF_OK 0
#define BPF_DROP 2

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 64);
	__type(key, __be32); /* a network of 24 bits */
	__type(value, __be32); /* the tunnel's end */
} tunnels SEC(".maps");

SEC("lwt_xmit")
int encapsulate(struct __sk_buff *skb)
{
	void *data = (void *)(long)skb->data, *end = (void *)(long)skb->data_end;
	struct iphdr *ip = data, outer;
	__be32 network, *tunnel;
	__s64 sum;

	if ((void *)(ip + 1) > end)
		return BPF_DROP;
	network = ip->daddr & bpf_htonl(0xffffff00);
	tunnel = bpf_map_lookup_elem(&tunnels, &network);
	if (!tunnel)
		return BPF_OK;
	outer = *ip;
	outer.tot_len = bpf_htons(bpf_ntohs(ip->tot_len) + sizeof(outer));
	outer.protocol = IPPROTO_IPIP;
	outer.daddr = *tunnel;
	outer.check = 0;
	sum = bpf_csum_diff(0, 0, (__be32 *)&outer, sizeof(outer), 0);
	if (sum < 0 || bpf_skb_change_head(skb, sizeof(outer), 0))
		return BPF_DROP;
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	outer.check = ~sum;
	return bpf_skb_store_bytes(skb, 0, &outer, sizeof(outer), 0) ? BPF_DROP : BPF_OK;
}

char _license[] SEC("license") = "GPL";
