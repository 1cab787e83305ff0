/* Maps of every spelling, and programs that refer to them. */
#include <bpf/bpf_helpers.h>

struct key {
	__u32 a, b;
};

struct value {
	__u64 count;
	char name[12];
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 100);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct key);
	__type(value, struct value);
	__uint(pinning, 1);
} by_key SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 4);
	__uint(key_size, 4);
	__uint(value_size, 8);
	__uint(map_flags, BPF_F_RDONLY_PROG);
} by_size SEC(".maps");

struct inner {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u64);
} first_inner SEC(".maps"), second_inner SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, 3);
	__type(key, __u32);
	__array(values, struct inner);
} outer SEC(".maps") = { .values = { [0] = &second_inner, [2] = &first_inner } };

int called_last(void *ctx);
int called_first(void *ctx);

struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, 5);
	__uint(key_size, sizeof(__u32));
	__array(values, int(void *));
} jumps SEC(".maps") = { .values = { [1] = (void *)&called_last, [3] = (void *)&called_first } };

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 4096);
} ring SEC(".maps");

SEC("xdp") int called_first(void *ctx)
{
	bpf_tail_call(ctx, &jumps, 3);
	return 1;
}

SEC("xdp") int called_last(void *ctx)
{
	struct key key = { 1, 2 };
	struct value *value = bpf_map_lookup_elem(&by_key, &key);
	return value ? (int)value->count : 2;
}

SEC("xdp") int entry(void *ctx)
{
	__u32 index = 1;
	void *inner = bpf_map_lookup_elem(&outer, &index);
	__u64 *value = inner ? bpf_map_lookup_elem(inner, &index) : 0;
	if (bpf_map_lookup_elem(&by_size, &index))
		bpf_ringbuf_output(&ring, &index, 4, 0);
	bpf_tail_call(ctx, &jumps, 1);
	return value ? (int)*value : 0;
}

SEC("tc") int lonely(void *ctx)
{
	__u32 index = 1;
	return bpf_map_lookup_elem(&by_size, &index) != 0;
}

char _license[] SEC("license") = "Dual MIT/GPL";
unsigned _version SEC("version") = 0x060c00;
