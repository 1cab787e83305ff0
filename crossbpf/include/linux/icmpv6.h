/* The ICMPv6 header (RFC 4443; neighbour discovery: RFC 4861) and its types. */
#ifndef CROSSBPF_LINUX_ICMPV6_H
#define CROSSBPF_LINUX_ICMPV6_H

#include <linux/types.h>

#define ICMPV6_DEST_UNREACH 1
#define ICMPV6_PKT_TOOBIG 2
#define ICMPV6_TIME_EXCEED 3
#define ICMPV6_PARAMPROB 4
#define ICMPV6_ERRMSG_MAX 127
#define ICMPV6_INFOMSG_MASK 0x80
#define ICMPV6_ECHO_REQUEST 128
#define ICMPV6_ECHO_REPLY 129
#define ICMPV6_MGM_QUERY 130
#define ICMPV6_MGM_REPORT 131
#define ICMPV6_MGM_REDUCTION 132
#define ICMPV6_NI_QUERY 139
#define ICMPV6_NI_REPLY 140
#define ICMPV6_MLD2_REPORT 143
#define ICMPV6_DHAAD_REQUEST 144
#define ICMPV6_DHAAD_REPLY 145
#define ICMPV6_MOBILE_PREFIX_SOL 146
#define ICMPV6_MOBILE_PREFIX_ADV 147

/* Codes of ICMPV6_DEST_UNREACH, ICMPV6_TIME_EXCEED and ICMPV6_PARAMPROB. */
#define ICMPV6_NOROUTE 0
#define ICMPV6_ADM_PROHIBITED 1
#define ICMPV6_NOT_NEIGHBOUR 2
#define ICMPV6_ADDR_UNREACH 3
#define ICMPV6_PORT_UNREACH 4
#define ICMPV6_POLICY_FAIL 5
#define ICMPV6_REJECT_ROUTE 6
#define ICMPV6_EXC_HOPLIMIT 0
#define ICMPV6_EXC_FRAGTIME 1
#define ICMPV6_HDR_FIELD 0
#define ICMPV6_UNK_NEXTHDR 1
#define ICMPV6_UNK_OPTION 2

#ifndef __VMLINUX_H__
struct icmp6hdr {
	__u8 icmp6_type;
	__u8 icmp6_code;
	__sum16 icmp6_cksum;
	union {
		__be32 un_data32[1];
		__be16 un_data16[2];
		__u8 un_data8[4];
		struct icmpv6_echo {
			__be16 identifier;
			__be16 sequence;
		} u_echo;
		struct icmpv6_nd_advt {
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
			__u32 reserved : 5, override : 1, solicited : 1, router : 1, reserved2 : 24;
#else
			__u32 router : 1, solicited : 1, override : 1, reserved : 29;
#endif
		} u_nd_advt;
		struct icmpv6_nd_ra {
			__u8 hop_limit;
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
			__u8 reserved : 3, router_pref : 2, home_agent : 1, other : 1, managed : 1;
#else
			__u8 managed : 1, other : 1, home_agent : 1, router_pref : 2, reserved : 3;
#endif
			__be16 rt_lifetime;
		} u_nd_ra;
	} icmp6_dataun;
};
#endif

#define icmp6_identifier icmp6_dataun.u_echo.identifier
#define icmp6_sequence icmp6_dataun.u_echo.sequence
#define icmp6_pointer icmp6_dataun.un_data32[0]
#define icmp6_mtu icmp6_dataun.un_data32[0]
#define icmp6_unused icmp6_dataun.un_data32[0]
#define icmp6_maxdelay icmp6_dataun.un_data16[0]
#define icmp6_router icmp6_dataun.u_nd_advt.router
#define icmp6_solicited icmp6_dataun.u_nd_advt.solicited
#define icmp6_override icmp6_dataun.u_nd_advt.override
#define icmp6_hop_limit icmp6_dataun.u_nd_ra.hop_limit
#define icmp6_rt_lifetime icmp6_dataun.u_nd_ra.rt_lifetime

#endif
