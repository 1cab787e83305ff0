/* Two programs that meet on different CPUs: one puts work into a ring of slots, the other takes it out; each slot says
 * whose turn it is, so neither needs a lock.
 */
#include <linux/bpf.h>
#include <linux/pkt_cls.h>
#include <bpf/bpf_helpers.h>

#define SLOTS 4
#define EMPTY 0
#define FULL 1

struct slot {
	__u32 state;
	__u32 work; /* bytes of a packet */
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, SLOTS);
	__type(key, __u32);
	__type(value, struct slot);
} slots SEC(".maps");

__u32 next_in, next_out, done;

SEC("tc")
int produce(struct __sk_buff *skb)
{
	__u32 at = next_in % SLOTS;
	struct slot *slot = bpf_map_lookup_elem(&slots, &at);

	if (!slot || __sync_val_compare_and_swap(&slot->state, EMPTY, EMPTY) != EMPTY)
		return TC_ACT_SHOT; /* no room */
	slot->work = skb->len;
	next_in++;
	__sync_lock_test_and_set(&slot->state, FULL);
	return TC_ACT_OK;
}

SEC("tc")
int consume(struct __sk_buff *skb)
{
	__u32 at = next_out % SLOTS;
	struct slot *slot = bpf_map_lookup_elem(&slots, &at);

	if (!slot || __sync_val_compare_and_swap(&slot->state, FULL, FULL) != FULL)
		return TC_ACT_PIPE; /* nothing to do */
	done += slot->work;
	next_out++;
	skb->mark = slot->work;
	__sync_lock_test_and_set(&slot->state, EMPTY);
	return TC_ACT_OK;
}

char _license[] SEC("license") = "MIT";
