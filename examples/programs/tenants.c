/* A table of open ports for each tenant, which is a VLAN: a map of maps, so that one tenant's can be exchanged. */
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/tcp.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#define TENANTS 8

struct ports {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 64);
	__type(key, __u32);
	__type(value, __u64); /* connections that were let in */
} blue SEC(".maps"), green SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, TENANTS);
	__type(key, __u32);
	__array(values, struct ports);
} tenants SEC(".maps") = {
	.values = {
		[1] = &blue,
		[2] = &green,
	},
};

struct frame {
	__u8 addresses[2 * ETH_ALEN];
	__be16 outer;
	__be16 tag;
	__be16 inner;
} __attribute__((packed));

SEC("xdp")
int admit(struct xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end, *ports;
	struct frame *frame = data;
	struct iphdr *ip = (void *)(frame + 1);
	struct tcphdr *tcp = (void *)(ip + 1);
	__u32 tenant, port;
	__u64 *admitted;

	if ((void *)(tcp + 1) > end || frame->outer != bpf_htons(ETH_P_8021Q) || frame->inner != bpf_htons(ETH_P_IP))
		return XDP_DROP;
	tenant = bpf_ntohs(frame->tag) & 0xfff;
	ports = bpf_map_lookup_elem(&tenants, &tenant);
	if (!ports || ip->protocol != IPPROTO_TCP)
		return XDP_DROP;
	port = bpf_ntohs(tcp->dest);
	admitted = bpf_map_lookup_elem(ports, &port);
	if (!admitted)
		return XDP_DROP;
	if (tcp->syn)
		__sync_fetch_and_add(admitted, 1);
	return XDP_PASS;
}

char _license[] SEC("license") = "MIT";
