/* On a tunnel's way in: drops what has come too far, and notes how far the rest has come. */
#include <linux/bpf.h>
#include <linux/ip.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#define BPF_OK 0
#define BPF_DROP 2

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 64);
	__type(key, __u32);
	__type(value, __u64);
} distances SEC(".maps");

volatile const __u32 furthest = 20;

SEC("lwt_in")
int hops(struct __sk_buff *skb)
{
	void *data = (void *)(long)skb->data, *end = (void *)(long)skb->data_end;
	struct iphdr *ip = data;
	__u32 distance;
	__u64 *count;

	if ((void *)(ip + 1) > end)
		return BPF_DROP;
	distance = (ip->ttl <= 64 ? 64 : ip->ttl <= 128 ? 128 : 255) - ip->ttl;
	if (distance > furthest)
		return BPF_DROP;
	count = bpf_map_lookup_elem(&distances, &distance);
	if (count)
		__sync_fetch_and_add(count, 1);
	return BPF_OK;
}

char _license[] SEC("license") = "MIT";
