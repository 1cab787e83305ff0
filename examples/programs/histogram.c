/* How random a payload looks: a loop over its bytes counts them by their upper four bits. */
#include <linux/bpf.h>
#include <linux/pkt_cls.h>
#include <bpf/bpf_helpers.h>

#define CLASSES 16
#define HEADERS 42
#define MOST 256

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, CLASSES);
	__type(key, __u32);
	__type(value, __u32);
} classes SEC(".maps");

struct payload {
	struct __sk_buff *skb;
};

static long count_byte(__u64 index, void *given)
{
	struct payload *payload = given;
	__u32 class, *count;
	__u8 byte;

	if (bpf_skb_load_bytes(payload->skb, HEADERS + index, &byte, 1))
		return 1; /* the packet ends here */
	class = byte >> 4;
	count = bpf_map_lookup_elem(&classes, &class);
	if (count)
		++*count;
	return 0;
}

SEC("tc")
int histogram(struct __sk_buff *skb)
{
	struct payload payload = {.skb = skb};
	__u32 turns = bpf_loop(MOST, count_byte, &payload, 0);

	skb->cb[0] = turns; /* the bytes, and the turn that found none */
	return turns > 1 ? TC_ACT_OK : TC_ACT_SHOT;
}

char _license[] SEC("license") = "GPL";
