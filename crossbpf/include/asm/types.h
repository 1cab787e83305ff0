/* Fixed-width types, under the name that some programs know them by. */
#ifndef CROSSBPF_ASM_TYPES_H
#define CROSSBPF_ASM_TYPES_H

#include <linux/types.h>

#endif
