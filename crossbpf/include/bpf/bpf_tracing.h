/* Arguments and results of probed functions: by register for kprobes, as typed parameters for the others.
 *
 * The registers are those of one machine, which -D__TARGET_ARCH_x names: x86, arm64, riscv, powerpc or s390. A pt_regs
 * that the program declares itself is used as it is; otherwise this file declares what user space may know of it.
 */
#ifndef CROSSBPF_BPF_TRACING_H
#define CROSSBPF_BPF_TRACING_H

#include <linux/types.h>

#if defined(__TARGET_ARCH_x86)
#ifndef __VMLINUX_H__
struct pt_regs {
	unsigned long r15, r14, r13, r12, bp, bx, r11, r10, r9, r8, ax, cx, dx, si, di, orig_ax, ip, cs, flags, sp, ss;
};
#endif
#define __CROSSBPF_REGS(x) ((const struct pt_regs *)(x))
#define __CROSSBPF_PARM1 di
#define __CROSSBPF_PARM2 si
#define __CROSSBPF_PARM3 dx
#define __CROSSBPF_PARM4 cx
#define __CROSSBPF_PARM5 r8
#define __CROSSBPF_PARM6 r9
#define __CROSSBPF_SYSCALL4 r10
#define __CROSSBPF_RC ax
#define __CROSSBPF_IP ip
#define __CROSSBPF_SP sp
#define __CROSSBPF_FP bp
#elif defined(__TARGET_ARCH_arm64)
#ifndef __VMLINUX_H__
struct user_pt_regs {
	unsigned long long regs[31], sp, pc, pstate;
};
struct pt_regs;
#endif
#define __CROSSBPF_REGS(x) ((const struct user_pt_regs *)(x))
#define __CROSSBPF_PARM1 regs[0]
#define __CROSSBPF_PARM2 regs[1]
#define __CROSSBPF_PARM3 regs[2]
#define __CROSSBPF_PARM4 regs[3]
#define __CROSSBPF_PARM5 regs[4]
#define __CROSSBPF_PARM6 regs[5]
#define __CROSSBPF_SYSCALL4 regs[3]
#define __CROSSBPF_RET regs[30]
#define __CROSSBPF_RC regs[0]
#define __CROSSBPF_IP pc
#define __CROSSBPF_SP sp
#define __CROSSBPF_FP regs[29]
#elif defined(__TARGET_ARCH_riscv)
#ifndef __VMLINUX_H__
struct user_regs_struct {
	unsigned long pc, ra, sp, gp, tp, t0, t1, t2, s0, s1, a0, a1, a2, a3, a4, a5, a6, a7;
	unsigned long s2, s3, s4, s5, s6, s7, s8, s9, s10, s11, t3, t4, t5, t6;
};
struct pt_regs;
#endif
#define __CROSSBPF_REGS(x) ((const struct user_regs_struct *)(x))
#define __CROSSBPF_PARM1 a0
#define __CROSSBPF_PARM2 a1
#define __CROSSBPF_PARM3 a2
#define __CROSSBPF_PARM4 a3
#define __CROSSBPF_PARM5 a4
#define __CROSSBPF_PARM6 a5
#define __CROSSBPF_SYSCALL4 a3
#define __CROSSBPF_RET ra
#define __CROSSBPF_RC a0
#define __CROSSBPF_IP pc
#define __CROSSBPF_SP sp
#define __CROSSBPF_FP s0
#elif defined(__TARGET_ARCH_powerpc)
#ifndef __VMLINUX_H__
struct pt_regs {
	unsigned long gpr[32], nip, msr, orig_gpr3, ctr, link, xer, ccr, softe, trap, dar, dsisr, result;
};
#endif
#define __CROSSBPF_REGS(x) ((const struct pt_regs *)(x))
#define __CROSSBPF_PARM1 gpr[3]
#define __CROSSBPF_PARM2 gpr[4]
#define __CROSSBPF_PARM3 gpr[5]
#define __CROSSBPF_PARM4 gpr[6]
#define __CROSSBPF_PARM5 gpr[7]
#define __CROSSBPF_PARM6 gpr[8]
#define __CROSSBPF_SYSCALL4 gpr[6]
#define __CROSSBPF_RET link
#define __CROSSBPF_RC gpr[3]
#define __CROSSBPF_IP nip
#define __CROSSBPF_SP gpr[1]
#define __CROSSBPF_FP gpr[31]
#elif defined(__TARGET_ARCH_s390)
#ifndef __VMLINUX_H__
struct __crossbpf_psw {
	unsigned long mask, addr;
};
struct user_pt_regs {
	unsigned long args[1];
	struct __crossbpf_psw psw;
	unsigned long gprs[16];
};
struct pt_regs;
#endif
#define __CROSSBPF_REGS(x) ((const struct user_pt_regs *)(x))
#define __CROSSBPF_PARM1 gprs[2]
#define __CROSSBPF_PARM2 gprs[3]
#define __CROSSBPF_PARM3 gprs[4]
#define __CROSSBPF_PARM4 gprs[5]
#define __CROSSBPF_PARM5 gprs[6]
#define __CROSSBPF_SYSCALL4 gprs[5]
#define __CROSSBPF_RET gprs[14]
#define __CROSSBPF_RC gprs[2]
#define __CROSSBPF_IP psw.addr
#define __CROSSBPF_SP gprs[15]
#define __CROSSBPF_FP gprs[11]
#else
struct pt_regs;
#endif

#ifdef __CROSSBPF_REGS
#define PT_REGS_PARM1(x) (__CROSSBPF_REGS(x)->__CROSSBPF_PARM1)
#define PT_REGS_PARM2(x) (__CROSSBPF_REGS(x)->__CROSSBPF_PARM2)
#define PT_REGS_PARM3(x) (__CROSSBPF_REGS(x)->__CROSSBPF_PARM3)
#define PT_REGS_PARM4(x) (__CROSSBPF_REGS(x)->__CROSSBPF_PARM4)
#define PT_REGS_PARM5(x) (__CROSSBPF_REGS(x)->__CROSSBPF_PARM5)
#ifdef __CROSSBPF_PARM6
#define PT_REGS_PARM6(x) (__CROSSBPF_REGS(x)->__CROSSBPF_PARM6)
#endif
#define PT_REGS_SYSCALL_PARM4(x) (__CROSSBPF_REGS(x)->__CROSSBPF_SYSCALL4)
#define PT_REGS_RC(x) (__CROSSBPF_REGS(x)->__CROSSBPF_RC)
#define PT_REGS_IP(x) (__CROSSBPF_REGS(x)->__CROSSBPF_IP)
#define PT_REGS_SP(x) (__CROSSBPF_REGS(x)->__CROSSBPF_SP)
#define PT_REGS_FP(x) (__CROSSBPF_REGS(x)->__CROSSBPF_FP)
#ifdef __CROSSBPF_RET
#define PT_REGS_RET(x) (__CROSSBPF_REGS(x)->__CROSSBPF_RET)
#endif
#else
#define __CROSSBPF_NO_MACHINE(x) \
	({ _Pragma("GCC error \"say which machine the program is for: -D__TARGET_ARCH_x86 and the like\""); 0ul; })
#define PT_REGS_PARM1(x) __CROSSBPF_NO_MACHINE(x)
#define PT_REGS_PARM2(x) __CROSSBPF_NO_MACHINE(x)
#define PT_REGS_PARM3(x) __CROSSBPF_NO_MACHINE(x)
#define PT_REGS_PARM4(x) __CROSSBPF_NO_MACHINE(x)
#define PT_REGS_PARM5(x) __CROSSBPF_NO_MACHINE(x)
#define PT_REGS_RC(x) __CROSSBPF_NO_MACHINE(x)
#define PT_REGS_IP(x) __CROSSBPF_NO_MACHINE(x)
#endif

/* How many arguments follow a name: pastes MACRO and their number, 0 to 12. */
#define __CROSSBPF_13TH(_0, _1, _2, _3, _4, _5, _6, _7, _8, _9, _10, _11, _12, n, ...) n
#define __CROSSBPF_COUNT(...) __CROSSBPF_13TH(_, ##__VA_ARGS__, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0)
#define __CROSSBPF_JOIN(a, b) a##b
#define __CROSSBPF_WITH(macro, count) __CROSSBPF_JOIN(macro, count)

#define __crossbpf_word0() ctx
#define __crossbpf_word1(x) ctx, (void *)ctx[0]
#define __crossbpf_word2(x, ...) __crossbpf_word1(__VA_ARGS__), (void *)ctx[1]
#define __crossbpf_word3(x, ...) __crossbpf_word2(__VA_ARGS__), (void *)ctx[2]
#define __crossbpf_word4(x, ...) __crossbpf_word3(__VA_ARGS__), (void *)ctx[3]
#define __crossbpf_word5(x, ...) __crossbpf_word4(__VA_ARGS__), (void *)ctx[4]
#define __crossbpf_word6(x, ...) __crossbpf_word5(__VA_ARGS__), (void *)ctx[5]
#define __crossbpf_word7(x, ...) __crossbpf_word6(__VA_ARGS__), (void *)ctx[6]
#define __crossbpf_word8(x, ...) __crossbpf_word7(__VA_ARGS__), (void *)ctx[7]
#define __crossbpf_word9(x, ...) __crossbpf_word8(__VA_ARGS__), (void *)ctx[8]
#define __crossbpf_word10(x, ...) __crossbpf_word9(__VA_ARGS__), (void *)ctx[9]
#define __crossbpf_word11(x, ...) __crossbpf_word10(__VA_ARGS__), (void *)ctx[10]
#define __crossbpf_word12(x, ...) __crossbpf_word11(__VA_ARGS__), (void *)ctx[11]

#define __crossbpf_regs0() ctx
#define __crossbpf_regs1(x) ctx, (void *)PT_REGS_PARM1(ctx)
#define __crossbpf_regs2(x, ...) __crossbpf_regs1(__VA_ARGS__), (void *)PT_REGS_PARM2(ctx)
#define __crossbpf_regs3(x, ...) __crossbpf_regs2(__VA_ARGS__), (void *)PT_REGS_PARM3(ctx)
#define __crossbpf_regs4(x, ...) __crossbpf_regs3(__VA_ARGS__), (void *)PT_REGS_PARM4(ctx)
#define __crossbpf_regs5(x, ...) __crossbpf_regs4(__VA_ARGS__), (void *)PT_REGS_PARM5(ctx)
#define __crossbpf_regs6(x, ...) __crossbpf_regs5(__VA_ARGS__), (void *)PT_REGS_PARM6(ctx)

#define __crossbpf_rc0() ctx
#define __crossbpf_rc1(x) ctx, (void *)PT_REGS_RC(ctx)

/* The program NAME, whose context holds values; BODY is a function of CONTEXT and of the parameters that are listed. */
#define __CROSSBPF_TYPED(name, context, values, args...) \
	name(context); \
	static __attribute__((always_inline)) typeof(name(0)) ____##name(context, ##args); \
	typeof(name(0)) name(context) \
	{ \
		_Pragma("GCC diagnostic push") _Pragma("GCC diagnostic ignored \"-Wint-conversion\"") \
		return ____##name(__CROSSBPF_WITH(values, __CROSSBPF_COUNT(args))(args)); \
		_Pragma("GCC diagnostic pop") \
	} \
	static __attribute__((always_inline)) typeof(name(0)) ____##name(context, ##args)

/* int BPF_PROG(name, struct task_struct *task, int flags) { ... }: fentry, fexit, fmod_ret, tp_btf, lsm, raw_tp. */
#define BPF_PROG(name, args...) __CROSSBPF_TYPED(name, unsigned long long *ctx, __crossbpf_word, ##args)

/* The same for kprobe and uprobe (at most 6 parameters), and for kretprobe and uretprobe (the result, or nothing). */
#define BPF_KPROBE(name, args...) __CROSSBPF_TYPED(name, struct pt_regs *ctx, __crossbpf_regs, ##args)
#define BPF_KRETPROBE(name, args...) __CROSSBPF_TYPED(name, struct pt_regs *ctx, __crossbpf_rc, ##args)
#define BPF_UPROBE(name, args...) BPF_KPROBE(name, ##args)
#define BPF_URETPROBE(name, args...) BPF_KRETPROBE(name, ##args)

/* Of an iterator: format numbers, and pointers that are cast to such, for who reads it. */
#define BPF_SEQ_PRINTF(seq, format, ...) \
	({ \
		static const char __format[] = format; \
		unsigned long long __data[] = {__VA_ARGS__}; \
		bpf_seq_printf(seq, __format, sizeof(__format), __data, sizeof(__data)); \
	})

#endif
