/* An entry of an MPLS label stack (RFC 3032, section 2.1). */
#ifndef CROSSBPF_LINUX_MPLS_H
#define CROSSBPF_LINUX_MPLS_H

#include <linux/types.h>

#ifndef __VMLINUX_H__
struct mpls_label {
	__be32 entry;
};
#endif

/* Parts of an entry, in the program's byte order. */
#define MPLS_LS_LABEL_MASK 0xFFFFF000
#define MPLS_LS_LABEL_SHIFT 12
#define MPLS_LS_TC_MASK 0x00000E00
#define MPLS_LS_TC_SHIFT 9
#define MPLS_LS_S_MASK 0x00000100
#define MPLS_LS_S_SHIFT 8
#define MPLS_LS_TTL_MASK 0x000000FF
#define MPLS_LS_TTL_SHIFT 0

#endif
