// The determinant of the Vandermonde matrix of the memory's bytes (at most 8), by Bareiss' fraction-free elimination.
// Published: for 1, 2, .. 7 it is 1! 2! 3! 4! 5! 6! = 24883200 (OEIS A000178); the memory has them in an order of even
// permutation, so that the sign stays and rows cancel to negative numbers.
#include <bpf/bpf_helpers.h>
#include <linux/types.h>

#define MAX 8

static __s64 a[MAX][MAX];

static __noinline void fill(const __u8 *points, int n)
{
	for (int i = 0; i < n; i++) {
		__s64 power = 1;

		for (int j = 0; j < n; j++, power *= points[i])
			a[i][j] = power;
	}
}

// Swap a row with a nonzero pivot up to row k; returns the sign of the swap, 0 if there is none.
static __noinline int pivot(int k, int n)
{
	for (int i = k; i < n; i++) {
		if (a[i][k] == 0)
			continue;
		if (i == k)
			return 1;
		for (int j = 0; j < n; j++) {
			__s64 moved = a[k][j];

			a[k][j] = a[i][j];
			a[i][j] = moved;
		}
		return -1;
	}
	return 0;
}

static __noinline __s64 determinant(int n)
{
	__s64 previous = 1;
	int sign = 1;

	for (int k = 0; k < n - 1; k++) {
		sign *= pivot(k, n);
		if (sign == 0)
			return 0;
		for (int i = k + 1; i < n; i++)
			for (int j = k + 1; j < n; j++)
				a[i][j] = (a[i][j] * a[k][k] - a[i][k] * a[k][j]) / previous; // divides exactly
		previous = a[k][k];
	}
	return sign * a[n - 1][n - 1];
}

unsigned long long matrix(void *mem, unsigned long len)
{
	if (len == 0 || len > MAX)
		return 0;
	fill(mem, len);
	return determinant(len);
}
