/* The registers that user space may know of the machine that -D__TARGET_ARCH_x names.
 *
 * A program that includes vmlinux.h has the kernel's own instead. */
#ifndef CROSSBPF_LINUX_PTRACE_H
#define CROSSBPF_LINUX_PTRACE_H

#include <linux/types.h>

#ifndef __VMLINUX_H__
#if defined(__TARGET_ARCH_x86)
/* Each under two names: user space's, and the kernel's own. */
#define __CROSSBPF_TWO(user, kernel) \
	union { \
		unsigned long user; \
		unsigned long kernel; \
	}
struct pt_regs {
	unsigned long r15, r14, r13, r12;
	__CROSSBPF_TWO(rbp, bp);
	__CROSSBPF_TWO(rbx, bx);
	unsigned long r11, r10, r9, r8;
	__CROSSBPF_TWO(rax, ax);
	__CROSSBPF_TWO(rcx, cx);
	__CROSSBPF_TWO(rdx, dx);
	__CROSSBPF_TWO(rsi, si);
	__CROSSBPF_TWO(rdi, di);
	__CROSSBPF_TWO(orig_rax, orig_ax);
	__CROSSBPF_TWO(rip, ip);
	unsigned long cs;
	__CROSSBPF_TWO(eflags, flags);
	__CROSSBPF_TWO(rsp, sp);
	unsigned long ss;
};
typedef struct pt_regs bpf_user_pt_regs_t;
#elif defined(__TARGET_ARCH_arm64)
struct user_pt_regs {
	__u64 regs[31];
	__u64 sp;
	__u64 pc;
	__u64 pstate;
};
struct pt_regs;
typedef struct user_pt_regs bpf_user_pt_regs_t;
#elif defined(__TARGET_ARCH_riscv)
struct user_regs_struct {
	unsigned long pc, ra, sp, gp, tp, t0, t1, t2, s0, s1, a0, a1, a2, a3, a4, a5, a6, a7;
	unsigned long s2, s3, s4, s5, s6, s7, s8, s9, s10, s11, t3, t4, t5, t6;
};
struct pt_regs;
typedef struct user_regs_struct bpf_user_pt_regs_t;
#elif defined(__TARGET_ARCH_powerpc)
struct pt_regs {
	unsigned long gpr[32], nip, msr, orig_gpr3, ctr, link, xer, ccr, softe, trap, dar, dsisr, result;
};
typedef struct pt_regs bpf_user_pt_regs_t;
#elif defined(__TARGET_ARCH_s390)
typedef struct {
	unsigned long mask, addr;
} psw_t;
struct user_pt_regs {
	unsigned long args[1];
	psw_t psw;
	unsigned long gprs[16];
};
struct pt_regs;
typedef struct user_pt_regs bpf_user_pt_regs_t;
#else
struct pt_regs;
#endif
#endif

#endif
