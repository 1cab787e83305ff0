// SHA-256 of the memory (FIPS 180-4). The digest is left in `digest`; the result is its first eight bytes.
// Published: FIPS 180-2, appendix B.1: "abc" has the digest ba7816bf 8f01cfea 414140de 5dae2223 ...
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>
#include <linux/types.h>

static const __u32 k[64] = {
	0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
	0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
	0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
	0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
	0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
	0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
	0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
	0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
};

static __u32 hash[8] = {
	0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19,
};
static __u8 block[64];
__be32 digest[8];

static __u32 rotate(__u32 x, unsigned int by)
{
	return x >> by | x << (32 - by);
}

// The message schedule: section 6.2.2, step 1.
static __noinline void expand(__u32 *w)
{
	for (int t = 0; t < 16; t++)
		w[t] = (__u32)block[4 * t] << 24 | block[4 * t + 1] << 16 | block[4 * t + 2] << 8 | block[4 * t + 3];
	for (int t = 16; t < 64; t++) {
		__u32 a = w[t - 15], b = w[t - 2];

		w[t] = w[t - 16] + (rotate(a, 7) ^ rotate(a, 18) ^ a >> 3) + w[t - 7] +
		       (rotate(b, 17) ^ rotate(b, 19) ^ b >> 10);
	}
}

static __noinline void compress(void)
{
	__u32 w[64], s[8];

	expand(w);
	for (int i = 0; i < 8; i++)
		s[i] = hash[i];
	for (int t = 0; t < 64; t++) {
		__u32 a = s[0], e = s[4];
		__u32 sum1 = rotate(e, 6) ^ rotate(e, 11) ^ rotate(e, 25);
		__u32 choice = (e & s[5]) ^ (~e & s[6]);
		__u32 sum0 = rotate(a, 2) ^ rotate(a, 13) ^ rotate(a, 22);
		__u32 majority = (a & s[1]) ^ (a & s[2]) ^ (s[1] & s[2]);
		__u32 t1 = s[7] + sum1 + choice + k[t] + w[t];

		s[7] = s[6];
		s[6] = s[5];
		s[5] = s[4];
		s[4] = s[3] + t1;
		s[3] = s[2];
		s[2] = s[1];
		s[1] = s[0];
		s[0] = t1 + sum0 + majority;
	}
	for (int i = 0; i < 8; i++)
		hash[i] += s[i];
}

unsigned long long sha256(void *mem, unsigned long len)
{
	const __u8 *bytes = mem;
	__u64 bits = (__u64)len * 8;
	unsigned int used = 0;

	for (unsigned long i = 0; i < len; i++) {
		block[used++] = bytes[i];
		if (used == 64) {
			compress();
			used = 0;
		}
	}
	block[used++] = 0x80;
	if (used > 56) {
		while (used < 64)
			block[used++] = 0;
		compress();
		used = 0;
	}
	while (used < 56)
		block[used++] = 0;
	for (int i = 0; i < 8; i++)
		block[56 + i] = bits >> (56 - 8 * i);
	compress();
	for (int i = 0; i < 8; i++)
		digest[i] = bpf_htonl(hash[i]);
	return (__u64)hash[0] << 32 | hash[1];
}
