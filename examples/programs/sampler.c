/* A socket filter that takes nothing away: of every packet to a watched port it leaves a record in a ring buffer. */
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/udp.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

struct sample {
	__be32 from;
	__be16 port;
	__u16 length;
	__u8 start[8]; /* of the payload */
};

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 4096);
} samples SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 64);
	__type(key, __u32);
	__type(value, __u32);
} watched SEC(".maps");

#define PAYLOAD (sizeof(struct iphdr) + sizeof(struct udphdr))

SEC("socket")
int sample(struct __sk_buff *skb)
{
	struct sample *sample;
	struct udphdr udp;
	struct iphdr ip;
	__u32 port, *watch;

	if (skb->protocol != bpf_htons(ETH_P_IP))
		return skb->len;
	if (bpf_skb_load_bytes(skb, 0, &ip, sizeof(ip)) || bpf_skb_load_bytes(skb, sizeof(ip), &udp, sizeof(udp)))
		return skb->len;
	port = bpf_ntohs(udp.dest);
	watch = bpf_map_lookup_elem(&watched, &port);
	if (ip.protocol != IPPROTO_UDP || !watch)
		return skb->len;
	sample = bpf_ringbuf_reserve(&samples, sizeof(*sample), 0);
	if (!sample)
		return skb->len;
	sample->from = ip.saddr;
	sample->port = udp.dest;
	sample->length = skb->len;
	if (bpf_skb_load_bytes(skb, PAYLOAD, sample->start, sizeof(sample->start)))
		bpf_ringbuf_discard(sample, 0); /* there are no 8 bytes */
	else
		bpf_ringbuf_submit(sample, 0);
	return skb->len;
}

char _license[] SEC("license") = "GPL";
