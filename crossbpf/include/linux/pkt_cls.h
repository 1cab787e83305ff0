/* What a tc program returns, as the kernel's ABI fixes it. */
#ifndef CROSSBPF_LINUX_PKT_CLS_H
#define CROSSBPF_LINUX_PKT_CLS_H

#include <linux/pkt_sched.h>
#include <linux/types.h>

#define TC_ACT_UNSPEC (-1)
#define TC_ACT_OK 0
#define TC_ACT_RECLASSIFY 1
#define TC_ACT_SHOT 2
#define TC_ACT_PIPE 3
#define TC_ACT_STOLEN 4
#define TC_ACT_QUEUED 5
#define TC_ACT_REPEAT 6
#define TC_ACT_REDIRECT 7
#define TC_ACT_TRAP 8
#define TC_ACT_VALUE_MAX TC_ACT_TRAP

/* What a jump or a chain is added to. */
#define TC_ACT_JUMP (1 << 28)
#define TC_ACT_GOTO_CHAIN (2 << 28)

#endif
