/* What a program takes from the kernel. */
#include <bpf/bpf_helpers.h>

extern int LINUX_KERNEL_VERSION __kconfig;
extern enum libbpf_tristate CONFIG_BPF __kconfig __weak;
extern _Bool CONFIG_SMP __kconfig;
extern char CONFIG_MODULES __kconfig;
extern unsigned long CONFIG_HZ __kconfig __weak;
extern const char CONFIG_DEFAULT_HOSTNAME[8] __kconfig;
extern int missing_function(int) __ksym __weak;
extern int needed_function(int) __ksym;
extern const int missing_variable __ksym __weak;

SEC("syscall") long kernel_version(void *ctx __attribute__((unused)))
{
	return LINUX_KERNEL_VERSION;
}

SEC("syscall") long configuration(void *ctx __attribute__((unused)))
{
	return CONFIG_BPF + (CONFIG_SMP << 4) + (CONFIG_MODULES << 8) + (CONFIG_HZ << 16) +
	       ((long)CONFIG_DEFAULT_HOSTNAME[1] << 48);
}

SEC("syscall") long optional(void *ctx __attribute__((unused)))
{
	if (missing_function)
		return missing_function(3);
	return &missing_variable ? 4 : 5;
}

SEC("syscall") long careless(void *ctx __attribute__((unused)))
{
	return missing_function(3);
}

SEC("syscall") long needed(void *ctx __attribute__((unused)))
{
	return needed_function(3);
}
