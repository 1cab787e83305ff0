/* Objects of a program's own: made, kept in a map from run to run, dropped. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_kfuncs.h>

struct note { __u64 count; __u32 sum; char text[20]; };
struct small { __u64 one; };
struct slot { struct note __kptr *note; };
struct { __uint(type, BPF_MAP_TYPE_ARRAY); __uint(max_entries, 2); __type(key, __u32); __type(value, struct slot); }
	slots SEC(".maps");
struct call { __u32 number, key; __u64 result; };

SEC("syscall")
int keep(struct call *ctx)
{
	struct slot *slot = bpf_map_lookup_elem(&slots, &ctx->key);
	struct note *note, *old;
	struct small *other;

	if (!slot)
		return -1;
	note = bpf_obj_new(struct note);
	if (!note)
		return -2;
	if (note->count || note->sum || note->text[19]) {
		bpf_obj_drop(note);
		return -3;
	}
	note->text[19] = 1;
	other = bpf_obj_new(struct small);
	if (other) {
		other->one = ~0ull;
		bpf_obj_drop(other);
	}
	old = bpf_kptr_xchg(&slot->note, (void *)0);
	note->count = (old ? old->count : 0) + 1;
	note->sum = (old ? old->sum : 0) + ctx->number;
	if (old)
		bpf_obj_drop(old);
	ctx->result = note->count << 32 | note->sum;
	old = bpf_kptr_xchg(&slot->note, note);
	if (old)
		bpf_obj_drop(old);
	return 0;
}

SEC("syscall")
int fill(struct call *ctx)
{
	int i;

	bpf_for(i, 0, 10000)
		if (!bpf_obj_new(struct note))
			break;
	return i;
}
char LICENSE[] SEC("license") = "GPL";
