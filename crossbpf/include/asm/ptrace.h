/* Registers of the machine that the program is for. */
#ifndef CROSSBPF_ASM_PTRACE_H
#define CROSSBPF_ASM_PTRACE_H

#include <linux/ptrace.h>

#endif
