/* Programs of several types over the same frame. */
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/pkt_cls.h>
#include <linux/udp.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

static struct udphdr *udp_of(void *data, void *end)
{
	struct ethhdr *eth = data;
	struct iphdr *ip = (void *)(eth + 1);
	struct udphdr *udp = (void *)(ip + 1);

	if ((void *)(udp + 1) > end || eth->h_proto != bpf_htons(ETH_P_IP) || ip->protocol != IPPROTO_UDP)
		return 0;
	return udp;
}

/* Drops DNS, sends everything else that is UDP back to where it came from. */
SEC("xdp")
int dns_filter(struct xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	struct udphdr *udp = udp_of(data, end);

	if (!udp)
		return XDP_PASS;
	if (udp->dest == bpf_htons(53))
		return XDP_DROP;
	__u16 port = udp->source;
	udp->source = udp->dest;
	udp->dest = port;
	return XDP_TX;
}

/* Counts hops down, and the packet's mark up. */
SEC("tc")
int hop(struct __sk_buff *skb)
{
	void *data = (void *)(long)skb->data, *end = (void *)(long)skb->data_end;
	struct iphdr *ip = data + sizeof(struct ethhdr);

	if ((void *)(ip + 1) > end || skb->protocol != bpf_htons(ETH_P_IP))
		return TC_ACT_OK;
	if (ip->ttl <= 1)
		return TC_ACT_SHOT;
	__u32 check = ip->check;
	check += bpf_htons(0x0100);
	ip->check = check + (check >= 0xffff);
	ip->ttl--;
	skb->mark += skb->len;
	skb->cb[1] = ip->ttl;
	return TC_ACT_OK;
}

/* Lets UDP pass, and notes where it goes. */
SEC("cgroup_skb/ingress")
int only_udp(struct __sk_buff *skb)
{
	void *data = (void *)(long)skb->data, *end = (void *)(long)skb->data_end;
	struct iphdr *ip = data;

	if ((void *)(ip + 1) > end)
		return 0;
	skb->priority = bpf_ntohl(ip->daddr) & 0xff;
	return ip->protocol == IPPROTO_UDP;
}

/* Keeps as many bytes as the third byte of cb says, which it writes itself. */
SEC("socket")
int snap(struct __sk_buff *skb)
{
	skb->cb[0] = skb->len << 16 | skb->pkt_type;
	return ((volatile __u8 *)skb->cb)[bpf_htons(1) == 1 ? 1 : 2];
}
