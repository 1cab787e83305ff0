/* A socket filter that cuts packets off: it keeps as many bytes as the low byte of their length says. */
#include <linux/bpf.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

SEC("socket")
int snap(struct __sk_buff *skb)
{
	skb->cb[0] = skb->len;
	return ((volatile __u8 *)skb->cb)[bpf_htons(1) == 1 ? 3 : 0];
}

char _license[] SEC("license") = "MIT";
