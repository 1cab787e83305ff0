/* Where a message ends in a stream: four bytes in front of each say how long it is. */
#include <linux/bpf.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#define LONGEST (64 << 10)

__u64 messages, too_long;

SEC("sk_skb/stream_parser")
int parse(struct __sk_buff *skb)
{
	__be32 length;
	__u32 size;

	if (bpf_skb_load_bytes(skb, 0, &length, sizeof(length)))
		return 0; /* more is needed to say */
	size = bpf_ntohl(length);
	if (size > LONGEST) {
		too_long++;
		return -1;
	}
	messages++;
	return sizeof(length) + size;
}

char _license[] SEC("license") = "MIT";
