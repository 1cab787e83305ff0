/* Reads a number out of the text of a packet ("length: 42") and writes a line about it. */
#include <linux/bpf.h>
#include <linux/pkt_cls.h>
#include <bpf/bpf_helpers.h>

#define HEADERS 42

struct line {
	char text[32];
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 2);
	__type(key, __u32);
	__type(value, struct line);
} lines SEC(".maps");

static const char label[] = "length:";

SEC("tc")
int length(struct __sk_buff *skb)
{
	char text[24] = {};
	__u32 zero = 0, whole = skb->len, size;
	struct line *line = bpf_map_lookup_elem(&lines, &zero);
	long number = 0, taken;

	if (!line || whole <= HEADERS)
		return TC_ACT_OK;
	size = whole - HEADERS;
	if (size > sizeof(text) - 1)
		size = sizeof(text) - 1;
	barrier_var(size); /* so that the bound is checked as it stands here */
	if (size < 1 || size > sizeof(text) - 1)
		return TC_ACT_OK;
	if (bpf_skb_load_bytes(skb, HEADERS, text, size))
		return TC_ACT_OK;
	if (bpf_strncmp(text, sizeof(label) - 1, label))
		return TC_ACT_OK;
	taken = bpf_strtol(text + sizeof(label) - 1, sizeof(text) - sizeof(label) + 1, 10, &number);
	if (taken < 0)
		return TC_ACT_SHOT;
	BPF_SNPRINTF(line->text, sizeof(line->text), "%d bytes, 0x%04x", number, number);
	skb->mark = number;
	return TC_ACT_PIPE;
}

char _license[] SEC("license") = "GPL";
