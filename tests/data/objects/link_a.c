/* One of two files: the program. */
#include <bpf/bpf_helpers.h>

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u64);
} own SEC(".maps");

extern struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 7);
	__type(key, __u32);
	__type(value, __u32);
} shared SEC(".maps");

extern int shared_number;
int helper_function(int x);
__weak int replaced(int x) { return x + 1000; }
__weak int kept(int x) { return x + 5; }
static int number = 3;
static __noinline int same_name(int x) { return x * number++; }

SEC("syscall") int linked(void *ctx __attribute__((unused)))
{
	return helper_function(same_name(7)) + shared_number + replaced(1) + kept(2);
}

SEC("syscall") long with_maps(void *ctx __attribute__((unused)))
{
	__u32 key = 0;
	return bpf_map_lookup_elem(&shared, &key) == bpf_map_lookup_elem(&own, &key);
}

char _license[] SEC("license") = "GPL";
