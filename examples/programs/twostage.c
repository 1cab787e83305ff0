/* A bloom filter in front of a hash: most senders are on no list, and the filter says so at once. */
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/ip.h>
#include <linux/pkt_cls.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

struct {
	__uint(type, BPF_MAP_TYPE_BLOOM_FILTER);
	__uint(max_entries, 128);
	__type(value, __be32);
} maybe SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 128);
	__type(key, __be32);
	__type(value, __u32); /* the mark that packets get */
} marks SEC(".maps");

__u64 looked_up;

SEC("tc")
int classify(struct __sk_buff *skb)
{
	void *data = (void *)(long)skb->data, *end = (void *)(long)skb->data_end;
	struct iphdr *ip = data + sizeof(struct ethhdr);
	__be32 sender;
	__u32 *mark;

	if ((void *)(ip + 1) > end || skb->protocol != bpf_htons(ETH_P_IP))
		return TC_ACT_OK;
	sender = ip->saddr;
	if (bpf_map_peek_elem(&maybe, &sender))
		return TC_ACT_OK;
	looked_up++;
	mark = bpf_map_lookup_elem(&marks, &sender);
	if (!mark) {
		/* Somebody has taken it off the list; filters do not forget. */
		return TC_ACT_OK;
	}
	skb->mark = *mark;
	return TC_ACT_PIPE;
}

char _license[] SEC("license") = "MIT";
