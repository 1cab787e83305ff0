/* Who opens files, as the system call starts: counts by user, and a line for each command that was not seen before. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#define OPENAT 257

struct command {
	char name[16];
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 256);
	__type(key, struct command);
	__type(value, __u32); /* the process that was the first */
} commands SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 256);
	__type(key, __u32);
	__type(value, __u64);
} users SEC(".maps");

SEC("raw_tp/sys_enter")
int opens(__u64 *arguments)
{
	__u32 user = bpf_get_current_uid_gid(), process = bpf_get_current_pid_tgid() >> 32;
	struct command command = {};
	__u64 one = 1, *count;

	if (arguments[1] != OPENAT)
		return 0;
	count = bpf_map_lookup_elem(&users, &user);
	if (count)
		__sync_fetch_and_add(count, 1);
	else
		bpf_map_update_elem(&users, &user, &one, BPF_NOEXIST);
	if (bpf_get_current_comm(command.name, sizeof(command.name)))
		return 0;
	if (!bpf_map_update_elem(&commands, &command, &process, BPF_NOEXIST))
		bpf_printk("%s opens files: process %d", command.name, process);
	return 0;
}

char _license[] SEC("license") = "GPL";
