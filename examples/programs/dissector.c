/* Which packets have a flow: IPv4 without options and whole, and IPv6; what comes in pieces is left alone. */
#include <linux/bpf.h>
#include <linux/ip.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#define BPF_OK 0
#define BPF_DROP 2
#define IPV6 40 /* bytes of its header */

struct {
	__uint(type, BPF_MAP_TYPE_LRU_PERCPU_HASH);
	__uint(max_entries, 64);
	__type(key, __u32); /* of the network protocol's header: what comes next */
	__type(value, __u64);
} protocols SEC(".maps");

SEC("flow_dissector")
int dissect(struct __sk_buff *skb)
{
	void *data = (void *)(long)skb->data, *end = (void *)(long)skb->data_end;
	struct iphdr *ip = data;
	__u64 one = 1, *seen;
	__u32 next;

	if ((void *)(ip + 1) > end)
		return BPF_DROP;
	if (ip->version == 6) {
		if (data + IPV6 > end)
			return BPF_DROP;
		next = ((__u8 *)data)[6];
	} else {
		if (ip->version != 4 || ip->ihl != 5 || ip->frag_off & bpf_htons(IP_MF | IP_OFFSET))
			return BPF_DROP;
		next = ip->protocol;
	}
	seen = bpf_map_lookup_elem(&protocols, &next);
	if (seen)
		++*seen;
	else
		bpf_map_update_elem(&protocols, &next, &one, BPF_ANY);
	return BPF_OK;
}

char _license[] SEC("license") = "MIT";
