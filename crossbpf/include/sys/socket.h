/* Address families, kinds of socket and socket options. There are no functions. */
#ifndef CROSSBPF_SYS_SOCKET_H
#define CROSSBPF_SYS_SOCKET_H

#include <linux/socket.h>

#endif
