/* Four counters of the same packets. On several CPUs the first loses some: between its load and its store another CPU
 * may have counted. The other three lose none.
 */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

struct guarded {
	__u32 packets;
	struct bpf_spin_lock lock;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u64);
} plain SEC(".maps"), atomic SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u64);
} per_cpu SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct guarded);
} locked SEC(".maps");

SEC("xdp")
int count(struct xdp_md *ctx)
{
	__u32 zero = 0;
	__u64 *packets = bpf_map_lookup_elem(&plain, &zero);
	struct guarded *guarded;

	if (packets) {
		__u64 before = *packets;

		bpf_get_smp_processor_id(); /* here another CPU may go on */
		*packets = before + 1;
	}
	packets = bpf_map_lookup_elem(&atomic, &zero);
	if (packets)
		__sync_fetch_and_add(packets, 1);
	packets = bpf_map_lookup_elem(&per_cpu, &zero);
	if (packets)
		++*packets;
	guarded = bpf_map_lookup_elem(&locked, &zero);
	if (guarded) {
		bpf_spin_lock(&guarded->lock);
		guarded->packets++;
		bpf_spin_unlock(&guarded->lock);
	}
	return ctx->ingress_ifindex ? XDP_PASS : XDP_DROP;
}

char _license[] SEC("license") = "GPL";
