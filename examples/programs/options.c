/* Options of a type, a length and a value each, read through a dynptr: what does not lie in it is not read. */
#include <linux/bpf.h>
#include <linux/pkt_cls.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#define HEADERS 42
#define MOST 64
#define END 0

struct option {
	__u8 type;
	__u8 length; /* of the value */
};

struct room {
	__u8 bytes[MOST];
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct room);
} room SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 32);
	__type(key, __u32);  /* type */
	__type(value, __u32); /* the value's first four bytes */
} values SEC(".maps");

SEC("tc")
int options(struct __sk_buff *skb)
{
	__u32 zero = 0, length = skb->len, size, at = 0, type, number;
	struct room *bytes = bpf_map_lookup_elem(&room, &zero);
	struct bpf_dynptr options;
	struct option option;

	if (!bytes || length <= HEADERS)
		return TC_ACT_SHOT;
	size = length - HEADERS;
	barrier_var(size); /* so that the bounds are checked as they stand here */
	if (size < 1 || size > MOST)
		return TC_ACT_SHOT;
	if (bpf_skb_load_bytes(skb, HEADERS, bytes, size))
		return TC_ACT_SHOT;
	bpf_dynptr_from_mem(bytes, MOST, 0, &options);
	for (int n = 0; n < 16; n++) {
		if (at >= size || bpf_dynptr_read(&option, sizeof(option), &options, at, 0))
			return TC_ACT_SHOT; /* it does not say where it ends */
		if (option.type == END)
			return TC_ACT_OK;
		at += sizeof(option);
		type = option.type;
		if (option.length >= sizeof(number) && !bpf_dynptr_read(&number, sizeof(number), &options, at, 0)) {
			number = bpf_ntohl(number);
			bpf_map_update_elem(&values, &type, &number, BPF_ANY);
		}
		at += option.length;
	}
	return TC_ACT_SHOT;
}

char _license[] SEC("license") = "GPL";
