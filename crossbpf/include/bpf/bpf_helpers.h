/* What a BPF program in C is written with: attributes, map declarations, helper functions. */
#ifndef CROSSBPF_BPF_HELPERS_H
#define CROSSBPF_BPF_HELPERS_H

#include <linux/bpf.h>
#include <linux/types.h>

#include <bpf/bpf_helper_defs.h>

/* Put a function or variable into the ELF section NAME, which tells a loader what it is. */
#define SEC(NAME) \
	_Pragma("GCC diagnostic push") _Pragma("GCC diagnostic ignored \"-Wignored-attributes\"") \
	__attribute__((section(NAME), used)) _Pragma("GCC diagnostic pop")

#undef __always_inline
#define __always_inline inline __attribute__((always_inline))
#ifndef __noinline
#define __noinline __attribute__((noinline))
#endif
#ifndef __weak
#define __weak __attribute__((weak))
#endif
#ifndef __hidden
#define __hidden __attribute__((visibility("hidden")))
#endif
#ifndef __unused
#define __unused __attribute__((unused))
#endif

/* Members of a map declaration in section .maps: the type of a member carries its value. */
#define __uint(name, value) int (*name)[value]
#define __type(name, value) typeof(value) *name
#define __array(name, value) typeof(value) *name[]
#define __CROSSBPF_PASTE(a, b) a##b
#define __CROSSBPF_UNIQUE(stem, count) __CROSSBPF_PASTE(stem, count)
#define __ulong(name, value) enum { __CROSSBPF_UNIQUE(__unique_value_, __COUNTER__) = (value) } name

/* What the kernel defines: its configuration, its symbols; and a value of the former. */
#define __kconfig __attribute__((section(".kconfig")))
#define __ksym __attribute__((section(".ksyms")))
#define bpf_ksym_exists(symbol) (!!(symbol))

enum libbpf_tristate {
	TRI_NO = 0,
	TRI_YES = 1,
	TRI_MODULE = 2,
};

enum libbpf_pin_type {
	LIBBPF_PIN_NONE,
	LIBBPF_PIN_BY_NAME,
};

/* Marks that the verifier and tools read. */
#define __arg_ctx __attribute__((btf_decl_tag("arg:ctx")))
#define __arg_nonnull __attribute__((btf_decl_tag("arg:nonnull")))
#define __kptr __attribute__((btf_type_tag("kptr")))
#define __kptr_untrusted __attribute__((btf_type_tag("kptr_untrusted")))
#define __percpu_kptr __attribute__((btf_type_tag("percpu_kptr")))

#define KERNEL_VERSION(a, b, c) (((a) << 16) + ((b) << 8) + ((c) > 255 ? 255 : (c)))

#ifndef NULL
#define NULL ((void *)0)
#endif

#ifndef offsetof
#define offsetof(type, member) __builtin_offsetof(type, member)
#endif

/* Keep the compiler from moving memory accesses across this line. */
#ifndef barrier
#define barrier() __asm__ volatile("" ::: "memory")
#endif

/* Keep the compiler from knowing what a variable holds, for instance from seeing through arithmetic. */
#ifndef barrier_var
#define barrier_var(variable) __asm__ volatile("" : "+r"(variable))
#endif

/* Print a line; the format is a string literal, followed by at most three numbers. */
#define bpf_printk(format, ...) \
	({ \
		static const char __format[] = format; \
		bpf_trace_printk(__format, sizeof(__format), ##__VA_ARGS__); \
	})

/* Loops that the kernel bounds: the kernel's own iterators, which a program declares and a `break` leaves. */
struct bpf_iter_num {
	__u64 __opaque[1];
} __attribute__((aligned(8)));

extern int bpf_iter_num_new(struct bpf_iter_num *it, int start, int end) __weak __ksym;
extern int *bpf_iter_num_next(struct bpf_iter_num *it) __weak __ksym;
extern void bpf_iter_num_destroy(struct bpf_iter_num *it) __weak __ksym;

/* bpf_for_each(num, pointer, 0, 10) { ... }: pointer goes through what iterator TYPE gives. */
#define bpf_for_each(type, pointer, args...) \
	for (struct bpf_iter_##type __it __attribute__((aligned(8), cleanup(bpf_iter_##type##_destroy))), \
	     *__once __attribute__((unused)) = (bpf_iter_##type##_new(&__it, ##args), (void *)0); \
	     ((pointer) = bpf_iter_##type##_next(&__it));)

/* bpf_for(i, start, end) { ... }: i from start to before end. */
#define bpf_for(i, start, end) \
	for (struct bpf_iter_num __it __attribute__((aligned(8), cleanup(bpf_iter_num_destroy))), \
	     *__at __attribute__((unused)) = (bpf_iter_num_new(&__it, (start), (end)), (void *)0); \
	     ({ \
		     int *__next = bpf_iter_num_next(&__it); \
		     (i) = __next ? *__next : 0; \
		     __next && (i) >= (start) && (i) < (end); \
	     });)

/* bpf_repeat(n) { ... }: n times. */
#define bpf_repeat(count) \
	for (struct bpf_iter_num __it __attribute__((aligned(8), cleanup(bpf_iter_num_destroy))), \
	     *__once __attribute__((unused)) = (bpf_iter_num_new(&__it, 0, (count)), (void *)0); \
	     bpf_iter_num_next(&__it);)

/* Format numbers, and pointers that are cast to such, into a buffer; the length that it takes. */
#define BPF_SNPRINTF(to, to_size, format, ...) \
	({ \
		static const char __format[] = format; \
		unsigned long long __data[] = {__VA_ARGS__}; \
		bpf_snprintf(to, to_size, __format, __data, sizeof(__data)); \
	})

#endif
