// SipHash-2-4 of the memory under the key 00 01 .. 0f.
// Published: Aumasson and Bernstein, "SipHash: a fast short-input PRF" (2012), appendix A: the 15 bytes 00 .. 0e
// hash to a129ca6149be45e5.
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>
#include <linux/types.h>

static const __u8 key[16] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};

struct state {
	__u64 v0, v1, v2, v3;
};

static __u64 rotate(__u64 x, unsigned int by)
{
	return x << by | x >> (64 - by);
}

static __noinline void rounds(struct state *s, int count)
{
	for (int i = 0; i < count; i++) {
		s->v0 += s->v1;
		s->v2 += s->v3;
		s->v1 = rotate(s->v1, 13) ^ s->v0;
		s->v3 = rotate(s->v3, 16) ^ s->v2;
		s->v0 = rotate(s->v0, 32) + s->v3;
		s->v2 += s->v1;
		s->v3 = rotate(s->v3, 21) ^ s->v0;
		s->v1 = rotate(s->v1, 17) ^ s->v2;
		s->v2 = rotate(s->v2, 32);
	}
}

static __noinline void absorb(struct state *s, __u64 word)
{
	s->v3 ^= word;
	rounds(s, 2);
	s->v0 ^= word;
}

static __noinline __u64 load(const __u8 *bytes)
{
	__le64 word;

	__builtin_memcpy(&word, bytes, 8);
	return bpf_le64_to_cpu(word);
}

unsigned long long siphash(void *mem, unsigned long len)
{
	const __u8 *bytes = mem;
	__u64 k0 = load(key), k1 = load(key + 8), last = (__u64)len << 56;
	struct state s = {
		.v0 = k0 ^ 0x736f6d6570736575,
		.v1 = k1 ^ 0x646f72616e646f6d,
		.v2 = k0 ^ 0x6c7967656e657261,
		.v3 = k1 ^ 0x7465646279746573,
	};

	for (; len >= 8; bytes += 8, len -= 8)
		absorb(&s, load(bytes));
	for (unsigned long i = 0; i < len; i++)
		last |= (__u64)bytes[i] << (8 * i);
	absorb(&s, last);
	s.v2 ^= 0xff;
	rounds(&s, 4);
	return s.v0 ^ s.v1 ^ s.v2 ^ s.v3;
}
