/* A table of neighbours that forgets: with every ARP reply it grows older, and whoever is too old goes. */
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

struct arp {
	__be16 hardware;
	__be16 protocol;
	__u8 sizes[2];
	__be16 operation;
	__u8 sender_mac[ETH_ALEN];
	__be32 sender;
	__u8 target_mac[ETH_ALEN];
	__be32 target;
} __attribute__((packed));

struct neighbour {
	__u8 mac[ETH_ALEN];
	__u16 age;
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 256);
	__type(key, __be32);
	__type(value, struct neighbour);
} neighbours SEC(".maps");

#define OLD 3

struct aged {
	__u32 gone;
};

static long grow_older(void *map, const void *key, void *value, void *context)
{
	struct neighbour *neighbour = value;
	struct aged *aged = context;

	if (++neighbour->age > OLD) {
		bpf_map_delete_elem(map, key);
		aged->gone++;
	}
	return 0;
}

SEC("xdp")
int age(struct xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	struct ethhdr *eth = data;
	struct arp *arp = (void *)(eth + 1);
	struct neighbour fresh = {};
	struct aged aged = {};
	__be32 sender;

	if ((void *)(arp + 1) > end || eth->h_proto != bpf_htons(ETH_P_ARP) || arp->operation != bpf_htons(2))
		return XDP_PASS;
	sender = arp->sender;
	__builtin_memcpy(fresh.mac, arp->sender_mac, ETH_ALEN);
	bpf_for_each_map_elem(&neighbours, grow_older, &aged, 0);
	bpf_map_update_elem(&neighbours, &sender, &fresh, BPF_ANY);
	return aged.gone ? XDP_TX : XDP_PASS;
}

char _license[] SEC("license") = "MIT";
