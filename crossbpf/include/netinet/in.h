/* Internet addresses and protocol numbers. There are no functions. */
#ifndef CROSSBPF_NETINET_IN_H
#define CROSSBPF_NETINET_IN_H

#include <arpa/inet.h>
#include <linux/in.h>
#include <linux/in6.h>

#endif
