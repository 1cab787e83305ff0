/* CO-RE: one program, whatever the layout of the structures it reads. */
#include <bpf/bpf_core_read.h>

#ifdef DIRECT /* compiled for the target: what CO-RE must come to */
#include "core_target.c"
#else
enum colour {
	RED = 1,
	GREEN = 2,
	BLUE___old = 3,
};

enum wide {
	WIDE = 0x100000000ULL,
	NARROW = 1,
};

struct inner {
	int x;
	long values[4];
} __core;

struct thing {
	__u32 number;
	struct {
		union {
			int in_union;
			char bytes[8];
		};
		__u8 nested;
	};
	unsigned bits : 5;
	int signed_bits : 7;
	struct inner inner;
	struct thing *next;
	enum colour colour;
	char flexible[];
} __core;

struct thing___old {
	int gone;
	__u32 number;
} __core;

struct absent {
	int x;
} __core;
#endif

/* Every read from a thing in memory. */
SEC("syscall") long fields(struct thing *thing)
{
	return thing->number + 10L * thing->in_union + 100L * thing->nested + 1000L * thing->inner.x +
	       10000L * thing->inner.values[2] + 100000L * (unsigned char)thing->bytes[1] +
	       1000000L * (unsigned char)thing->flexible[1];
}

SEC("syscall") long bit_fields(struct thing *thing)
{
	return (long)BPF_CORE_READ_BITFIELD(thing, bits) * 1000 + (long)BPF_CORE_READ_BITFIELD(thing, signed_bits);
}

SEC("syscall") long offsets(void *ctx __attribute__((unused)))
{
	return bpf_core_field_offset(struct thing, nested) + 100 * bpf_core_field_offset(struct thing, inner.values[1]) +
	       100000 * bpf_core_field_size(struct thing, number) + 1000000 * bpf_core_field_size(struct thing, inner);
}

#ifndef DIRECT
SEC("syscall") long exists(struct thing___old *thing)
{
	long sum = bpf_core_field_exists(thing->gone) ? thing->gone : 7;
	if (bpf_core_type_exists(struct absent))
		sum += ((struct absent *)thing)->x;
	sum += bpf_core_type_exists(struct thing) << 8;
	sum += bpf_core_field_exists(struct thing, next) << 12;
	sum += bpf_core_enum_value_exists(enum colour, GREEN) << 16;
	sum += bpf_core_enum_value_exists(enum colour, RED) << 20;
	return sum;
}

SEC("syscall") long values(void *ctx __attribute__((unused)))
{
	return bpf_core_enum_value(enum colour, GREEN) + bpf_core_enum_value(enum wide, WIDE) +
	       (bpf_core_enum_value(enum colour, BLUE___old) << 8);
}

SEC("syscall") long types(void *ctx __attribute__((unused)))
{
	return bpf_core_type_size(struct thing) + (bpf_core_type_matches(struct inner) << 16) +
	       ((long)bpf_core_type_id_kernel(struct inner) << 32);
}

SEC("syscall") long local_id(void *ctx __attribute__((unused)))
{
	return bpf_core_type_id_local(struct inner);
}

SEC("syscall") long careless(struct thing___old *thing)
{
	return thing->gone;
}

struct thing___old kept;

static __attribute__((noinline)) int has_it(void)
{
	return bpf_core_field_exists(kept.gone);
}

SEC("socket") int careful(void *context)
{
	return has_it() ? kept.gone : 7;
}

#endif

SEC("syscall") long chain(struct thing *thing)
{
	return BPF_CORE_READ(thing, next, next, inner.x);
}

SEC("syscall") long store(struct thing *thing)
{
	thing->number = 77;
	thing->inner.x = (int)thing->inner.values[0];
	return 0;
}
