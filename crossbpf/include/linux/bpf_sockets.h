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

/* The next hop of bpf_redirect_neigh. */
struct bpf_redir_neigh {
	__u32 nh_family;
	union {
		__be32 ipv4_nh;
		__u32 ipv6_nh[4];
	};
};

enum {
	BPF_F_CURRENT_NETNS = -1,
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

#define BPF_F_ADJ_ROOM_ENCAP_L2(size) (((__u64)(size) & 0xff) << 56)

/* What bpf_lwt_push_encap pushes. */
enum bpf_lwt_encap_mode {
	BPF_LWT_ENCAP_SEG6 = 0,
	BPF_LWT_ENCAP_SEG6_INLINE = 1,
	BPF_LWT_ENCAP_IP = 2,
};

/* Flags of bpf_sk_assign in an sk_lookup program, of sysctl_get_name, of load_hdr_opt. */
enum {
	BPF_SK_LOOKUP_F_REPLACE = 1 << 0,
	BPF_SK_LOOKUP_F_NO_REUSEPORT = 1 << 1,
	BPF_F_SYSCTL_BASE_NAME = 1 << 0,
	BPF_LOAD_HDR_OPT_TCP_SYN = 1 << 0,
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

#endif
