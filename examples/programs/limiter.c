/* A token bucket for each sender: a packet takes as many tokens as it has bytes, and time brings new ones. */
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/ip.h>
#include <linux/pkt_cls.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

struct bucket {
	__u64 tokens; /* bytes that may still be sent */
	__u64 filled; /* when that was true */
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1024);
	__type(key, __be32);
	__type(value, struct bucket);
} buckets SEC(".maps");

const volatile __u64 depth = 256;                 /* bytes */
const volatile __u64 nanoseconds_per_byte = 1000; /* 1 MB/s */

SEC("tc")
int limit(struct __sk_buff *skb)
{
	void *data = (void *)(long)skb->data, *end = (void *)(long)skb->data_end;
	struct iphdr *ip = data + sizeof(struct ethhdr);
	struct bucket *bucket, first = {.tokens = depth};
	__u64 now = bpf_ktime_get_ns(), earned;
	__be32 sender;

	if ((void *)(ip + 1) > end || skb->protocol != bpf_htons(ETH_P_IP))
		return TC_ACT_OK;
	sender = ip->saddr;
	bucket = bpf_map_lookup_elem(&buckets, &sender);
	if (!bucket) {
		first.filled = now;
		bpf_map_update_elem(&buckets, &sender, &first, BPF_NOEXIST);
		bucket = bpf_map_lookup_elem(&buckets, &sender);
		if (!bucket)
			return TC_ACT_SHOT;
	}
	earned = (now - bucket->filled) / nanoseconds_per_byte;
	if (earned) {
		bucket->tokens += earned;
		if (bucket->tokens > depth)
			bucket->tokens = depth;
		bucket->filled = now;
	}
	if (bucket->tokens < skb->len)
		return TC_ACT_SHOT;
	bucket->tokens -= skb->len;
	return TC_ACT_OK;
}

char _license[] SEC("license") = "GPL";
