/* Offsets that loads from a packet understand besides those into it. */
#ifndef CROSSBPF_LINUX_FILTER_H
#define CROSSBPF_LINUX_FILTER_H

#define SKF_NET_OFF (-0x100000) /* from the network header */
#define SKF_LL_OFF (-0x200000)  /* from the link-layer header */

/* Ancillary data: classic BPF alone has them, converted programs and extended ones read __sk_buff. */
#define SKF_AD_OFF (-0x1000)
#define SKF_AD_PROTOCOL 0
#define SKF_AD_PKTTYPE 4
#define SKF_AD_IFINDEX 8
#define SKF_AD_NLATTR 12
#define SKF_AD_NLATTR_NEST 16
#define SKF_AD_MARK 20
#define SKF_AD_QUEUE 24
#define SKF_AD_HATYPE 28
#define SKF_AD_RXHASH 32
#define SKF_AD_CPU 36
#define SKF_AD_ALU_XOR_X 40
#define SKF_AD_VLAN_TAG 44
#define SKF_AD_VLAN_TAG_PRESENT 48
#define SKF_AD_PAY_OFFSET 52
#define SKF_AD_RANDOM 56
#define SKF_AD_VLAN_TPID 60
#define SKF_AD_MAX 64

#endif
