/* The ARP header (RFC 826), hardware types (IANA "ARP Parameters") and Linux's own. */
#ifndef CROSSBPF_LINUX_IF_ARP_H
#define CROSSBPF_LINUX_IF_ARP_H

#include <linux/types.h>

#define ARPHRD_NETROM 0
#define ARPHRD_ETHER 1
#define ARPHRD_IEEE802 6
#define ARPHRD_INFINIBAND 32
#define ARPHRD_PPP 512
#define ARPHRD_TUNNEL 768
#define ARPHRD_TUNNEL6 769
#define ARPHRD_LOOPBACK 772
#define ARPHRD_SIT 776
#define ARPHRD_IPGRE 778
#define ARPHRD_IEEE80211 801
#define ARPHRD_IP6GRE 823
#define ARPHRD_VOID 0xFFFF
#define ARPHRD_NONE 0xFFFE

#define ARPOP_REQUEST 1
#define ARPOP_REPLY 2
#define ARPOP_RREQUEST 3
#define ARPOP_RREPLY 4
#define ARPOP_InREQUEST 8
#define ARPOP_InREPLY 9
#define ARPOP_NAK 10

#ifndef __VMLINUX_H__
/* Then come two pairs of addresses, of the lengths that it names. */
struct arphdr {
	__be16 ar_hrd;
	__be16 ar_pro;
	unsigned char ar_hln;
	unsigned char ar_pln;
	__be16 ar_op;
};
#endif

#endif
