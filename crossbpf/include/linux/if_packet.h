/* Where a packet goes to (__sk_buff's pkt_type), and addresses of packet sockets. */
#ifndef CROSSBPF_LINUX_IF_PACKET_H
#define CROSSBPF_LINUX_IF_PACKET_H

#include <linux/types.h>

#define PACKET_HOST 0
#define PACKET_BROADCAST 1
#define PACKET_MULTICAST 2
#define PACKET_OTHERHOST 3
#define PACKET_OUTGOING 4
#define PACKET_LOOPBACK 5
#define PACKET_USER 6
#define PACKET_KERNEL 7
#define PACKET_FASTROUTE 6

#ifndef __VMLINUX_H__
struct sockaddr_ll {
	unsigned short sll_family;
	__be16 sll_protocol;
	int sll_ifindex;
	unsigned short sll_hatype;
	unsigned char sll_pkttype;
	unsigned char sll_halen;
	unsigned char sll_addr[8];
};
#endif

#endif
