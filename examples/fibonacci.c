// The Fibonacci number F(n) by fast doubling; n is the first byte of the memory, 93 without memory.
// Published: OEIS A000045, F(93) = 12200160415121876738, the largest that 64 bits hold.
#include <bpf/bpf_helpers.h>
#include <linux/types.h>

struct pair {
	__u64 f, next; // F(k) and F(k + 1)
};

// From k to 2k: F(2k) = F(k) (2 F(k+1) - F(k)), F(2k+1) = F(k)^2 + F(k+1)^2.
static __noinline void twice(struct pair *p)
{
	__u64 f = p->f * (2 * p->next - p->f);

	p->next = p->f * p->f + p->next * p->next;
	p->f = f;
}

static __noinline void step(struct pair *p)
{
	__u64 next = p->f + p->next;

	p->f = p->next;
	p->next = next;
}

unsigned long long fibonacci(void *mem, unsigned long len)
{
	__u8 n = len ? *(const __u8 *)mem : 93;
	struct pair p = {0, 1};

	for (int bit = 7; bit >= 0; bit--) {
		twice(&p);
		if (n >> bit & 1)
			step(&p);
	}
	return p.f;
}
