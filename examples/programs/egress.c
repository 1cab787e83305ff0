/* What a cgroup sends: bytes and packets by protocol, on each CPU by itself; beyond an allowance nothing leaves. */
#include <linux/bpf.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <bpf/bpf_helpers.h>

struct usage {
	__u64 bytes;
	__u64 packets;
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_HASH);
	__uint(max_entries, 256);
	__type(key, __u32);
	__type(value, struct usage);
} usage SEC(".maps");

__u64 allowance = 150;

SEC("cgroup_skb/egress")
int account(struct __sk_buff *skb)
{
	void *data = (void *)(long)skb->data, *end = (void *)(long)skb->data_end;
	struct usage first = {.bytes = skb->len, .packets = 1}, *used;
	struct iphdr *ip = data;
	__u32 protocol;

	if ((void *)(ip + 1) > end)
		return 1;
	if (allowance < skb->len)
		return 0;
	allowance -= skb->len;
	protocol = ip->protocol;
	used = bpf_map_lookup_elem(&usage, &protocol);
	if (!used) {
		bpf_map_update_elem(&usage, &protocol, &first, BPF_ANY);
		return 1;
	}
	used->bytes += skb->len;
	used->packets++;
	return 1;
}

char _license[] SEC("license") = "MIT";
