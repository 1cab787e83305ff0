/* The IPv4 header (RFC 791, section 3.1). */
#ifndef CROSSBPF_LINUX_IP_H
#define CROSSBPF_LINUX_IP_H

#include <linux/types.h>

#define IP_DF 0x4000     /* frag_off, in host order: do not fragment */
#define IP_MF 0x2000     /* more fragments follow */
#define IP_OFFSET 0x1FFF /* the offset, in units of 8 bytes */

struct iphdr {
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
	__u8 ihl : 4, version : 4;
#else
	__u8 version : 4, ihl : 4;
#endif
	__u8 tos;
	__be16 tot_len;
	__be16 id;
	__be16 frag_off;
	__u8 ttl;
	__u8 protocol;
	__sum16 check;
	__be32 saddr;
	__be32 daddr;
};

#endif
