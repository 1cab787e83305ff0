/* The other file: what the program takes from elsewhere. */
#include <bpf/bpf_helpers.h>

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 2);
	__type(key, __u32);
	__type(value, __u64);
} unused_here SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 7);
	__type(key, __u32);
	__type(value, __u32);
} shared SEC(".maps");

int shared_number = 100000;
static int number = 2;
static __noinline int same_name(int x) { return x + number++; }
int replaced(int x) { return x + 200; }
__weak int kept(int x) { return x + 77; }
int helper_function(int x) { return same_name(x) * 10; }

char _license[] SEC("license") = "GPL";
