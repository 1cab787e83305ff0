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

#define __CROSSBPF_PASTE(a, b) a##b
#define __CROSSBPF_JOIN(a, b) __CROSSBPF_PASTE(a, b)

/* Members of a map declaration in section .maps: the type of a member carries its value. */
#define __uint(name, value) int (*name)[value]
#define __type(name, value) typeof(value) *name
#define __array(name, value) typeof(value) *name[]
#define __ulong(name, value) enum { __CROSSBPF_JOIN(__unique_value_, __COUNTER__) = (value) } name

/* What the kernel defines: its configuration, its symbols; and whether it has one that is declared __weak. */
#ifndef __kconfig
#define __kconfig __attribute__((section(".kconfig")))
#endif
#ifndef __ksym
#define __ksym __attribute__((section(".ksyms")))
#endif
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

/* Marks that the verifier and tools read: of parameters of global functions, and of pointers in maps. */
#define __arg_ctx __attribute__((btf_decl_tag("arg:ctx")))
#define __arg_nonnull __attribute__((btf_decl_tag("arg:nonnull")))
#define __arg_nullable __attribute__((btf_decl_tag("arg:nullable")))
#define __arg_trusted __attribute__((btf_decl_tag("arg:trusted")))
#define __arg_untrusted __attribute__((btf_decl_tag("arg:untrusted")))
#define __arg_arena __attribute__((btf_decl_tag("arg:arena")))
#define __kptr __attribute__((btf_type_tag("kptr")))
#define __kptr_untrusted __attribute__((btf_type_tag("kptr_untrusted")))
#define __percpu_kptr __attribute__((btf_type_tag("percpu_kptr")))
#define __uptr __attribute__((btf_type_tag("uptr")))

#ifndef KERNEL_VERSION
#define KERNEL_VERSION(a, b, c) (((a) << 16) + ((b) << 8) + ((c) > 255 ? 255 : (c)))
#endif

#ifndef NULL
#define NULL ((void *)0)
#endif

#ifndef offsetof
#define offsetof(type, member) __builtin_offsetof(type, member)
#endif

/* What a member is part of. */
#ifndef container_of
#define container_of(pointer, type, member) \
	({ \
		void *__member = (void *)(pointer); \
		(type *)(__member - offsetof(type, member)); \
	})
#endif

/* Keep the compiler from moving memory accesses across this line. */
#ifndef barrier
#define barrier() __asm__ volatile("" ::: "memory")
#endif

/* Keep the compiler from knowing what a variable holds, for instance from seeing through arithmetic. */
#ifndef barrier_var
#define barrier_var(variable) __asm__ volatile("" : "+r"(variable))
#endif

#define __bpf_unreachable() __builtin_trap()

/* A tail call to an index that is a constant: written out, so that the kernel sees the map and the index. */
static __always_inline void bpf_tail_call_static(void *ctx, const void *map, const __u32 slot)
{
	if (!__builtin_constant_p(slot))
		__bpf_unreachable();
	__asm__ volatile("r1 = %[ctx]\n\t"
			 "r2 = %[map]\n\t"
			 "r3 = %[slot]\n\t"
			 "call 12"
			 :
			 : [ctx] "r"(ctx), [map] "r"(map), [slot] "i"(slot)
			 : "r0", "r1", "r2", "r3", "r4", "r5");
}

/* How many arguments follow: 0 to 12. */
#define __CROSSBPF_14TH(_0, _1, _2, _3, _4, _5, _6, _7, _8, _9, _10, _11, _12, found, ...) found
#define __CROSSBPF_COUNT(...) __CROSSBPF_14TH(_, ##__VA_ARGS__, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0)

/* Numbers and pointers as an array of words, for the helpers that format. */
#define __CROSSBPF_WORDS(name, values...) \
	_Pragma("GCC diagnostic push") _Pragma("GCC diagnostic ignored \"-Wint-conversion\"") \
	unsigned long long name[] = {values}; \
	_Pragma("GCC diagnostic pop")

#define __crossbpf_print_few(format, ...) \
	({ \
		static const char __format[] = format; \
		bpf_trace_printk(__format, sizeof(__format), ##__VA_ARGS__); \
	})
#define __crossbpf_print_many(format, ...) \
	({ \
		static const char __format[] = format; \
		__CROSSBPF_WORDS(__data, __VA_ARGS__) \
		bpf_trace_vprintk(__format, sizeof(__format), __data, sizeof(__data)); \
	})
#define __CROSSBPF_PRINT(...) \
	__CROSSBPF_14TH(_, ##__VA_ARGS__, many, many, many, many, many, many, many, many, many, few, few, few, few)

/* Print a line: a string literal, and at most 12 numbers and pointers for it. */
#define bpf_printk(format, args...) \
	__CROSSBPF_JOIN(__crossbpf_print_, __CROSSBPF_PRINT(args))(format, ##args)

/* Format into a buffer; the length that it takes. */
#define BPF_SNPRINTF(to, to_size, format, args...) \
	({ \
		static const char __format[] = format; \
		__CROSSBPF_WORDS(__data, args) \
		bpf_snprintf(to, to_size, __format, __data, sizeof(__data)); \
	})

/* Of an iterator: format for who reads it. */
#define BPF_SEQ_PRINTF(seq, format, args...) \
	({ \
		static const char __format[] = format; \
		__CROSSBPF_WORDS(__data, args) \
		bpf_seq_printf(seq, __format, sizeof(__format), __data, sizeof(__data)); \
	})

/* Loops that the kernel bounds: the kernel's own iterators, which a program declares and a `break` leaves. */
struct bpf_iter_num;

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

#endif
