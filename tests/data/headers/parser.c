/* Answers pings of both versions of IP, behind up to two VLAN tags; drops segments that open a connection. */
#include <linux/bpf.h>
#include <linux/icmp.h>
#include <linux/icmpv6.h>
#include <linux/if_ether.h>
#include <linux/if_vlan.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/tcp.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

struct vlan_hdr {
	__be16 h_vlan_TCI;
	__be16 h_vlan_encapsulated_proto;
};

#define TAKE(type) \
	({ \
		type *found = at; \
		if ((void *)(found + 1) > end) \
			return XDP_DROP; \
		at = found + 1; \
		found; \
	})

SEC("xdp")
int parser(struct xdp_md *ctx)
{
	void *at = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	__be16 protocol = TAKE(struct ethhdr)->h_proto;
	__u8 next;

	for (int tags = 0; tags < 2; tags++) {
		if (protocol != bpf_htons(ETH_P_8021Q) && protocol != bpf_htons(ETH_P_8021AD))
			break;
		protocol = TAKE(struct vlan_hdr)->h_vlan_encapsulated_proto;
	}
	if (protocol == bpf_htons(ETH_P_IP)) {
		struct iphdr *ip = TAKE(struct iphdr);

		if (ip->version != 4 || ip->ihl != 5)
			return XDP_DROP;
		next = ip->protocol;
	} else if (protocol == bpf_htons(ETH_P_IPV6)) {
		struct ipv6hdr *ip = TAKE(struct ipv6hdr);

		if (ip->version != 6 || ip->priority)
			return XDP_DROP;
		next = ip->nexthdr;
		if (next == IPPROTO_HOPOPTS) {
			struct ipv6_opt_hdr *options = TAKE(struct ipv6_opt_hdr);

			if (options->hdrlen)
				return XDP_DROP;
			next = options->nexthdr;
			at = (void *)options + 8;
		}
	} else {
		return XDP_PASS;
	}
	if (next == IPPROTO_ICMP) {
		struct icmphdr *icmp = TAKE(struct icmphdr);

		return icmp->type == ICMP_ECHO && icmp->un.echo.sequence == bpf_htons(7) ? XDP_TX : XDP_PASS;
	}
	if (next == IPPROTO_ICMPV6) {
		struct icmp6hdr *icmp = TAKE(struct icmp6hdr);

		return icmp->icmp6_type == ICMPV6_ECHO_REQUEST && icmp->icmp6_sequence == bpf_htons(7) ? XDP_TX : XDP_PASS;
	}
	if (next == IPPROTO_TCP) {
		struct tcphdr *tcp = TAKE(struct tcphdr);

		return tcp->syn && (tcp_flag_word(tcp) & TCP_FLAG_SYN) && !tcp->ack ? XDP_DROP : XDP_PASS;
	}
	return XDP_PASS;
}

char _license[] SEC("license") = "MIT";
