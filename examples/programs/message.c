/* What a socket sends, before it is sent: lines that start with a word of a list do not leave. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#define SK_DROP 0
#define SK_PASS 1

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 16);
	__uint(key_size, 4);
	__type(value, __u64);
} words SEC(".maps");

SEC("sk_msg")
int message(struct sk_msg_md *ctx)
{
	char *data = ctx->data, word[4];
	__u64 *count;

	if (data + sizeof(word) > (char *)ctx->data_end)
		return SK_PASS;
	for (int n = 0; n < 4; n++)
		word[n] = data[n] & ~0x20; /* in capitals */
	count = bpf_map_lookup_elem(&words, word);
	if (!count)
		return SK_PASS;
	*count += ctx->size;
	return SK_DROP;
}

char _license[] SEC("license") = "MIT";
