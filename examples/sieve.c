// How many primes there are below 10000, by the sieve of Eratosthenes over odd numbers, a bit each.
// Published: OEIS A006880, pi(10^4) = 1229.
#include <bpf/bpf_helpers.h>
#include <linux/types.h>

#define LIMIT 10000

static __u32 composite[(LIMIT / 2 + 31) / 32]; // bit i stands for 2 i + 1

static __noinline void strike(__u32 prime)
{
	for (__u32 n = prime * prime; n < LIMIT; n += 2 * prime)
		composite[n / 2 / 32] |= 1u << (n / 2 % 32);
}

unsigned long long sieve(void *mem __attribute__((unused)), unsigned long len __attribute__((unused)))
{
	__u64 count = 1; // 2

	for (__u32 n = 3; n < LIMIT; n += 2) {
		if (composite[n / 2 / 32] >> (n / 2 % 32) & 1)
			continue;
		count++;
		if (n < 100)
			strike(n);
	}
	return count;
}
