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

/* A pointer that may be read through as one to a structure of the kernel's, whatever it points to. */
extern void *bpf_rdonly_cast(const void *obj, __u32 btf_id) __weak __ksym;
#define bpf_core_cast(pointer, type) ((typeof(type) *)bpf_rdonly_cast((pointer), bpf_core_type_id_kernel(type)))

/* Copy a field, wherever it is. */
#define bpf_core_read(to, size, from) \
	bpf_probe_read_kernel(to, size, (const void *)__builtin_preserve_access_index(from))
#define bpf_core_read_user(to, size, from) \
	bpf_probe_read_user(to, size, (const void *)__builtin_preserve_access_index(from))
#define bpf_core_read_str(to, size, from) \
	bpf_probe_read_kernel_str(to, size, (const void *)__builtin_preserve_access_index(from))
#define bpf_core_read_user_str(to, size, from) \
	bpf_probe_read_user_str(to, size, (const void *)__builtin_preserve_access_index(from))

#define __CROSSBPF_INFO(pointer, field, kind) __builtin_preserve_field_info((pointer)->field, BPF_FIELD_##kind)

/* The number that a bit-field's unit holds, once its neighbours are shifted out. */
#define __CROSSBPF_BITS(unit, pointer, field) \
	(__CROSSBPF_INFO(pointer, field, SIGNED) \
		 ? (__u64)((__s64)((unit) << __CROSSBPF_INFO(pointer, field, LSHIFT_U64)) >> \
			   __CROSSBPF_INFO(pointer, field, RSHIFT_U64)) \
		 : ((unit) << __CROSSBPF_INFO(pointer, field, LSHIFT_U64)) >> \
			   __CROSSBPF_INFO(pointer, field, RSHIFT_U64))

/* A bit-field of a structure that can be read directly. */
#define BPF_CORE_READ_BITFIELD(pointer, field) \
	({ \
		const void *__at = (const void *)(pointer) + __CROSSBPF_INFO(pointer, field, BYTE_OFFSET); \
		__u64 __unit = 0; \
		barrier_var(__at); \
		switch (__CROSSBPF_INFO(pointer, field, BYTE_SIZE)) { \
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
		__CROSSBPF_BITS(__unit, pointer, field); \
	})

/* One of any structure: its unit is copied to where the low bytes of a word are. */
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
#define __CROSSBPF_LOW(word, size) ((void *)&(word))
#else
#define __CROSSBPF_LOW(word, size) ((void *)&(word) + (8 - (size)))
#endif
#define BPF_CORE_READ_BITFIELD_PROBED(pointer, field) \
	({ \
		__u64 __unit = 0; \
		__u32 __size = __CROSSBPF_INFO(pointer, field, BYTE_SIZE); \
		bpf_probe_read_kernel(__CROSSBPF_LOW(__unit, __size), __size, \
				      (const void *)(pointer) + __CROSSBPF_INFO(pointer, field, BYTE_OFFSET)); \
		__CROSSBPF_BITS(__unit, pointer, field); \
	})

/* Change a bit-field, and not its neighbours. */
#define BPF_CORE_WRITE_BITFIELD(pointer, field, value) \
	({ \
		void *__at = (void *)(pointer) + __CROSSBPF_INFO(pointer, field, BYTE_OFFSET); \
		__u32 __left = __CROSSBPF_INFO(pointer, field, LSHIFT_U64); \
		__u32 __right = __CROSSBPF_INFO(pointer, field, RSHIFT_U64); \
		__u64 __mask = ~0ULL << __right >> __left; \
		__u64 __bits = (__u64)(value) << __right >> __left; \
		barrier_var(__at); \
		switch (__CROSSBPF_INFO(pointer, field, BYTE_SIZE)) { \
		case 1: \
			*(__u8 *)__at = (*(__u8 *)__at & ~__mask) | __bits; \
			break; \
		case 2: \
			*(__u16 *)__at = (*(__u16 *)__at & ~__mask) | __bits; \
			break; \
		case 4: \
			*(__u32 *)__at = (*(__u32 *)__at & ~__mask) | __bits; \
			break; \
		case 8: \
			*(__u64 *)__at = (*(__u64 *)__at & ~__mask) | __bits; \
			break; \
		} \
	})

/* Chains: BPF_CORE_READ(p, a, b, c) is p->a->b->c, each step read by a helper. Up to 9 steps.
 *
 * __crossbpf_goN(read, p, a, ...) is the value after N steps; __crossbpf_toN(read, last, to, p, a, ...) copies what the
 * Nth step leads to, with `last`, into where `to` points, as much as that holds, and gives the helper's answer. */
#define __CROSSBPF_STEP(read, type, from, field) \
	({ \
		/* Bytes, because the field may be const. */ \
		char __step[sizeof(((type)0)->field)] __attribute__((aligned(__alignof__(((type)0)->field)))); \
		const typeof(*(type)0) *__from = (const void *)(from); \
		read(__step, sizeof(__step), &__from->field); \
		*(typeof(((type)0)->field) *)__step; \
	})
#define __CROSSBPF_LAST(last, to, type, from, field) \
	({ \
		const typeof(*(type)0) *__from = (const void *)(from); \
		last(to, sizeof(*(to)), &__from->field); \
	})
#define __crossbpf_go0(read, p) (p)
#define __crossbpf_go1(read, p, a) \
	__CROSSBPF_STEP(read, typeof((p)), __crossbpf_go0(read, p), a)
#define __crossbpf_go2(read, p, a, b) \
	__CROSSBPF_STEP(read, typeof((p)->a), __crossbpf_go1(read, p, a), b)
#define __crossbpf_go3(read, p, a, b, c) \
	__CROSSBPF_STEP(read, typeof((p)->a->b), __crossbpf_go2(read, p, a, b), c)
#define __crossbpf_go4(read, p, a, b, c, d) \
	__CROSSBPF_STEP(read, typeof((p)->a->b->c), __crossbpf_go3(read, p, a, b, c), d)
#define __crossbpf_go5(read, p, a, b, c, d, e) \
	__CROSSBPF_STEP(read, typeof((p)->a->b->c->d), __crossbpf_go4(read, p, a, b, c, d), e)
#define __crossbpf_go6(read, p, a, b, c, d, e, f) \
	__CROSSBPF_STEP(read, typeof((p)->a->b->c->d->e), __crossbpf_go5(read, p, a, b, c, d, e), f)
#define __crossbpf_go7(read, p, a, b, c, d, e, f, g) \
	__CROSSBPF_STEP(read, typeof((p)->a->b->c->d->e->f), __crossbpf_go6(read, p, a, b, c, d, e, f), g)
#define __crossbpf_go8(read, p, a, b, c, d, e, f, g, h) \
	__CROSSBPF_STEP(read, typeof((p)->a->b->c->d->e->f->g), __crossbpf_go7(read, p, a, b, c, d, e, f, g), h)
#define __crossbpf_go9(read, p, a, b, c, d, e, f, g, h, i) \
	__CROSSBPF_STEP(read, typeof((p)->a->b->c->d->e->f->g->h), __crossbpf_go8(read, p, a, b, c, d, e, f, g, h), i)
#define __crossbpf_to1(read, last, to, p, a) \
	__CROSSBPF_LAST(last, to, typeof((p)), __crossbpf_go0(read, p), a)
#define __crossbpf_to2(read, last, to, p, a, b) \
	__CROSSBPF_LAST(last, to, typeof((p)->a), __crossbpf_go1(read, p, a), b)
#define __crossbpf_to3(read, last, to, p, a, b, c) \
	__CROSSBPF_LAST(last, to, typeof((p)->a->b), __crossbpf_go2(read, p, a, b), c)
#define __crossbpf_to4(read, last, to, p, a, b, c, d) \
	__CROSSBPF_LAST(last, to, typeof((p)->a->b->c), __crossbpf_go3(read, p, a, b, c), d)
#define __crossbpf_to5(read, last, to, p, a, b, c, d, e) \
	__CROSSBPF_LAST(last, to, typeof((p)->a->b->c->d), __crossbpf_go4(read, p, a, b, c, d), e)
#define __crossbpf_to6(read, last, to, p, a, b, c, d, e, f) \
	__CROSSBPF_LAST(last, to, typeof((p)->a->b->c->d->e), __crossbpf_go5(read, p, a, b, c, d, e), f)
#define __crossbpf_to7(read, last, to, p, a, b, c, d, e, f, g) \
	__CROSSBPF_LAST(last, to, typeof((p)->a->b->c->d->e->f), __crossbpf_go6(read, p, a, b, c, d, e, f), g)
#define __crossbpf_to8(read, last, to, p, a, b, c, d, e, f, g, h) \
	__CROSSBPF_LAST(last, to, typeof((p)->a->b->c->d->e->f->g), __crossbpf_go7(read, p, a, b, c, d, e, f, g), h)
#define __crossbpf_to9(read, last, to, p, a, b, c, d, e, f, g, h, i) \
	__CROSSBPF_LAST(last, to, typeof((p)->a->b->c->d->e->f->g->h), __crossbpf_go8(read, p, a, b, c, d, e, f, g, h), i)
#define __CROSSBPF_GO(read, p, fields...) \
	__CROSSBPF_JOIN(__crossbpf_go, __CROSSBPF_COUNT(fields))(read, p, ##fields)
#define __CROSSBPF_TO(read, last, to, p, fields...) \
	__CROSSBPF_JOIN(__crossbpf_to, __CROSSBPF_COUNT(fields))(read, last, to, p, ##fields)

/* The value; of the kernel's memory or the user's, relocated or (PROBE) as the source has the structure. */
#define BPF_CORE_READ(p, fields...) __CROSSBPF_GO(bpf_core_read, p, ##fields)
#define BPF_CORE_READ_USER(p, fields...) __CROSSBPF_GO(bpf_core_read_user, p, ##fields)
#define BPF_PROBE_READ(p, fields...) __CROSSBPF_GO(bpf_probe_read_kernel, p, ##fields)
#define BPF_PROBE_READ_USER(p, fields...) __CROSSBPF_GO(bpf_probe_read_user, p, ##fields)

/* The same into *to, whatever its type. */
#define BPF_CORE_READ_INTO(to, p, fields...) __CROSSBPF_TO(bpf_core_read, bpf_core_read, to, p, ##fields)
#define BPF_CORE_READ_USER_INTO(to, p, fields...) \
	__CROSSBPF_TO(bpf_core_read_user, bpf_core_read_user, to, p, ##fields)
#define BPF_PROBE_READ_INTO(to, p, fields...) \
	__CROSSBPF_TO(bpf_probe_read_kernel, bpf_probe_read_kernel, to, p, ##fields)
#define BPF_PROBE_READ_USER_INTO(to, p, fields...) \
	__CROSSBPF_TO(bpf_probe_read_user, bpf_probe_read_user, to, p, ##fields)

/* The same for text that ends with a zero; `to` points to an array. */
#define BPF_CORE_READ_STR_INTO(to, p, fields...) __CROSSBPF_TO(bpf_core_read, bpf_core_read_str, to, p, ##fields)
#define BPF_CORE_READ_USER_STR_INTO(to, p, fields...) \
	__CROSSBPF_TO(bpf_core_read_user, bpf_core_read_user_str, to, p, ##fields)
#define BPF_PROBE_READ_STR_INTO(to, p, fields...) \
	__CROSSBPF_TO(bpf_probe_read_kernel, bpf_probe_read_kernel_str, to, p, ##fields)
#define BPF_PROBE_READ_USER_STR_INTO(to, p, fields...) \
	__CROSSBPF_TO(bpf_probe_read_user, bpf_probe_read_user_str, to, p, ##fields)

#endif
