// The Internet checksum of the memory (RFC 1071): the complement of the ones' complement sum of 16-bit words.
// Published: RFC 1071, section 3, adds 00 01 f2 03 f4 f5 f6 f7 to ddf2, whose complement is 220d.
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>
#include <linux/types.h>

static __noinline __u16 fold(__u64 sum)
{
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return sum;
}

unsigned long long checksum(void *mem, unsigned long len)
{
	const __u8 *bytes = mem;
	__u64 sum = 0;
	__be16 word;

	for (; len >= 2; bytes += 2, len -= 2) {
		__builtin_memcpy(&word, bytes, 2);
		sum += bpf_ntohs(word);
	}
	if (len)
		sum += bytes[0] << 8; // an odd last byte is the high half of a word
	return (__u16)~fold(sum);
}
