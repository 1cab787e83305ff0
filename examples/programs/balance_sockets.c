/* Who of several sockets at one port gets a packet: those with an odd hash that are small are not for us. */
#include <linux/bpf.h>
#include <linux/in.h>
#include <bpf/bpf_helpers.h>

#define SK_DROP 0
#define SK_PASS 1

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 2);
	__type(key, __u32);
	__type(value, __u64);
} sizes SEC(".maps");

SEC("sk_reuseport")
int choose(struct sk_reuseport_md *ctx)
{
	__u32 odd = ctx->hash & 1;
	__u64 *sum = bpf_map_lookup_elem(&sizes, &odd);

	if (ctx->ip_protocol != IPPROTO_UDP || !sum)
		return SK_PASS;
	*sum += ctx->len;
	return odd && ctx->len < 64 ? SK_DROP : SK_PASS;
}

char _license[] SEC("license") = "MIT";
