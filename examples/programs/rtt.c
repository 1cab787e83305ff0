/* A histogram of round-trip times by powers of two, from what TCP measures. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#define RTT 12 /* BPF_SOCK_OPS_RTT_CB */
#define AF_INET 2
#define BUCKETS 24

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, BUCKETS);
	__type(key, __u32);
	__type(value, __u64);
} histogram SEC(".maps");

SEC("sockops")
int rtt(struct bpf_sock_ops *ctx)
{
	__u32 microseconds = ctx->srtt_us >> 3, bucket = 0; /* the kernel counts in eighths */
	__u64 *count;

	if (ctx->op != RTT || ctx->family != AF_INET)
		return 1;
	for (int shift = 16; shift; shift >>= 1) {
		if (microseconds >> shift) {
			microseconds >>= shift;
			bucket += shift;
		}
	}
	if (bucket >= BUCKETS)
		bucket = BUCKETS - 1;
	count = bpf_map_lookup_elem(&histogram, &bucket);
	if (count)
		++*count;
	return 1;
}

char _license[] SEC("license") = "MIT";
