/* Compile once, run everywhere: questions about types that a loader answers with those of the machine it loads for.
 *
 * A structure whose layout may differ there is declared with the members that the program uses and
 * __attribute__((preserve_access_index)); what follows ___ in its name does not count. */
#ifndef CROSSBPF_BPF_CORE_READ_H
#define CROSSBPF_BPF_CORE_READ_H

#include <bpf/bpf_helpers.h>

#ifndef __core
#define __core __attribute__((preserve_access_index))
#endif

enum bpf_field_info_kind {
	BPF_FIELD_BYTE_OFFSET = 0,
	BPF_FIELD_BYTE_SIZE = 1,
	BPF_FIELD_EXISTS = 2,
	BPF_FIELD_SIGNED = 3,
	BPF_FIELD_LSHIFT_U64 = 4,
	BPF_FIELD_RSHIFT_U64 = 5,
};

enum bpf_type_id_kind {
	BPF_TYPE_ID_LOCAL = 0,
	BPF_TYPE_ID_TARGET = 1,
};

enum bpf_type_info_kind {
	BPF_TYPE_EXISTS = 0,
	BPF_TYPE_SIZE = 1,
	BPF_TYPE_MATCHES = 2,
};

enum bpf_enum_value_kind {
	BPF_ENUMVAL_EXISTS = 0,
	BPF_ENUMVAL_VALUE = 1,
};

/* A field is p->a.b, or two arguments: struct type, a.b */
#define __CROSSBPF_PICK(first, second, name, ...) name
#define __CROSSBPF_FIELD1(field) (field)
#define __CROSSBPF_FIELD2(type, field) (((typeof(type) *)0)->field)
#define __CROSSBPF_FIELD(...) __CROSSBPF_PICK(__VA_ARGS__, __CROSSBPF_FIELD2, __CROSSBPF_FIELD1, )(__VA_ARGS__)

#define bpf_core_field_exists(...) \
	__builtin_preserve_field_info(__CROSSBPF_FIELD(__VA_ARGS__), BPF_FIELD_EXISTS)
#define bpf_core_field_size(...) __builtin_preserve_field_info(__CROSSBPF_FIELD(__VA_ARGS__), BPF_FIELD_BYTE_SIZE)
#define bpf_core_field_offset(...) \
	__builtin_preserve_field_info(__CROSSBPF_FIELD(__VA_ARGS__), BPF_FIELD_BYTE_OFFSET)

#define bpf_core_type_id_local(type) __builtin_btf_type_id(*(typeof(type) *)0, BPF_TYPE_ID_LOCAL)
#define bpf_core_type_id_kernel(type) __builtin_btf_type_id(*(typeof(type) *)0, BPF_TYPE_ID_TARGET)
#define bpf_core_type_exists(type) __builtin_preserve_type_info(*(typeof(type) *)0, BPF_TYPE_EXISTS)
#define bpf_core_type_matches(type) __builtin_preserve_type_info(*(typeof(type) *)0, BPF_TYPE_MATCHES)
#define bpf_core_type_size(type) __builtin_preserve_type_info(*(typeof(type) *)0, BPF_TYPE_SIZE)

#define bpf_core_enum_value_exists(type, name) \
	__builtin_preserve_enum_value(*(typeof(type) *)name, BPF_ENUMVAL_EXISTS)
#define bpf_core_enum_value(type, name) __builtin_preserve_enum_value(*(typeof(type) *)name, BPF_ENUMVAL_VALUE)

#define bpf_core_cast(pointer, type) ((typeof(type) *)(void *)(pointer))

/* Copy a field, wherever it is. */
#define bpf_core_read(to, size, from) \
	bpf_probe_read_kernel(to, size, (const void *)__builtin_preserve_access_index(from))
#define bpf_core_read_user(to, size, from) \
	bpf_probe_read_user(to, size, (const void *)__builtin_preserve_access_index(from))
#define bpf_core_read_str(to, size, from) \
	bpf_probe_read_kernel_str(to, size, (const void *)__builtin_preserve_access_index(from))

/* A bit-field of a structure that can be read directly: load its unit, shift the neighbours out. */
#define BPF_CORE_READ_BITFIELD(pointer, field) \
	({ \
		const void *__at = (const void *)(pointer) + \
			__builtin_preserve_field_info((pointer)->field, BPF_FIELD_BYTE_OFFSET); \
		__u64 __unit = 0; \
		barrier_var(__at); \
		switch (__builtin_preserve_field_info((pointer)->field, BPF_FIELD_BYTE_SIZE)) { \
		case 1: \
			__unit = *(const __u8 *)__at; \
			break; \
		case 2: \
			__unit = *(const __u16 *)__at; \
			break; \
		case 4: \
			__unit = *(const __u32 *)__at; \
			break; \
		case 8: \
			__unit = *(const __u64 *)__at; \
			break; \
		} \
		__unit <<= __builtin_preserve_field_info((pointer)->field, BPF_FIELD_LSHIFT_U64); \
		if (__builtin_preserve_field_info((pointer)->field, BPF_FIELD_SIGNED)) \
			__unit = (__u64)((__s64)__unit >> \
				__builtin_preserve_field_info((pointer)->field, BPF_FIELD_RSHIFT_U64)); \
		else \
			__unit >>= __builtin_preserve_field_info((pointer)->field, BPF_FIELD_RSHIFT_U64); \
		__unit; \
	})

/* BPF_CORE_READ(p, a, b, c) is p->a->b->c, each step read with bpf_probe_read_kernel. Up to six steps. */
#define __CROSSBPF_STEP(type, from, field) \
	({ \
		typeof(((type)0)->field) __step; \
		const typeof(*(type)0) *__from = (from); \
		bpf_core_read(&__step, sizeof(__step), &__from->field); \
		__step; \
	})
#define __CROSSBPF_R1(p, a) __CROSSBPF_STEP(typeof(p), p, a)
#define __CROSSBPF_R2(p, a, b) __CROSSBPF_STEP(typeof((p)->a), __CROSSBPF_R1(p, a), b)
#define __CROSSBPF_R3(p, a, b, c) __CROSSBPF_STEP(typeof((p)->a->b), __CROSSBPF_R2(p, a, b), c)
#define __CROSSBPF_R4(p, a, b, c, d) __CROSSBPF_STEP(typeof((p)->a->b->c), __CROSSBPF_R3(p, a, b, c), d)
#define __CROSSBPF_R5(p, a, b, c, d, e) __CROSSBPF_STEP(typeof((p)->a->b->c->d), __CROSSBPF_R4(p, a, b, c, d), e)
#define __CROSSBPF_R6(p, a, b, c, d, e, f) \
	__CROSSBPF_STEP(typeof((p)->a->b->c->d->e), __CROSSBPF_R5(p, a, b, c, d, e), f)
#define __CROSSBPF_NTH(a, b, c, d, e, f, name, ...) name
#define BPF_CORE_READ(p, ...) \
	__CROSSBPF_NTH(__VA_ARGS__, __CROSSBPF_R6, __CROSSBPF_R5, __CROSSBPF_R4, __CROSSBPF_R3, __CROSSBPF_R2, \
		       __CROSSBPF_R1, )(p, __VA_ARGS__)
#define BPF_CORE_READ_INTO(to, p, ...) (*(to) = BPF_CORE_READ(p, __VA_ARGS__), 0)

#endif
