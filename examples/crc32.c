// CRC-32 of the memory (ISO-HDLC: reflected, polynomial 0x04c11db7), four bits at a time.
// Published: the check value 0xcbf43926 for "123456789".
#include <bpf/bpf_helpers.h>
#include <linux/types.h>

// What the low four bits of the remainder contribute once they are shifted out.
static const __u32 table[16] = {
	0x00000000, 0x1db71064, 0x3b6e20c8, 0x26d930ac, 0x76dc4190, 0x6b6b51f4, 0x4db26158, 0x5005713c,
	0xedb88320, 0xf00f9344, 0xd6d6a3e8, 0xcb61b38c, 0x9b64c2b0, 0x86d3d2d4, 0xa00ae278, 0xbdbdf21c,
};

static __noinline __u32 add_byte(__u32 crc, __u8 byte)
{
	crc ^= byte;
	crc = crc >> 4 ^ table[crc & 15];
	return crc >> 4 ^ table[crc & 15];
}

unsigned long long crc32(void *mem, unsigned long len)
{
	const __u8 *bytes = mem;
	__u32 crc = 0xffffffff;

	for (unsigned long i = 0; i < len; i++)
		crc = add_byte(crc, bytes[i]);
	return crc ^ 0xffffffff;
}
