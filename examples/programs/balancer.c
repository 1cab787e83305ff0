/* Spreads the connections to a service over its servers: a ring of slots says which hash goes where, so that a server
 * that comes or goes moves only its own share. The destination is rewritten and the checksums follow.
 */
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/tcp.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#define SLOTS 16

struct service {
	__be32 address;
	__be16 port;
	__u16 protocol;
};

struct server {
	__be32 address;
	__u8 mac[ETH_ALEN];
	__u8 unused[2];
	__u32 connections;
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 64);
	__type(key, struct service);
	__type(value, __u32); /* number of the service */
} services SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 4 * SLOTS);
	__type(key, __u32);
	__type(value, __u32); /* number of the server */
} ring SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 16);
	__type(key, __u32);
	__type(value, struct server);
} servers SEC(".maps");

static __u32 mixed(__u32 hash, __u32 word)
{
	hash = (hash ^ word) * 0x9e3779b1;
	return hash ^ hash >> 15;
}

/* A 16-bit one's complement sum in which `from` has become `to` (RFC 1624, equation 3). */
static __sum16 replaced(__sum16 check, __be32 from, __be32 to)
{
	__u64 sum = (__u16)~check;

	sum += (__u64)(__u32)~from + to;
	sum = (sum & 0xffffffff) + (sum >> 32);
	sum = (sum & 0xffffffff) + (sum >> 32);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return ~sum;
}

SEC("xdp")
int balance(struct xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	struct ethhdr *eth = data;
	struct iphdr *ip = (void *)(eth + 1);
	struct tcphdr *tcp = (void *)(ip + 1);
	struct service key = {};
	struct server *server;
	__u32 *number, slot, hash;

	if ((void *)(tcp + 1) > end || eth->h_proto != bpf_htons(ETH_P_IP))
		return XDP_PASS;
	if (ip->ihl != 5 || ip->protocol != IPPROTO_TCP)
		return XDP_PASS;
	key.address = ip->daddr;
	key.port = tcp->dest;
	key.protocol = IPPROTO_TCP;
	number = bpf_map_lookup_elem(&services, &key);
	if (!number)
		return XDP_PASS;
	hash = mixed(mixed(0, bpf_ntohl(ip->saddr)), bpf_ntohs(tcp->source));
	slot = *number * SLOTS + hash % SLOTS;
	number = bpf_map_lookup_elem(&ring, &slot);
	if (!number)
		return XDP_DROP;
	server = bpf_map_lookup_elem(&servers, number);
	if (!server || !server->address)
		return XDP_DROP;
	if (tcp->syn && !tcp->ack)
		__sync_fetch_and_add(&server->connections, 1);
	tcp->check = replaced(tcp->check, ip->daddr, server->address);
	ip->check = replaced(ip->check, ip->daddr, server->address);
	ip->daddr = server->address;
	__builtin_memcpy(eth->h_source, eth->h_dest, ETH_ALEN);
	__builtin_memcpy(eth->h_dest, server->mac, ETH_ALEN);
	return XDP_TX;
}

char _license[] SEC("license") = "MIT";
