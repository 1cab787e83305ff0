/* Error numbers. */
#ifndef CROSSBPF_ASM_ERRNO_H
#define CROSSBPF_ASM_ERRNO_H

#include <linux/errno.h>

#endif
