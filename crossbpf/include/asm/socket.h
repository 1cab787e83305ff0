/* Socket options. */
#ifndef CROSSBPF_ASM_SOCKET_H
#define CROSSBPF_ASM_SOCKET_H

#include <linux/socket.h>

#endif
