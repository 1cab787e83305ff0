// XXH64 of the memory with seed 0 (xxHash specification, "XXH64 algorithm description").
// Published: xxHash's own sanity check, whose first 222 bytes hash to b641ae8cb691c174.
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>
#include <linux/types.h>

#define PRIME1 0x9e3779b185ebca87ULL
#define PRIME2 0xc2b2ae3d27d4eb4fULL
#define PRIME3 0x165667b19e3779f9ULL
#define PRIME4 0x85ebca77c2b2ae63ULL
#define PRIME5 0x27d4eb2f165667c5ULL

static __u64 rotate(__u64 x, unsigned int by)
{
	return x << by | x >> (64 - by);
}

static __noinline __u64 load64(const __u8 *bytes)
{
	__le64 word;

	__builtin_memcpy(&word, bytes, 8);
	return bpf_le64_to_cpu(word);
}

static __noinline __u64 load32(const __u8 *bytes)
{
	__le32 word;

	__builtin_memcpy(&word, bytes, 4);
	return bpf_le32_to_cpu(word);
}

static __noinline __u64 lane(__u64 sum, __u64 word)
{
	return rotate(sum + word * PRIME2, 31) * PRIME1;
}

static __noinline __u64 merge(__u64 hash, __u64 sum)
{
	return (hash ^ lane(0, sum)) * PRIME1 + PRIME4;
}

static __noinline __u64 avalanche(__u64 hash)
{
	hash = (hash ^ hash >> 33) * PRIME2;
	hash = (hash ^ hash >> 29) * PRIME3;
	return hash ^ hash >> 32;
}

unsigned long long xxhash64(void *mem, unsigned long len)
{
	const __u8 *at = mem, *end = at + len;
	__u64 hash = PRIME5;

	if (len >= 32) {
		__u64 sum[4] = {PRIME1 + PRIME2, PRIME2, 0, -PRIME1};

		for (; end - at >= 32; at += 32)
			for (int i = 0; i < 4; i++)
				sum[i] = lane(sum[i], load64(at + 8 * i));
		hash = rotate(sum[0], 1) + rotate(sum[1], 7) + rotate(sum[2], 12) + rotate(sum[3], 18);
		for (int i = 0; i < 4; i++)
			hash = merge(hash, sum[i]);
	}
	hash += len;
	for (; end - at >= 8; at += 8)
		hash = rotate(hash ^ lane(0, load64(at)), 27) * PRIME1 + PRIME4;
	if (end - at >= 4) {
		hash = rotate(hash ^ load32(at) * PRIME1, 23) * PRIME2 + PRIME3;
		at += 4;
	}
	for (; at < end; at++)
		hash = rotate(hash ^ *at * PRIME5, 11) * PRIME1;
	return avalanche(hash);
}
