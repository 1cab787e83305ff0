/* The Ethernet II frame header (IEEE 802.3) and EtherType numbers (IANA "IEEE 802 Numbers"). */
#ifndef CROSSBPF_LINUX_IF_ETHER_H
#define CROSSBPF_LINUX_IF_ETHER_H

#include <linux/types.h>

#define ETH_ALEN 6        /* bytes of an address */
#define ETH_HLEN 14       /* bytes of the header */
#define ETH_ZLEN 60       /* shortest frame, without its check sequence */
#define ETH_DATA_LEN 1500 /* longest payload */
#define ETH_FRAME_LEN 1514
#define ETH_FCS_LEN 4

#define ETH_P_IP 0x0800
#define ETH_P_ARP 0x0806
#define ETH_P_8021Q 0x8100
#define ETH_P_8021AD 0x88A8
#define ETH_P_IPV6 0x86DD
#define ETH_P_MPLS_UC 0x8847

struct ethhdr {
	__u8 h_dest[ETH_ALEN];
	__u8 h_source[ETH_ALEN];
	__be16 h_proto;
} __attribute__((packed));

#endif
