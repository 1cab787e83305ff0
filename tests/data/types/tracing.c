/* One program of each type that looks into the kernel. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_kfuncs.h>

char LICENSE[] SEC("license") = "GPL";

struct mm_struct { __u64 total_vm; } __core;
struct task_struct {
	int pid;
	struct task_struct *real_parent;
	struct mm_struct *mm;
	char comm[16];
	struct { __u32 uid; signed char nice; } cred;
	unsigned exiting : 3;
	struct task_struct *siblings[2];
} __core;
struct file { __u32 f_mode; } __core;

SEC("fentry/do_wake")
int BPF_PROG(on_wake, struct task_struct *task, int mode)
{
	return task->real_parent->pid * 100 + task->pid + mode + task->real_parent->real_parent->pid;
}
SEC("fexit/do_wake")
int BPF_PROG(after_wake, struct task_struct *task, int mode, int ret)
{
	return ret + task->cred.nice + task->siblings[1]->comm[0] + (int)task->mm->total_vm;
}
SEC("fexit/find_parent")
int BPF_PROG(after_find, struct task_struct *task, struct task_struct *ret)
{
	return ret->pid;
}
SEC("tp_btf/sched_switch")
int BPF_PROG(on_switch, int preempt, struct task_struct *prev, struct task_struct *next)
{
	return prev->pid * 10 + next->pid + preempt;
}
SEC("lsm/file_open")
int BPF_PROG(on_open, struct file *file, struct task_struct *who)
{
	return file->f_mode & 2 && who->pid == 7 ? -1 : 0;
}
struct seq_file;
struct bpf_iter_meta { struct seq_file *seq; __u64 seq_num; } __core;
struct bpf_iter__task { struct bpf_iter_meta *meta; struct task_struct *task; } __core;
SEC("iter/task")
int dump(struct bpf_iter__task *ctx)
{
	struct task_struct *task = ctx->task;

	if (!task) {
		bpf_seq_write(ctx->meta->seq, "end\n", 4);
		return 1000;
	}
	if (!ctx->meta->seq_num)
		BPF_SEQ_PRINTF(ctx->meta->seq, "pid comm\n", 0);
	BPF_SEQ_PRINTF(ctx->meta->seq, "%3d %s\n", task->pid, (__u64)task->comm);
	return task->pid;
}
struct { __uint(type, BPF_MAP_TYPE_HASH); __uint(max_entries, 8); __type(key, __u32); __type(value, __u64); } counts SEC(".maps");
struct bpf_map;
struct bpf_iter__bpf_map_elem { struct bpf_iter_meta *meta; struct bpf_map *map; void *key, *value; } __core;
SEC("iter/bpf_map_elem")
int elements(struct bpf_iter__bpf_map_elem *ctx)
{
	__u32 *key = ctx->key;
	__u64 *value = ctx->value;

	if (!key || !value) {
		BPF_SEQ_PRINTF(ctx->meta->seq, "%llu elements\n", ctx->meta->seq_num);
		return bpf_map_lookup_elem(&counts, &(__u32){0}) ? 1 : 0;
	}
	BPF_SEQ_PRINTF(ctx->meta->seq, "%u: %llu\n", *key, *value);
	*value += *key;
	return 0;
}
struct nf_hook_state { __u8 hook, pf; } __core;
struct sk_buff { __u32 len; } __core;
struct bpf_nf_ctx { const struct nf_hook_state *state; struct sk_buff *skb; } __core;
SEC("netfilter")
int filter(struct bpf_nf_ctx *ctx)
{
	return ctx->state->hook == 3 && ctx->state->pf == 2 && ctx->skb->len > 40;
}
SEC("kprobe/do_wake")
int BPF_KPROBE(probe, void *task, int mode)
{
	int pid = 0;
	bpf_probe_read_kernel(&pid, sizeof pid, &((struct task_struct *)task)->pid);
	return pid + mode;
}
SEC("kretprobe/do_wake")
int BPF_KRETPROBE(probed, int ret) { return ret + 1; }
struct event { __u64 common; __u32 pid; char comm[8]; };
SEC("tracepoint/sched/wake")
int traced(struct event *ctx) { return ctx->pid + ctx->comm[1]; }
struct call { __u32 a, b; __u64 sum; };
SEC("syscall")
int called(struct call *ctx) { int i; ctx->sum = 0; bpf_for(i, ctx->a, ctx->b) ctx->sum += i; return 0; }
SEC("raw_tp/x")
int BPF_PROG(raw, __u64 a, __u64 b) { return a * 3 + b; }
SEC("syscall")
int parent(struct call *ctx)
{
	struct task_struct *task = bpf_task_from_pid(ctx->a);
	int pid = 0;
	if (task) {
		pid = task->real_parent->pid;
		bpf_task_release(task);
	}
	return pid;
}

extern struct task_struct init_task __ksym;
extern const int nr_tasks __ksym;
extern const void text_start __ksym;
extern const int missing __ksym __weak;
extern void bpf_not_there(void) __ksym __weak;
SEC("syscall")
int symbols(struct call *ctx)
{
	if (&missing || bpf_ksym_exists(bpf_not_there) || !bpf_ksym_exists(bpf_task_from_pid))
		return -1;
	ctx->sum = (__u64)&text_start;
	return init_task.real_parent->pid * 10 + nr_tasks;
}
extern const int counter __ksym;
SEC("fexit/do_wake")
int BPF_PROG(by_number)
{
	__u64 task = 0, ret = 0, none = 0;

	if (bpf_get_func_arg_cnt(ctx) != 2 || bpf_get_func_arg(ctx, 0, &task) || bpf_get_func_ret(ctx, &ret))
		return -1;
	if (bpf_get_func_arg(ctx, 2, &none) != -22)
		return -2;
	int *mine = bpf_this_cpu_ptr(&counter), *other = bpf_per_cpu_ptr(&counter, 2);
	if (!other || bpf_per_cpu_ptr(&counter, 1000))
		return -3;
	return task + ret + *mine * 100 + *other;
}
SEC("fentry/do_wake")
int BPF_PROG(too_early)
{
	__u64 ret = 7;
	return bpf_get_func_ret(ctx, &ret) + ret;
}
SEC("fentry.s/find_parent")
int BPF_PROG(loops, struct task_struct *task)
{
	int i, found = 0, *at;

	bpf_for(i, 0, 1000) {
		if (i == 20)
			break;
		found += task->comm[i & 15];
	}
	bpf_repeat(3)
		found++;
	bpf_for_each(num, at, 5, 8)
		found += *at;
	return found;
}
