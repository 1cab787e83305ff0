/* Arguments and results of probed functions: by register for kprobes, as typed parameters for the others.
 *
 * The registers are those of one machine, which -D__TARGET_ARCH_x names: x86, arm64, riscv, powerpc or s390. They are
 * declared in linux/ptrace.h, or in a vmlinux.h of that machine. */
#ifndef CROSSBPF_BPF_TRACING_H
#define CROSSBPF_BPF_TRACING_H

#include <linux/ptrace.h>
#include <linux/types.h>

#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>

/* Where a machine keeps the first argument of a system call besides a register that the result overwrites, user space
 * may not know: it is read out of the kernel's own pt_regs. */
#if defined(__TARGET_ARCH_x86)
#define __CROSSBPF_REGS(x) ((const struct pt_regs *)(x))
#define __CROSSBPF_PARM1 di
#define __CROSSBPF_PARM2 si
#define __CROSSBPF_PARM3 dx
#define __CROSSBPF_PARM4 cx
#define __CROSSBPF_PARM5 r8
#define __CROSSBPF_PARM6 r9
#define __CROSSBPF_SYSCALL1 di
#define __CROSSBPF_SYSCALL2 si
#define __CROSSBPF_SYSCALL3 dx
#define __CROSSBPF_SYSCALL4 r10
#define __CROSSBPF_SYSCALL5 r8
#define __CROSSBPF_SYSCALL6 r9
#define __CROSSBPF_RC ax
#define __CROSSBPF_IP ip
#define __CROSSBPF_SP sp
#define __CROSSBPF_FP bp
#elif defined(__TARGET_ARCH_arm64)
struct pt_regs___arm64 {
	__u64 regs[31], sp, pc, pstate, orig_x0;
} __attribute__((preserve_access_index));
#define __CROSSBPF_REGS(x) ((const struct user_pt_regs *)(x))
#define __CROSSBPF_PARM1 regs[0]
#define __CROSSBPF_PARM2 regs[1]
#define __CROSSBPF_PARM3 regs[2]
#define __CROSSBPF_PARM4 regs[3]
#define __CROSSBPF_PARM5 regs[4]
#define __CROSSBPF_PARM6 regs[5]
#define __CROSSBPF_PARM7 regs[6]
#define __CROSSBPF_PARM8 regs[7]
#define __CROSSBPF_FIRST(x) BPF_CORE_READ((const struct pt_regs___arm64 *)(x), orig_x0)
#define __CROSSBPF_SYSCALL2 regs[1]
#define __CROSSBPF_SYSCALL3 regs[2]
#define __CROSSBPF_SYSCALL4 regs[3]
#define __CROSSBPF_SYSCALL5 regs[4]
#define __CROSSBPF_SYSCALL6 regs[5]
#define __CROSSBPF_RET regs[30]
#define __CROSSBPF_RC regs[0]
#define __CROSSBPF_IP pc
#define __CROSSBPF_SP sp
#define __CROSSBPF_FP regs[29]
#elif defined(__TARGET_ARCH_riscv)
struct pt_regs___riscv {
	unsigned long epc, regs[31], status, badaddr, cause, orig_a0;
} __attribute__((preserve_access_index));
#define __CROSSBPF_REGS(x) ((const struct user_regs_struct *)(x))
#define __CROSSBPF_PARM1 a0
#define __CROSSBPF_PARM2 a1
#define __CROSSBPF_PARM3 a2
#define __CROSSBPF_PARM4 a3
#define __CROSSBPF_PARM5 a4
#define __CROSSBPF_PARM6 a5
#define __CROSSBPF_PARM7 a6
#define __CROSSBPF_PARM8 a7
#define __CROSSBPF_FIRST(x) BPF_CORE_READ((const struct pt_regs___riscv *)(x), orig_a0)
#define __CROSSBPF_SYSCALL2 a1
#define __CROSSBPF_SYSCALL3 a2
#define __CROSSBPF_SYSCALL4 a3
#define __CROSSBPF_SYSCALL5 a4
#define __CROSSBPF_SYSCALL6 a5
#define __CROSSBPF_RET ra
#define __CROSSBPF_RC a0
#define __CROSSBPF_IP pc
#define __CROSSBPF_SP sp
#define __CROSSBPF_FP s0
#elif defined(__TARGET_ARCH_powerpc)
#define __CROSSBPF_REGS(x) ((const struct pt_regs *)(x))
#define __CROSSBPF_PARM1 gpr[3]
#define __CROSSBPF_PARM2 gpr[4]
#define __CROSSBPF_PARM3 gpr[5]
#define __CROSSBPF_PARM4 gpr[6]
#define __CROSSBPF_PARM5 gpr[7]
#define __CROSSBPF_PARM6 gpr[8]
#define __CROSSBPF_PARM7 gpr[9]
#define __CROSSBPF_PARM8 gpr[10]
#define __CROSSBPF_SYSCALL1 orig_gpr3
#define __CROSSBPF_SYSCALL2 gpr[4]
#define __CROSSBPF_SYSCALL3 gpr[5]
#define __CROSSBPF_SYSCALL4 gpr[6]
#define __CROSSBPF_SYSCALL5 gpr[7]
#define __CROSSBPF_SYSCALL6 gpr[8]
#define __CROSSBPF_RET link
#define __CROSSBPF_RC gpr[3]
#define __CROSSBPF_IP nip
#define __CROSSBPF_SP gpr[1]
#define __CROSSBPF_FP gpr[31]
#elif defined(__TARGET_ARCH_s390)
struct pt_regs___s390 {
	unsigned long args[1], psw[2], gprs[16], orig_gpr2;
} __attribute__((preserve_access_index));
#define __CROSSBPF_REGS(x) ((const struct user_pt_regs *)(x))
#define __CROSSBPF_PARM1 gprs[2]
#define __CROSSBPF_PARM2 gprs[3]
#define __CROSSBPF_PARM3 gprs[4]
#define __CROSSBPF_PARM4 gprs[5]
#define __CROSSBPF_PARM5 gprs[6]
#define __CROSSBPF_FIRST(x) BPF_CORE_READ((const struct pt_regs___s390 *)(x), orig_gpr2)
#define __CROSSBPF_SYSCALL2 gprs[3]
#define __CROSSBPF_SYSCALL3 gprs[4]
#define __CROSSBPF_SYSCALL4 gprs[5]
#define __CROSSBPF_SYSCALL5 gprs[6]
#define __CROSSBPF_SYSCALL6 gprs[7]
#define __CROSSBPF_RET gprs[14]
#define __CROSSBPF_RC gprs[2]
#define __CROSSBPF_IP psw.addr
#define __CROSSBPF_SP gprs[15]
#define __CROSSBPF_FP gprs[11]
#endif

#ifdef __CROSSBPF_REGS
#define __CROSSBPF_DIRECT(x, name) (__CROSSBPF_REGS(x)->name)
#define __CROSSBPF_COPIED(x, name) BPF_CORE_READ(__CROSSBPF_REGS(x), name)
#else
#define __CROSSBPF_DIRECT(x, name) \
	({ _Pragma("GCC error \"say which machine the program is for: -D__TARGET_ARCH_x86 and the like\""); 0ul; })
#define __CROSSBPF_COPIED(x, name) __CROSSBPF_DIRECT(x, name)
#endif

/* Registers of a context, and (CORE) of a pt_regs that lies elsewhere in the kernel's memory. */
#define PT_REGS_PARM1(x) __CROSSBPF_DIRECT(x, __CROSSBPF_PARM1)
#define PT_REGS_PARM2(x) __CROSSBPF_DIRECT(x, __CROSSBPF_PARM2)
#define PT_REGS_PARM3(x) __CROSSBPF_DIRECT(x, __CROSSBPF_PARM3)
#define PT_REGS_PARM4(x) __CROSSBPF_DIRECT(x, __CROSSBPF_PARM4)
#define PT_REGS_PARM5(x) __CROSSBPF_DIRECT(x, __CROSSBPF_PARM5)
#define PT_REGS_PARM6(x) __CROSSBPF_DIRECT(x, __CROSSBPF_PARM6)
#define PT_REGS_PARM7(x) __CROSSBPF_DIRECT(x, __CROSSBPF_PARM7)
#define PT_REGS_PARM8(x) __CROSSBPF_DIRECT(x, __CROSSBPF_PARM8)
#define PT_REGS_RET(x) __CROSSBPF_DIRECT(x, __CROSSBPF_RET)
#define PT_REGS_RC(x) __CROSSBPF_DIRECT(x, __CROSSBPF_RC)
#define PT_REGS_IP(x) __CROSSBPF_DIRECT(x, __CROSSBPF_IP)
#define PT_REGS_SP(x) __CROSSBPF_DIRECT(x, __CROSSBPF_SP)
#define PT_REGS_FP(x) __CROSSBPF_DIRECT(x, __CROSSBPF_FP)
#define PT_REGS_PARM1_CORE(x) __CROSSBPF_COPIED(x, __CROSSBPF_PARM1)
#define PT_REGS_PARM2_CORE(x) __CROSSBPF_COPIED(x, __CROSSBPF_PARM2)
#define PT_REGS_PARM3_CORE(x) __CROSSBPF_COPIED(x, __CROSSBPF_PARM3)
#define PT_REGS_PARM4_CORE(x) __CROSSBPF_COPIED(x, __CROSSBPF_PARM4)
#define PT_REGS_PARM5_CORE(x) __CROSSBPF_COPIED(x, __CROSSBPF_PARM5)
#define PT_REGS_PARM6_CORE(x) __CROSSBPF_COPIED(x, __CROSSBPF_PARM6)
#define PT_REGS_PARM7_CORE(x) __CROSSBPF_COPIED(x, __CROSSBPF_PARM7)
#define PT_REGS_PARM8_CORE(x) __CROSSBPF_COPIED(x, __CROSSBPF_PARM8)
#define PT_REGS_RET_CORE(x) __CROSSBPF_COPIED(x, __CROSSBPF_RET)
#define PT_REGS_RC_CORE(x) __CROSSBPF_COPIED(x, __CROSSBPF_RC)
#define PT_REGS_IP_CORE(x) __CROSSBPF_COPIED(x, __CROSSBPF_IP)
#define PT_REGS_SP_CORE(x) __CROSSBPF_COPIED(x, __CROSSBPF_SP)
#define PT_REGS_FP_CORE(x) __CROSSBPF_COPIED(x, __CROSSBPF_FP)

/* Arguments of a system call. */
#ifdef __CROSSBPF_FIRST
#define PT_REGS_PARM1_SYSCALL(x) __CROSSBPF_FIRST(x)
#define PT_REGS_PARM1_CORE_SYSCALL(x) __CROSSBPF_FIRST(x)
#else
#define PT_REGS_PARM1_SYSCALL(x) __CROSSBPF_DIRECT(x, __CROSSBPF_SYSCALL1)
#define PT_REGS_PARM1_CORE_SYSCALL(x) __CROSSBPF_COPIED(x, __CROSSBPF_SYSCALL1)
#endif
#define PT_REGS_PARM2_SYSCALL(x) __CROSSBPF_DIRECT(x, __CROSSBPF_SYSCALL2)
#define PT_REGS_PARM3_SYSCALL(x) __CROSSBPF_DIRECT(x, __CROSSBPF_SYSCALL3)
#define PT_REGS_PARM4_SYSCALL(x) __CROSSBPF_DIRECT(x, __CROSSBPF_SYSCALL4)
#define PT_REGS_PARM5_SYSCALL(x) __CROSSBPF_DIRECT(x, __CROSSBPF_SYSCALL5)
#define PT_REGS_PARM6_SYSCALL(x) __CROSSBPF_DIRECT(x, __CROSSBPF_SYSCALL6)
#define PT_REGS_PARM2_CORE_SYSCALL(x) __CROSSBPF_COPIED(x, __CROSSBPF_SYSCALL2)
#define PT_REGS_PARM3_CORE_SYSCALL(x) __CROSSBPF_COPIED(x, __CROSSBPF_SYSCALL3)
#define PT_REGS_PARM4_CORE_SYSCALL(x) __CROSSBPF_COPIED(x, __CROSSBPF_SYSCALL4)
#define PT_REGS_PARM5_CORE_SYSCALL(x) __CROSSBPF_COPIED(x, __CROSSBPF_SYSCALL5)
#define PT_REGS_PARM6_CORE_SYSCALL(x) __CROSSBPF_COPIED(x, __CROSSBPF_SYSCALL6)
#define PT_REGS_SYSCALL_PARM4(x) PT_REGS_PARM4_SYSCALL(x)

/* Where a call returns to, at a function's entry and at its end. */
#ifdef __CROSSBPF_RET
#define BPF_KPROBE_READ_RET_IP(address, ctx) ({ (address) = PT_REGS_RET(ctx); })
#define BPF_KRETPROBE_READ_RET_IP BPF_KPROBE_READ_RET_IP
#else
#define BPF_KPROBE_READ_RET_IP(address, ctx) \
	({ bpf_probe_read_kernel(&(address), sizeof(address), (void *)PT_REGS_SP(ctx)); })
#define BPF_KRETPROBE_READ_RET_IP(address, ctx) \
	({ bpf_probe_read_kernel(&(address), sizeof(address), (void *)(PT_REGS_FP(ctx) + sizeof(address))); })
#endif

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
#define __crossbpf_regs7(x, ...) __crossbpf_regs6(__VA_ARGS__), (void *)PT_REGS_PARM7(ctx)
#define __crossbpf_regs8(x, ...) __crossbpf_regs7(__VA_ARGS__), (void *)PT_REGS_PARM8(ctx)

#define __crossbpf_call0() ctx
#define __crossbpf_call1(x) ctx, (void *)PT_REGS_PARM1_SYSCALL(ctx)
#define __crossbpf_call2(x, ...) __crossbpf_call1(__VA_ARGS__), (void *)PT_REGS_PARM2_SYSCALL(ctx)
#define __crossbpf_call3(x, ...) __crossbpf_call2(__VA_ARGS__), (void *)PT_REGS_PARM3_SYSCALL(ctx)
#define __crossbpf_call4(x, ...) __crossbpf_call3(__VA_ARGS__), (void *)PT_REGS_PARM4_SYSCALL(ctx)
#define __crossbpf_call5(x, ...) __crossbpf_call4(__VA_ARGS__), (void *)PT_REGS_PARM5_SYSCALL(ctx)
#define __crossbpf_call6(x, ...) __crossbpf_call5(__VA_ARGS__), (void *)PT_REGS_PARM6_SYSCALL(ctx)

#define __crossbpf_kept0() ctx
#define __crossbpf_kept1(x) ctx, (void *)PT_REGS_PARM1_CORE_SYSCALL(regs)
#define __crossbpf_kept2(x, ...) __crossbpf_kept1(__VA_ARGS__), (void *)PT_REGS_PARM2_CORE_SYSCALL(regs)
#define __crossbpf_kept3(x, ...) __crossbpf_kept2(__VA_ARGS__), (void *)PT_REGS_PARM3_CORE_SYSCALL(regs)
#define __crossbpf_kept4(x, ...) __crossbpf_kept3(__VA_ARGS__), (void *)PT_REGS_PARM4_CORE_SYSCALL(regs)
#define __crossbpf_kept5(x, ...) __crossbpf_kept4(__VA_ARGS__), (void *)PT_REGS_PARM5_CORE_SYSCALL(regs)
#define __crossbpf_kept6(x, ...) __crossbpf_kept5(__VA_ARGS__), (void *)PT_REGS_PARM6_CORE_SYSCALL(regs)

#define __crossbpf_rc0() ctx
#define __crossbpf_rc1(x) ctx, (void *)PT_REGS_RC(ctx)

#define __CROSSBPF_WITH(values, args...) __CROSSBPF_JOIN(values, __CROSSBPF_COUNT(args))(args)
#define __CROSSBPF_LOOSE(statement) \
	_Pragma("GCC diagnostic push") _Pragma("GCC diagnostic ignored \"-Wint-conversion\"") \
	statement; \
	_Pragma("GCC diagnostic pop")

/* The program NAME, whose context holds values; BODY is a function of CONTEXT and of the parameters that are listed. */
#define __CROSSBPF_TYPED(name, context, values, args...) \
	name(context); \
	static __attribute__((always_inline)) typeof(name(0)) ____##name(context, ##args); \
	typeof(name(0)) name(context) \
	{ \
		__CROSSBPF_LOOSE(return ____##name(__CROSSBPF_WITH(values, ##args))) \
	} \
	static __attribute__((always_inline)) typeof(name(0)) ____##name(context, ##args)

/* int BPF_PROG(name, struct task_struct *task, int flags) { ... }: fentry, fexit, fmod_ret, tp_btf, lsm, raw_tp. */
#define BPF_PROG(name, args...) __CROSSBPF_TYPED(name, unsigned long long *ctx, __crossbpf_word, ##args)

/* The same for kprobe and uprobe (parameters in registers), and for kretprobe and uretprobe (the result, or nothing). */
#define BPF_KPROBE(name, args...) __CROSSBPF_TYPED(name, struct pt_regs *ctx, __crossbpf_regs, ##args)
#define BPF_KRETPROBE(name, args...) __CROSSBPF_TYPED(name, struct pt_regs *ctx, __crossbpf_rc, ##args)
#define BPF_UPROBE(name, args...) BPF_KPROBE(name, ##args)
#define BPF_URETPROBE(name, args...) BPF_KRETPROBE(name, ##args)

/* The same for a system call. A kernel that wraps them passes the caller's registers as the only argument; whether it
 * does is a value of its configuration, which the loader is told: --kconfig LINUX_HAS_SYSCALL_WRAPPER=1. */
extern _Bool LINUX_HAS_SYSCALL_WRAPPER __kconfig;
#define PT_REGS_SYSCALL_REGS(ctx) ((struct pt_regs *)PT_REGS_PARM1(ctx))
#define BPF_KSYSCALL(name, args...) \
	name(struct pt_regs *ctx); \
	static __attribute__((always_inline)) typeof(name(0)) ____##name(struct pt_regs *ctx, ##args); \
	typeof(name(0)) name(struct pt_regs *ctx) \
	{ \
		struct pt_regs *regs __attribute__((unused)) = PT_REGS_SYSCALL_REGS(ctx); \
		if (LINUX_HAS_SYSCALL_WRAPPER) { \
			__CROSSBPF_LOOSE(return ____##name(__CROSSBPF_WITH(__crossbpf_kept, ##args))) \
		} \
		__CROSSBPF_LOOSE(return ____##name(__CROSSBPF_WITH(__crossbpf_call, ##args))) \
	} \
	static __attribute__((always_inline)) typeof(name(0)) ____##name(struct pt_regs *ctx, ##args)
#define BPF_KPROBE_SYSCALL BPF_KSYSCALL

/* BPF_PROG2(name, struct pair, both, int, flags): as BPF_PROG, with a comma between type and name. A parameter may be
 * a structure of up to 16 bytes, which takes as many words as it needs. Up to 6 parameters. */
#define __CROSSBPF_SPAN(type) ((sizeof(type) + 7) / 8)
#define __CROSSBPF_VALUE(type, at) \
	({ \
		union { \
			__u8 bytes; \
			__u16 halves; \
			__u32 words; \
			__u64 both[2]; \
			type value; \
		} __value; \
		switch (sizeof(type)) { \
		case 1: \
			__value.bytes = ctx[at]; \
			break; \
		case 2: \
			__value.halves = ctx[at]; \
			break; \
		case 4: \
			__value.words = ctx[at]; \
			break; \
		default: \
			__value.both[0] = ctx[at]; \
			if (__CROSSBPF_SPAN(type) > 1) \
				__value.both[1] = ctx[(at) + __CROSSBPF_SPAN(type) - 1]; \
		} \
		__value.value; \
	})
#define __crossbpf_take0(at)
#define __crossbpf_take2(at, t, x) , __CROSSBPF_VALUE(t, at)
#define __crossbpf_take4(at, t, x, ...) , __CROSSBPF_VALUE(t, at) __crossbpf_take2((at) + __CROSSBPF_SPAN(t), ##__VA_ARGS__)
#define __crossbpf_take6(at, t, x, ...) , __CROSSBPF_VALUE(t, at) __crossbpf_take4((at) + __CROSSBPF_SPAN(t), ##__VA_ARGS__)
#define __crossbpf_take8(at, t, x, ...) , __CROSSBPF_VALUE(t, at) __crossbpf_take6((at) + __CROSSBPF_SPAN(t), ##__VA_ARGS__)
#define __crossbpf_take10(at, t, x, ...) , __CROSSBPF_VALUE(t, at) __crossbpf_take8((at) + __CROSSBPF_SPAN(t), ##__VA_ARGS__)
#define __crossbpf_take12(at, t, x, ...) , __CROSSBPF_VALUE(t, at) __crossbpf_take10((at) + __CROSSBPF_SPAN(t), ##__VA_ARGS__)
#define __crossbpf_list0()
#define __crossbpf_list2(t, x) , t x
#define __crossbpf_list4(t, x, ...) , t x __crossbpf_list2(__VA_ARGS__)
#define __crossbpf_list6(t, x, ...) , t x __crossbpf_list4(__VA_ARGS__)
#define __crossbpf_list8(t, x, ...) , t x __crossbpf_list6(__VA_ARGS__)
#define __crossbpf_list10(t, x, ...) , t x __crossbpf_list8(__VA_ARGS__)
#define __crossbpf_list12(t, x, ...) , t x __crossbpf_list10(__VA_ARGS__)
#define __CROSSBPF_LIST(args...) __CROSSBPF_JOIN(__crossbpf_list, __CROSSBPF_COUNT(args))(args)
#define __CROSSBPF_TAKE(args...) __CROSSBPF_JOIN(__crossbpf_take, __CROSSBPF_COUNT(args))(0, ##args)
#define BPF_PROG2(name, args...) \
	name(unsigned long long *ctx); \
	static __attribute__((always_inline)) typeof(name(0)) \
		____##name(unsigned long long *ctx __CROSSBPF_LIST(args)); \
	typeof(name(0)) name(unsigned long long *ctx) \
	{ \
		return ____##name(ctx __CROSSBPF_TAKE(args)); \
	} \
	static __attribute__((always_inline)) typeof(name(0)) \
		____##name(unsigned long long *ctx __CROSSBPF_LIST(args))

#endif
