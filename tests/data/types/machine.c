/* The machine that the programs are for: structures of its kernel and functions that programs attach to. */
typedef unsigned int u32; typedef unsigned long long u64; typedef unsigned char u8;
struct list_head { struct list_head *next, *prev; };
struct mm_struct { u64 total_vm; };
struct task_struct {
	u64 state;
	struct mm_struct *mm;
	int pid, tgid;
	struct task_struct *real_parent;
	char comm[16];
	struct { u32 uid; signed char nice; } cred;
	u32 flags : 5, exiting : 3;
	struct task_struct *siblings[2];
};
struct sock { unsigned short family; u32 mark; };
struct file { u32 f_mode; };
struct net_device { int ifindex; };
struct sk_buff { u32 len; struct net_device *dev; };
struct nf_hook_state { u8 hook; u8 pf; struct net_device *in; };
struct bpf_nf_ctx { const struct nf_hook_state *state; struct sk_buff *skb; };
struct bpf_iter_meta { void *seq; u64 session_id, seq_num; };
struct bpf_iter__task { union { struct bpf_iter_meta *meta; u64 word0; }; union { struct task_struct *task; u64 word1; }; };
struct bpf_map { u32 id; };
struct bpf_iter__bpf_map_elem {
	union { struct bpf_iter_meta *meta; };
	union { struct bpf_map *map; };
	union { void *key; };
	union { void *value; };
};
typedef void (*btf_trace_sched_switch)(void *data, int preempt, struct task_struct *prev, struct task_struct *next);

int do_wake(struct task_struct *task, int mode) { return task->pid + mode; }
struct task_struct *find_parent(struct task_struct *task) { return task->real_parent; }
int bpf_lsm_file_open(struct file *file, struct task_struct *who) { return file->f_mode + who->pid; }
btf_trace_sched_switch keep_switch;
struct bpf_nf_ctx keep_nf; struct nf_hook_state keep_state; struct sk_buff keep_skb; struct net_device keep_device; struct mm_struct keep_mm; struct bpf_iter_meta keep_meta;
struct task_struct init_task;
int nr_tasks, counter; struct bpf_iter__task keep_iter; struct bpf_iter__bpf_map_elem keep_elements; struct bpf_map keep_map;
