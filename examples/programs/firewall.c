/* Drops what comes from blocked networks, and counts packets and bytes by verdict, on each CPU by itself. */
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/ip.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

struct network {
	__u32 length; /* of the prefix, in bits */
	__be32 address;
};

struct traffic {
	__u64 packets;
	__u64 bytes;
};

struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 1024);
	__type(key, struct network);
	__type(value, __u32); /* what an XDP program answers */
} rules SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 5);
	__type(key, __u32);
	__type(value, struct traffic);
} verdicts SEC(".maps");

static __u32 verdict_on(void *data, void *end)
{
	struct ethhdr *eth = data;
	struct iphdr *ip = (void *)(eth + 1);
	struct network from = {.length = 32};
	__u32 *rule;

	if ((void *)(ip + 1) > end || eth->h_proto != bpf_htons(ETH_P_IP))
		return XDP_PASS;
	from.address = ip->saddr;
	rule = bpf_map_lookup_elem(&rules, &from);
	return rule ? *rule : XDP_PASS;
}

SEC("xdp")
int firewall(struct xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	__u32 verdict = verdict_on(data, end);
	struct traffic *seen = bpf_map_lookup_elem(&verdicts, &verdict);

	if (!seen)
		return XDP_ABORTED; /* a rule that is none */
	seen->packets++;
	seen->bytes += end - data;
	return verdict;
}

char _license[] SEC("license") = "MIT";
