/* A container may read sysctls and not change them, except by whole writes while it is being set up. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

volatile const __u32 writes_allowed = 1;
__u32 reads, writes, refused;

SEC("cgroup/sysctl")
int sysctl(struct bpf_sysctl *ctx)
{
	if (!ctx->write) {
		reads++;
		return 1;
	}
	if (ctx->file_pos || writes >= writes_allowed) {
		refused++;
		return 0;
	}
	writes++;
	return 1;
}

char _license[] SEC("license") = "MIT";
