/* The IPv4 header (RFC 791, section 3.1). */
#ifndef CROSSBPF_LINUX_IP_H
#define CROSSBPF_LINUX_IP_H

#include <linux/types.h>

#define IP_DF 0x4000     /* frag_off, in host order: do not fragment */
#define IP_MF 0x2000     /* more fragments follow */
#define IP_OFFSET 0x1FFF /* the offset, in units of 8 bytes */

#define IPVERSION 4
#define MAXTTL 255
#define IPDEFTTL 64

/* The type of service, as RFC 1349 had it before the bits were DSCP (RFC 2474) and ECN. */
#define IPTOS_TOS_MASK 0x1E
#define IPTOS_TOS(tos) ((tos) & IPTOS_TOS_MASK)
#define IPTOS_LOWDELAY 0x10
#define IPTOS_THROUGHPUT 0x08
#define IPTOS_RELIABILITY 0x04
#define IPTOS_MINCOST 0x02
#define IPTOS_PREC_MASK 0xE0
#define IPTOS_PREC(tos) ((tos) & IPTOS_PREC_MASK)

/* Options: type, length, value. */
#define IPOPT_END 0
#define IPOPT_NOOP 1
#define IPOPT_RR 7
#define IPOPT_TIMESTAMP 0x44
#define IPOPT_SEC 0x82
#define IPOPT_LSRR 0x83
#define IPOPT_CIPSO 0x86
#define IPOPT_SID 0x88
#define IPOPT_SSRR 0x89
#define IPOPT_RA 0x94

#ifndef __VMLINUX_H__
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
	union {
		struct {
			__be32 saddr;
			__be32 daddr;
		};
		struct {
			__be32 saddr;
			__be32 daddr;
		} addrs;
	};
};

/* The authentication header (RFC 4302) and what an encapsulated payload begins with (RFC 4303). */
struct ip_auth_hdr {
	__u8 nexthdr;
	__u8 hdrlen;
	__be16 reserved;
	__be32 spi;
	__be32 seq_no;
	__u8 auth_data[0];
};

struct ip_esp_hdr {
	__be32 spi;
	__be32 seq_no;
	__u8 enc_data[0];
};
#endif

#endif
