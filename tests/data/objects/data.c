/* Global data in named sections, read and written. */
#include <bpf/bpf_helpers.h>

int counter;
int start = 40;
const volatile int step = 2;
SEC(".data.named") long own = 5;
SEC(".bss.zero") long zero[2];
SEC(".rodata.table") const volatile __u8 table[4] = { 1, 2, 3, 4 };

SEC("syscall") long data(void *ctx __attribute__((unused)))
{
	counter += step;
	own += table[counter & 3];
	zero[1] = own;
	return start + counter + zero[1];
}
