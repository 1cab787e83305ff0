/* Sockets, tunnels, routes and what else helpers of the network take, as the kernel's ABI lays them out. */
#ifndef CROSSBPF_LINUX_BPF_SOCKETS_H
#define CROSSBPF_LINUX_BPF_SOCKETS_H

#include <linux/types.h>

/* What bpf_sk_lookup_tcp and its kin look for; all in network order. The size says which. */
struct bpf_sock_tuple {
	union {
		struct {
			__be32 saddr;
			__be32 daddr;
			__be16 sport;
			__be16 dport;
		} ipv4;
		struct {
			__be32 saddr[4];
			__be32 daddr[4];
			__be16 sport;
			__be16 dport;
		} ipv6;
	};
};

/* What bpf_tcp_sock gives. */
struct bpf_tcp_sock {
	__u32 snd_cwnd;
	__u32 srtt_us;
	__u32 rtt_min;
	__u32 snd_ssthresh;
	__u32 rcv_nxt;
	__u32 snd_nxt;
	__u32 snd_una;
	__u32 mss_cache;
	__u32 ecn_flags;
	__u32 rate_delivered;
	__u32 rate_interval_us;
	__u32 packets_out;
	__u32 retrans_out;
	__u32 total_retrans;
	__u32 segs_in;
	__u32 data_segs_in;
	__u32 segs_out;
	__u32 data_segs_out;
	__u32 lost_out;
	__u32 sacked_out;
	__u64 bytes_received;
	__u64 bytes_acked;
	__u32 dsack_dups;
	__u32 delivered;
	__u32 delivered_ce;
	__u32 icsk_retransmits;
};

/* What bpf_skb_get_tunnel_key gives and bpf_skb_set_tunnel_key takes; IPv4 addresses in the program's byte order. */
struct bpf_tunnel_key {
	__u32 tunnel_id;
	union {
		__u32 remote_ipv4;
		__u32 remote_ipv6[4];
	};
	__u8 tunnel_tos;
	__u8 tunnel_ttl;
	union {
		__u16 tunnel_ext;
		__be16 tunnel_flags;
	};
	__u32 tunnel_label;
	union {
		__u32 local_ipv4;
		__u32 local_ipv6[4];
	};
};

/* What bpf_skb_get_xfrm_state gives. */
struct bpf_xfrm_state {
	__u32 reqid;
	__u32 spi;
	__u16 family;
	__u16 ext;
	union {
		__u32 remote_ipv4;
		__u32 remote_ipv6[4];
	};
};

/* An AF_XDP socket in an xskmap. */
struct bpf_xdp_sock {
	__u32 queue_id;
};

/* The next hop of bpf_redirect_neigh. */
struct bpf_redir_neigh {
	__u32 nh_family;
	union {
		__be32 ipv4_nh;
		__u32 ipv6_nh[4];
	};
};

/* What bpf_fib_lookup asks, and what it answers in the same place. Addresses and ports are in network order. */
struct bpf_fib_lookup {
	__u8 family;
	__u8 l4_protocol;
	__be16 sport;
	__be16 dport;
	union {
		__u16 tot_len;    /* asked: bytes from the network header on, 0 for no check */
		__u16 mtu_result; /* answered */
	};
	__u32 ifindex; /* asked: where it has come in; answered: where it goes out */
	union {
		__u8 tos;        /* asked, of IPv4 */
		__be32 flowinfo; /* asked, of IPv6 */
		__u32 rt_metric; /* answered */
	};
	union {
		__be32 ipv4_src;
		__u32 ipv6_src[4];
	};
	union {
		__be32 ipv4_dst;
		__u32 ipv6_dst[4];
	};
	union {
		struct {
			__be16 h_vlan_proto;
			__be16 h_vlan_TCI;
		};
		__u32 tbid; /* asked, with BPF_FIB_LOOKUP_TBID */
	};
	union {
		struct {
			__u32 mark; /* asked, with BPF_FIB_LOOKUP_MARK */
		};
		struct {
			__u8 smac[6];
			__u8 dmac[6];
		};
	};
};

enum {
	BPF_FIB_LOOKUP_DIRECT = 1 << 0,     /* the device's table, without rules */
	BPF_FIB_LOOKUP_OUTPUT = 1 << 1,     /* ifindex is where it is to go out */
	BPF_FIB_LOOKUP_SKIP_NEIGH = 1 << 2, /* no link-layer addresses */
	BPF_FIB_LOOKUP_TBID = 1 << 3,
	BPF_FIB_LOOKUP_SRC = 1 << 4, /* answer the source address */
	BPF_FIB_LOOKUP_MARK = 1 << 5,
};

enum {
	BPF_FIB_LKUP_RET_SUCCESS = 0,
	BPF_FIB_LKUP_RET_BLACKHOLE = 1,
	BPF_FIB_LKUP_RET_UNREACHABLE = 2,
	BPF_FIB_LKUP_RET_PROHIBIT = 3,
	BPF_FIB_LKUP_RET_NOT_FWDED = 4,
	BPF_FIB_LKUP_RET_FWD_DISABLED = 5,
	BPF_FIB_LKUP_RET_UNSUPP_LWT = 6,
	BPF_FIB_LKUP_RET_NO_NEIGH = 7,
	BPF_FIB_LKUP_RET_FRAG_NEEDED = 8,
	BPF_FIB_LKUP_RET_NO_SRC_ADDR = 9,
};

/* Flags and answers of bpf_check_mtu. */
enum bpf_check_mtu_flags {
	BPF_MTU_CHK_SEGS = 1 << 0,
};

enum bpf_check_mtu_ret {
	BPF_MTU_CHK_RET_SUCCESS = 0,
	BPF_MTU_CHK_RET_FRAG_NEEDED = 1,
	BPF_MTU_CHK_RET_SEGS_TOOBIG = 2,
};

/* What a flow dissector finds, all in network order but for offsets, flags and addr_proto. */
struct bpf_flow_keys {
	__u16 nhoff;
	__u16 thoff;
	__u16 addr_proto;
	__u8 is_frag;
	__u8 is_first_frag;
	__u8 is_encap;
	__u8 ip_proto;
	__be16 n_proto;
	__be16 sport;
	__be16 dport;
	union {
		struct {
			__be32 ipv4_src;
			__be32 ipv4_dst;
		};
		struct {
			__u32 ipv6_src[4];
			__u32 ipv6_dst[4];
		};
	};
	__u32 flags;
	__be32 flow_label;
};

enum {
	BPF_FLOW_DISSECTOR_F_PARSE_1ST_FRAG = 1 << 0,
	BPF_FLOW_DISSECTOR_F_STOP_AT_FLOW_LABEL = 1 << 1,
	BPF_FLOW_DISSECTOR_F_STOP_AT_ENCAP = 1 << 2,
};

/* Flags of bpf_skb_store_bytes. */
enum {
	BPF_F_RECOMPUTE_CSUM = 1 << 0,
	BPF_F_INVALIDATE_HASH = 1 << 1,
};

/* Flags of bpf_l3_csum_replace and bpf_l4_csum_replace: how many bytes change, and of what. */
enum {
	BPF_F_HDR_FIELD_MASK = 0xf,
	BPF_F_PSEUDO_HDR = 1 << 4,
	BPF_F_MARK_MANGLED_0 = 1 << 5,
	BPF_F_MARK_ENFORCE = 1 << 6,
	BPF_F_IPV6 = 1 << 7,
};

/* What bpf_csum_level does to the number of checksums that are known to be right. */
enum {
	BPF_CSUM_LEVEL_QUERY = 0,
	BPF_CSUM_LEVEL_INC = 1,
	BPF_CSUM_LEVEL_DEC = 2,
	BPF_CSUM_LEVEL_RESET = 3,
};

/* Where bpf_skb_load_bytes_relative counts from. */
enum bpf_hdr_start_off {
	BPF_HDR_START_MAC = 0,
	BPF_HDR_START_NET = 1,
};

/* Flags of bpf_redirect and bpf_redirect_map: into the device, or to all devices of a map, but not to the one that the
 * packet has come from. */
enum {
	BPF_F_INGRESS = 1 << 0,
	BPF_F_BROADCAST = 1 << 3,
	BPF_F_EXCLUDE_INGRESS = 1 << 4,
};

enum {
	BPF_F_CURRENT_NETNS = -1L,
};

/* Flags of the tunnel's helpers. */
enum {
	BPF_F_TUNINFO_IPV6 = 1 << 0,
	BPF_F_ZERO_CSUM_TX = 1 << 1,
	BPF_F_DONT_FRAGMENT = 1 << 2,
	BPF_F_SEQ_NUMBER = 1 << 3,
	BPF_F_NO_TUNNEL_KEY = 1 << 4,
	BPF_F_TUNINFO_FLAGS = 1 << 4,
};

/* Where bpf_skb_adjust_room makes room, and what for. */
enum bpf_adj_room_mode {
	BPF_ADJ_ROOM_NET = 0,
	BPF_ADJ_ROOM_MAC = 1,
};

enum {
	BPF_F_ADJ_ROOM_FIXED_GSO = 1 << 0,
	BPF_F_ADJ_ROOM_ENCAP_L3_IPV4 = 1 << 1,
	BPF_F_ADJ_ROOM_ENCAP_L3_IPV6 = 1 << 2,
	BPF_F_ADJ_ROOM_ENCAP_L4_GRE = 1 << 3,
	BPF_F_ADJ_ROOM_ENCAP_L4_UDP = 1 << 4,
	BPF_F_ADJ_ROOM_NO_CSUM_RESET = 1 << 5,
	BPF_F_ADJ_ROOM_ENCAP_L2_ETH = 1 << 6,
	BPF_F_ADJ_ROOM_DECAP_L3_IPV4 = 1 << 7,
	BPF_F_ADJ_ROOM_DECAP_L3_IPV6 = 1 << 8,
};

enum {
	BPF_ADJ_ROOM_ENCAP_L2_MASK = 0xff,
	BPF_ADJ_ROOM_ENCAP_L2_SHIFT = 56,
};

/* What bpf_lwt_push_encap pushes. */
enum bpf_lwt_encap_mode {
	BPF_LWT_ENCAP_SEG6 = 0,
	BPF_LWT_ENCAP_SEG6_INLINE = 1,
	BPF_LWT_ENCAP_IP = 2,
};

/* Whose clock __sk_buff's tstamp is of, and what bpf_skb_set_tstamp takes; the first two names are older. */
enum {
	BPF_SKB_TSTAMP_UNSPEC = 0,
	BPF_SKB_TSTAMP_DELIVERY_MONO = 1,
	BPF_SKB_CLOCK_REALTIME = 0,
	BPF_SKB_CLOCK_MONOTONIC = 1,
	BPF_SKB_CLOCK_TAI = 2,
};

/* Flags of bpf_sk_assign in an sk_lookup program. */
enum {
	BPF_SK_LOOKUP_F_REPLACE = 1 << 0,
	BPF_SK_LOOKUP_F_NO_REUSEPORT = 1 << 1,
};

/* Flags of bpf_load_hdr_opt: look in the SYN that was kept. */
enum {
	BPF_LOAD_HDR_OPT_TCP_SYN = 1 << 0,
};

/* args[0] of BPF_SOCK_OPS_HDR_OPT_LEN_CB and BPF_SOCK_OPS_WRITE_HDR_OPT_CB. */
enum {
	BPF_WRITE_HDR_TCP_CURRENT_MSS = 1,
	BPF_WRITE_HDR_TCP_SYNACK_COOKIE = 2,
};

/* What a sock_ops program is called for. */
enum {
	BPF_SOCK_OPS_VOID = 0,
	BPF_SOCK_OPS_TIMEOUT_INIT = 1,
	BPF_SOCK_OPS_RWND_INIT = 2,
	BPF_SOCK_OPS_TCP_CONNECT_CB = 3,
	BPF_SOCK_OPS_ACTIVE_ESTABLISHED_CB = 4,
	BPF_SOCK_OPS_PASSIVE_ESTABLISHED_CB = 5,
	BPF_SOCK_OPS_NEEDS_ECN = 6,
	BPF_SOCK_OPS_BASE_RTT = 7,
	BPF_SOCK_OPS_RTO_CB = 8,
	BPF_SOCK_OPS_RETRANS_CB = 9,
	BPF_SOCK_OPS_STATE_CB = 10,
	BPF_SOCK_OPS_TCP_LISTEN_CB = 11,
	BPF_SOCK_OPS_RTT_CB = 12,
	BPF_SOCK_OPS_PARSE_HDR_OPT_CB = 13,
	BPF_SOCK_OPS_HDR_OPT_LEN_CB = 14,
	BPF_SOCK_OPS_WRITE_HDR_OPT_CB = 15,
	BPF_SOCK_OPS_TSTAMP_SCHED_CB = 16,
	BPF_SOCK_OPS_TSTAMP_SND_SW_CB = 17,
	BPF_SOCK_OPS_TSTAMP_SND_HW_CB = 18,
	BPF_SOCK_OPS_TSTAMP_ACK_CB = 19,
	BPF_SOCK_OPS_TSTAMP_SENDMSG_CB = 20,
};

/* Flags of bpf_sock_ops_cb_flags_set: what else it is to be called for. */
enum {
	BPF_SOCK_OPS_RTO_CB_FLAG = 1 << 0,
	BPF_SOCK_OPS_RETRANS_CB_FLAG = 1 << 1,
	BPF_SOCK_OPS_STATE_CB_FLAG = 1 << 2,
	BPF_SOCK_OPS_RTT_CB_FLAG = 1 << 3,
	BPF_SOCK_OPS_PARSE_ALL_HDR_OPT_CB_FLAG = 1 << 4,
	BPF_SOCK_OPS_PARSE_UNKNOWN_HDR_OPT_CB_FLAG = 1 << 5,
	BPF_SOCK_OPS_WRITE_HDR_OPT_CB_FLAG = 1 << 6,
	BPF_SOCK_OPS_ALL_CB_FLAGS = 0x7f,
};

/* States of a TCP socket. */
enum {
	BPF_TCP_ESTABLISHED = 1,
	BPF_TCP_SYN_SENT = 2,
	BPF_TCP_SYN_RECV = 3,
	BPF_TCP_FIN_WAIT1 = 4,
	BPF_TCP_FIN_WAIT2 = 5,
	BPF_TCP_TIME_WAIT = 6,
	BPF_TCP_CLOSE = 7,
	BPF_TCP_CLOSE_WAIT = 8,
	BPF_TCP_LAST_ACK = 9,
	BPF_TCP_LISTEN = 10,
	BPF_TCP_CLOSING = 11,
	BPF_TCP_NEW_SYN_RECV = 12,
	BPF_TCP_BOUND_INACTIVE = 13,
	BPF_TCP_MAX_STATES = 14,
};

/* Socket options that only bpf_setsockopt and bpf_getsockopt know. */
enum {
	TCP_BPF_IW = 1001,
	TCP_BPF_SNDCWND_CLAMP = 1002,
	TCP_BPF_DELACK_MAX = 1003,
	TCP_BPF_RTO_MIN = 1004,
	TCP_BPF_SYN = 1005,
	TCP_BPF_SYN_IP = 1006,
	TCP_BPF_SYN_MAC = 1007,
	TCP_BPF_SOCK_OPS_CB_FLAGS = 1008,
	SK_BPF_CB_FLAGS = 1009,
};

enum {
	SK_BPF_CB_TX_TIMESTAMPING = 1 << 0,
	SK_BPF_CB_MASK = SK_BPF_CB_TX_TIMESTAMPING,
};

#endif
