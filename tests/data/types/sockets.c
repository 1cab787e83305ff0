/* Programs that ask for sockets, send through tunnels, and answer for a cgroup's sockets. */
#include <linux/bpf.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

char _license[] SEC("license") = "GPL";

static struct bpf_sock_tuple tuple(__u16 port)
{
	struct bpf_sock_tuple wanted = {};

	wanted.ipv4.saddr = wanted.ipv4.daddr = bpf_htonl(0x7f000001);
	wanted.ipv4.sport = bpf_htons(5);
	wanted.ipv4.dport = bpf_htons(port);
	return wanted;
}

SEC("xdp")
int only_served(struct xdp_md *ctx)
{
	struct bpf_sock_tuple wanted = tuple(40001);
	struct bpf_sock *sk = bpf_sk_lookup_tcp(ctx, &wanted, sizeof(wanted.ipv4), BPF_F_CURRENT_NETNS, 0);
	int served;

	if (!sk)
		return 1;
	served = sk->state == 10 && sk->src_port == 40001 && sk->src_ip4 == bpf_htonl(0x7f000001);
	bpf_sk_release(sk);
	return served ? 2 : 0;
}

SEC("tc")
int steer(struct __sk_buff *skb)
{
	struct bpf_sock_tuple wanted = tuple(40001);
	struct bpf_sock *sk = bpf_skc_lookup_tcp(skb, &wanted, sizeof(wanted.ipv4), BPF_F_CURRENT_NETNS, 0);
	int wrong;

	if (!sk)
		return 2;
	wrong = bpf_sk_assign(skb, sk, 0);
	bpf_sk_release(sk);
	return wrong ? 2 : 0;
}

SEC("tc")
int through_a_tunnel(struct __sk_buff *skb)
{
	struct bpf_tunnel_key key = {.tunnel_id = 7, .remote_ipv4 = 0x0a000001, .tunnel_ttl = 64}, there = {};

	if (bpf_skb_set_tunnel_key(skb, &key, sizeof(key), BPF_F_ZERO_CSUM_TX))
		return 2;
	if (bpf_skb_get_tunnel_key(skb, &there, sizeof(there), 0))
		return 2;
	return there.tunnel_id == 7 && there.local_ipv4 == 0x0a000001 && there.tunnel_ttl == 64 ? 0 : 2;
}

SEC("cgroup/connect4")
int from_here(struct bpf_sock_addr *ctx)
{
	struct {
		__u16 family;
		__be16 port;
		__be32 address;
		__u64 rest;
	} here = {.family = 2, .address = bpf_htonl(0x7f000001)};
	int mark = 5, found = 0;

	if (bpf_bind(ctx, (struct sockaddr *)&here, sizeof(here)))
		return 0;
	if (bpf_setsockopt(ctx, 1, 36, &mark, sizeof(mark)) || bpf_getsockopt(ctx, 1, 36, &found, sizeof(found)))
		return 0;
	return found == 5 && bpf_get_socket_cookie(ctx) == 1;
}

SEC("cgroup/setsockopt")
int not_so(struct bpf_sockopt *ctx)
{
	bpf_set_retval(-13);
	return bpf_get_retval() == -13 && ctx->sk && ctx->sk->family == 2;
}

SEC("sockops")
int listens_to_retransmits(struct bpf_sock_ops *ops)
{
	return bpf_sock_ops_cb_flags_set(ops, BPF_SOCK_OPS_RETRANS_CB_FLAG) == 0 && ops->bpf_sock_ops_cb_flags == 2;
}
