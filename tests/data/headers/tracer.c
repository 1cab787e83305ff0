/* Reads the kernel through its own types. */
#include "vmlinux.h"
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_kfuncs.h>
#include <bpf/bpf_tracing.h>
#include <linux/if_ether.h>
#include <linux/ip.h>

struct event {
	int pid;
	char comm[16], parent[16];
};

SEC("tp_btf/sched_switch")
int BPF_PROG(switched, _Bool preempt, struct task_struct *before, struct task_struct *next)
{
	struct event event = {.pid = before->pid + preempt};

	BPF_CORE_READ_INTO(&event.comm, next, comm);
	BPF_CORE_READ_STR_INTO(&event.parent, next, real_parent, comm);
	if (!bpf_core_field_exists(next->flag) || bpf_core_type_size(struct task_struct) < 8)
		return 1;
	BPF_CORE_WRITE_BITFIELD(&event, pid, 5);
	bpf_printk("%d %s %s %d %d", event.pid, event.comm, event.parent, BPF_CORE_READ(next, real_parent, pid),
		   (int)BPF_CORE_READ_BITFIELD_PROBED(next, other));
	return bpf_core_cast(next, struct task_struct)->pid;
}

SEC("kprobe/read")
int BPF_KPROBE(reads, struct task_struct *task)
{
	return BPF_PROBE_READ(task, real_parent, pid) + PT_REGS_PARM1_CORE(ctx) + PT_REGS_RC(ctx);
}

SEC("ksyscall/kill")
int BPF_KSYSCALL(kills, int pid, int signal)
{
	return pid + signal;
}

SEC("xdp")
int sees(struct xdp_md *ctx)
{
	struct iphdr *ip = (void *)(long)ctx->data + ETH_HLEN;
	int i, sum = 0;

	bpf_for(i, 0, 3)
		sum += i;
	return (void *)(ip + 1) <= (void *)(long)ctx->data_end && ip->version == 4 ? XDP_PASS : sum;
}

char _license[] SEC("license") = "GPL";
