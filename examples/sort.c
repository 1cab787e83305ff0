// Heapsort of the memory, an array of 16-bit big-endian keys, in place. The result is FNV-1a 64 of the sorted bytes.
// Published: the sixteen keys of Knuth, The Art of Computer Programming, volume 3, section 5.2; algorithm H of 5.2.3.
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>
#include <linux/types.h>

typedef __be16 key __attribute__((aligned(1)));

static __u16 get(const key *keys, __u32 i)
{
	return bpf_ntohs(keys[i]);
}

// Let the key at `root` sink to its place in the heap of `count` keys.
static __noinline void sift(key *keys, __u32 root, __u32 count)
{
	__u16 moving = get(keys, root);

	for (__u32 child = 2 * root + 1; child < count; child = 2 * root + 1) {
		if (child + 1 < count && get(keys, child) < get(keys, child + 1))
			child++;
		if (get(keys, child) <= moving)
			break;
		keys[root] = keys[child];
		root = child;
	}
	keys[root] = bpf_htons(moving);
}

static __noinline __u64 fnv1a(const __u8 *bytes, __u32 len)
{
	__u64 hash = 0xcbf29ce484222325;

	for (__u32 i = 0; i < len; i++)
		hash = (hash ^ bytes[i]) * 0x100000001b3;
	return hash;
}

unsigned long long sort(void *mem, unsigned long len)
{
	key *keys = mem;
	__u32 count = len / 2;

	for (__u32 root = count / 2; root-- > 0;)
		sift(keys, root, count);
	for (__u32 last = count; last-- > 1;) {
		__u16 largest = get(keys, 0);

		keys[0] = keys[last];
		keys[last] = bpf_htons(largest);
		sift(keys, 0, last);
	}
	return fnv1a(mem, count * 2);
}
