/* A remote control, pulse by pulse: a long pulse is a 1, a short one a 0, and a long pause ends the word. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#define KIND 0xff000000 /* of a sample; the rest are microseconds */
#define SPACE 0x00000000
#define PULSE 0x01000000

__u32 word, bits;

struct {
	__uint(type, BPF_MAP_TYPE_QUEUE);
	__uint(max_entries, 16);
	__type(value, __u32);
} words SEC(".maps");

SEC("lirc_mode2")
int decode(__u32 *sample)
{
	__u32 kind = *sample & KIND, microseconds = *sample & ~KIND;

	if (kind == PULSE) {
		word = word << 1 | (microseconds > 1000);
		bits++;
	} else if (kind == SPACE && microseconds > 5000) {
		if (bits == 8)
			bpf_map_push_elem(&words, &word, BPF_EXIST);
		word = bits = 0;
	}
	return 0;
}

char _license[] SEC("license") = "MIT";
