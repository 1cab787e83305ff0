/* The context of perf_event programs, for the machine that -D__TARGET_ARCH_x names. */
#ifndef CROSSBPF_LINUX_BPF_PERF_EVENT_H
#define CROSSBPF_LINUX_BPF_PERF_EVENT_H

#include <linux/ptrace.h>
#include <linux/types.h>

#if !defined(__VMLINUX_H__) && (defined(__TARGET_ARCH_x86) || defined(__TARGET_ARCH_arm64) || \
	defined(__TARGET_ARCH_riscv) || defined(__TARGET_ARCH_powerpc) || defined(__TARGET_ARCH_s390))
struct bpf_perf_event_data {
	bpf_user_pt_regs_t regs;
	__u64 sample_period;
	__u64 addr;
};
#endif

#endif
