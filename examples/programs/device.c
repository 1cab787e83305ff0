/* Which devices a container may open: a list of (kind, major, minor) with what may be done; minor 0xffffffff is any. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

enum { MAKE = 1, READ = 2, WRITE = 4 };

struct device {
	__u32 kind; /* 1 a block device, 2 a character device */
	__u32 major;
	__u32 minor;
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 64);
	__type(key, struct device);
	__type(value, __u32); /* MAKE, READ, WRITE */
} allowed SEC(".maps");

__u32 denied;

SEC("cgroup/dev")
int devices(struct bpf_cgroup_dev_ctx *ctx)
{
	struct device device = {.kind = ctx->access_type & 0xffff, .major = ctx->major, .minor = ctx->minor};
	__u32 wanted = ctx->access_type >> 16, *may = bpf_map_lookup_elem(&allowed, &device);

	if (!may) {
		device.minor = 0xffffffff;
		may = bpf_map_lookup_elem(&allowed, &device);
	}
	if (may && (wanted & ~*may) == 0)
		return 1;
	denied++;
	return 0;
}

char _license[] SEC("license") = "MIT";
