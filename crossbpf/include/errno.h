/* Error numbers. There is no errno in a BPF program: helpers return the negative number. */
#ifndef CROSSBPF_ERRNO_H
#define CROSSBPF_ERRNO_H

#include <linux/errno.h>

#endif
