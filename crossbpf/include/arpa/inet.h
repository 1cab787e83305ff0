/* Byte order conversions under the names that C libraries give them. */
#ifndef CROSSBPF_ARPA_INET_H
#define CROSSBPF_ARPA_INET_H

#include <asm/byteorder.h>

#define htons(x) __cpu_to_be16(x)
#define htonl(x) __cpu_to_be32(x)
#define ntohs(x) __be16_to_cpu(x)
#define ntohl(x) __be32_to_cpu(x)

#endif
