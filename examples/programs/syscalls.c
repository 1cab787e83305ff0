/* Counts system calls by number as they start, and those that a range of numbers holds apart. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 512);
	__type(key, __u64);
	__type(value, __u64);
} calls SEC(".maps");

volatile const __u64 first = 40, last = 60;
__u64 sockets;

SEC("raw_tp/sys_enter")
int count(__u64 *arguments)
{
	__u64 number = arguments[1], one = 1, *seen; /* arguments[0] is the registers' address */

	if (number >= first && number <= last)
		__sync_fetch_and_add(&sockets, 1);
	seen = bpf_map_lookup_elem(&calls, &number);
	if (seen)
		__sync_fetch_and_add(seen, 1);
	else
		bpf_map_update_elem(&calls, &number, &one, BPF_NOEXIST);
	return 0;
}

char _license[] SEC("license") = "MIT";
