// Parse an Ethernet / IPv4 / TCP frame: check lengths and both checksums, walk the TCP options.
// The result is source port, destination port, TCP flags and maximum segment size, 16 bits each; 0 for any other frame.
// Published: the memory is frame 1 of Wireshark's sample capture http.cap, a SYN from 145.254.160.237 port 3372 to
// 65.208.228.223 port 80 with MSS 1460.
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/tcp.h>
#include <linux/types.h>

enum { OPTION_END = 0, OPTION_NOP = 1, OPTION_MSS = 2 };

// How frames ended, for whoever looks at the data section afterwards.
static struct {
	__u64 seen;
	__u64 accepted;
	__u64 bad_checksum;
} counters;

// The ones' complement sum of `len` bytes, on top of `sum`.
static __noinline __u64 add(__u64 sum, const __u8 *bytes, __u32 len)
{
	for (__u32 i = 0; i < len; i++)
		sum += i & 1 ? bytes[i] : bytes[i] << 8;
	return sum;
}

static __noinline int folds_to_ones(__u64 sum)
{
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return sum == 0xffff;
}

static __noinline __u16 maximum_segment_size(const __u8 *option, const __u8 *end)
{
	while (option < end && *option != OPTION_END) {
		if (*option == OPTION_NOP) {
			option++;
			continue;
		}
		if (end - option < 2 || option[1] < 2 || option[1] > end - option)
			return 0;
		if (option[0] == OPTION_MSS && option[1] == 4)
			return option[2] << 8 | option[3];
		option += option[1];
	}
	return 0;
}

static __noinline unsigned long long parse_tcp(const struct iphdr *ip, const __u8 *segment, __u32 len)
{
	struct tcphdr tcp;
	__u64 sum = IPPROTO_TCP + len;

	if (len < sizeof(tcp))
		return 0;
	__builtin_memcpy(&tcp, segment, sizeof(tcp));
	if (tcp.doff < 5 || tcp.doff * 4u > len)
		return 0;
	sum = add(sum, (const __u8 *)&ip->saddr, 8); // the pseudo-header: both addresses, protocol, length
	if (!folds_to_ones(add(sum, segment, len))) {
		__sync_fetch_and_add(&counters.bad_checksum, 1);
		return 0;
	}
	__sync_fetch_and_add(&counters.accepted, 1);
	return (__u64)bpf_ntohs(tcp.source) << 48 | (__u64)bpf_ntohs(tcp.dest) << 32 | (__u64)segment[13] << 16 |
	       maximum_segment_size(segment + sizeof(tcp), segment + tcp.doff * 4);
}

static __noinline unsigned long long parse_ip(const __u8 *packet, __u32 len)
{
	struct iphdr ip;
	__u32 header, total;

	if (len < sizeof(ip))
		return 0;
	__builtin_memcpy(&ip, packet, sizeof(ip));
	header = ip.ihl * 4;
	total = bpf_ntohs(ip.tot_len);
	if (ip.version != 4 || header < sizeof(ip) || total < header || total > len)
		return 0;
	if (!folds_to_ones(add(0, packet, header))) {
		__sync_fetch_and_add(&counters.bad_checksum, 1);
		return 0;
	}
	if (ip.protocol != IPPROTO_TCP || bpf_ntohs(ip.frag_off) & (IP_MF | IP_OFFSET))
		return 0;
	return parse_tcp(&ip, packet + header, total - header);
}

unsigned long long packet(void *mem, unsigned long len)
{
	const __u8 *frame = mem;
	struct ethhdr eth;

	__sync_fetch_and_add(&counters.seen, 1);
	if (len < sizeof(eth) || len > ETH_FRAME_LEN)
		return 0;
	__builtin_memcpy(&eth, frame, sizeof(eth));
	if (eth.h_proto != bpf_htons(ETH_P_IP))
		return 0;
	return parse_ip(frame + sizeof(eth), len - sizeof(eth));
}
