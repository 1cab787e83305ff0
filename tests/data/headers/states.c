/* Watches a connection: how it is set up, how long a packet takes, and that it is closed. */
#include <errno.h>
#include <linux/bpf.h>
#include <linux/in.h>
#include <linux/tcp.h>
#include <sys/socket.h>
#include <bpf/bpf_helpers.h>

struct {
	__uint(type, BPF_MAP_TYPE_SK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct bpf_tcp_sock);
} last SEC(".maps");

SEC("sockops")
int states(struct bpf_sock_ops *ctx)
{
	struct bpf_sock *sk = ctx->sk;
	struct bpf_tcp_sock *tcp, *kept;
	int on = 1;

	if (ctx->family != AF_INET && ctx->family != AF_INET6)
		return 1;
	switch (ctx->op) {
	case BPF_SOCK_OPS_ACTIVE_ESTABLISHED_CB:
		if (bpf_setsockopt(ctx, SOL_TCP, TCP_NODELAY, &on, sizeof(on)) == -EINVAL)
			return 0;
		bpf_sock_ops_cb_flags_set(ctx, BPF_SOCK_OPS_STATE_CB_FLAG | BPF_SOCK_OPS_RTT_CB_FLAG);
		break;
	case BPF_SOCK_OPS_STATE_CB:
		return ctx->args[1] == BPF_TCP_CLOSE ? 0 : 1;
	case BPF_SOCK_OPS_RTT_CB:
		kept = sk ? bpf_sk_storage_get(&last, sk, NULL, BPF_SK_STORAGE_GET_F_CREATE) : NULL;
		tcp = sk ? bpf_tcp_sock(sk) : NULL;
		if (!kept || !tcp)
			return 0;
		kept->srtt_us = tcp->srtt_us >> 3;
	}
	return 1;
}

char _license[] SEC("license") = "MIT";
