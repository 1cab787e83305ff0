// The largest prime below 2^64, by the Miller-Rabin test with Montgomery multiplication.
// Published: OEIS A014234, 2^64 - 59; the first twelve primes are enough as bases below 3.3 10^24 (OEIS A014233).
#include <bpf/bpf_helpers.h>
#include <linux/types.h>

static const __u8 bases[12] = {2, 3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37};

// The modulus at hand, and what its multiplication needs.
static struct {
	__u64 n;
	__u64 inverse; // n * inverse = 1 mod 2^64
	__u64 one;     // 2^64 mod n: the number 1 in Montgomery form
} m;

// The high 64 bits of a product.
static __noinline __u64 high(__u64 a, __u64 b)
{
	__u64 al = (__u32)a, ah = a >> 32, bl = (__u32)b, bh = b >> 32;
	__u64 cross = (al * bl >> 32) + al * bh;
	__u64 other = (__u32)cross + ah * bl;

	barrier_var(other); // or clang sees a 128-bit product, which BPF has no instruction for
	return ah * bh + (cross >> 32) + (other >> 32);
}

// a b / 2^64 mod n
static __noinline __u64 multiply(__u64 a, __u64 b)
{
	__u64 top = high(a, b), cut = high(a * b * m.inverse, m.n);

	return top >= cut ? top - cut : top - cut + m.n;
}

static __noinline void choose(__u64 n)
{
	__u64 inverse = n; // right in its low 3 bits; each step doubles that

	for (int i = 0; i < 5; i++)
		inverse *= 2 - n * inverse;
	m.n = n;
	m.inverse = inverse;
	m.one = -n % n;
}

// base^exponent, in Montgomery form
static __noinline __u64 power(__u32 base, __u64 exponent)
{
	__u64 square = 0, result = m.one;

	for (__u32 i = 0; i < base; i++) // base in Montgomery form; it is at most 37
		square = square >= m.n - m.one ? square - (m.n - m.one) : square + m.one;
	for (; exponent; exponent >>= 1, square = multiply(square, square))
		if (exponent & 1)
			result = multiply(result, square);
	return result;
}

static __noinline int is_witness(__u32 base, __u64 odd, int twos)
{
	__u64 x = power(base, odd);

	if (x == m.one || x == m.n - m.one)
		return 0;
	while (--twos > 0) {
		x = multiply(x, x);
		if (x == m.n - m.one)
			return 0;
	}
	return 1;
}

// n is odd and above 37.
static __noinline int is_prime(__u64 n)
{
	__u64 odd = n - 1;
	int twos = 0;

	for (int i = 0; i < 12; i++)
		if (n % bases[i] == 0)
			return 0;
	for (; !(odd & 1); odd >>= 1)
		twos++;
	choose(n);
	for (int i = 0; i < 12; i++)
		if (is_witness(bases[i], odd, twos))
			return 0;
	return 1;
}

unsigned long long prime(void *mem __attribute__((unused)), unsigned long len __attribute__((unused)))
{
	__u64 n = -1ULL;

	while (!is_prime(n))
		n -= 2;
	return n;
}
