/* Some of what a kernel's types have; a vmlinux.h is made of them. */
#include <linux/bpf.h>
#include <linux/ip.h>
#include <linux/ptrace.h>

struct task_struct {
	int pid;
	struct task_struct *real_parent;
	char comm[16];
	unsigned flag : 1, other : 3;
};

struct task_struct task;
struct iphdr ip;
struct bpf_fib_lookup route;
struct bpf_iter_num number;
enum bpf_map_type kind;
enum xdp_action action;
struct xdp_md packet;
bpf_user_pt_regs_t registers;
