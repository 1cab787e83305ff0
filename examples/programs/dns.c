/* Drops DNS questions for names on a list, whatever case they are asked in. */
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/udp.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#define LONGEST 32

struct name {
	char text[LONGEST]; /* with dots, zeros behind it */
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1024);
	__type(key, struct name);
	__type(value, __u64); /* how often it was asked for */
} blocked SEC(".maps");

struct dnshdr {
	__be16 id;
	__be16 flags;
	__be16 questions;
	__be16 answers;
	__be16 authorities;
	__be16 additionals;
};

SEC("xdp")
int dns(struct xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	struct ethhdr *eth = data;
	struct iphdr *ip = (void *)(eth + 1);
	struct udphdr *udp = (void *)(ip + 1);
	struct dnshdr *dns = (void *)(udp + 1);
	__u8 *at = (void *)(dns + 1), left;
	struct name name = {};
	__u64 *asked;

	if ((void *)(dns + 1) > end || eth->h_proto != bpf_htons(ETH_P_IP))
		return XDP_PASS;
	if (ip->ihl != 5 || ip->protocol != IPPROTO_UDP || udp->dest != bpf_htons(53) || !dns->questions)
		return XDP_PASS;
	if ((void *)(at + 1) > end)
		return XDP_PASS;
	left = *at++;
	for (int n = 0; n < LONGEST && left; n++) { /* left: bytes of this label */
		__u8 byte;

		if ((void *)(at + 1) > end)
			return XDP_PASS;
		byte = *at++;
		if (byte >= 'A' && byte <= 'Z')
			byte += 'a' - 'A';
		if (!--left && byte) {
			name.text[n] = byte;
			if ((void *)(at + 1) > end)
				return XDP_PASS;
			left = *at++;
			if (left && ++n < LONGEST)
				name.text[n] = '.';
			continue;
		}
		name.text[n] = byte;
	}
	if (left)
		return XDP_PASS; /* longer than any on the list */
	asked = bpf_map_lookup_elem(&blocked, &name);
	if (!asked)
		return XDP_PASS;
	__sync_fetch_and_add(asked, 1);
	return XDP_DROP;
}

char _license[] SEC("license") = "MIT";
