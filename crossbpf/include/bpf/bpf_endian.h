/* Byte order conversions that are constant expressions on constants. h: the program's order, n: network order (big). */
#ifndef CROSSBPF_BPF_ENDIAN_H
#define CROSSBPF_BPF_ENDIAN_H

#include <linux/types.h>

#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
#define bpf_cpu_to_be16(x) ((__be16)__builtin_bswap16((__u16)(x)))
#define bpf_cpu_to_be32(x) ((__be32)__builtin_bswap32((__u32)(x)))
#define bpf_cpu_to_be64(x) ((__be64)__builtin_bswap64((__u64)(x)))
#define bpf_cpu_to_le16(x) ((__le16)(x))
#define bpf_cpu_to_le32(x) ((__le32)(x))
#define bpf_cpu_to_le64(x) ((__le64)(x))
#elif __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
#define bpf_cpu_to_be16(x) ((__be16)(x))
#define bpf_cpu_to_be32(x) ((__be32)(x))
#define bpf_cpu_to_be64(x) ((__be64)(x))
#define bpf_cpu_to_le16(x) ((__le16)__builtin_bswap16((__u16)(x)))
#define bpf_cpu_to_le32(x) ((__le32)__builtin_bswap32((__u32)(x)))
#define bpf_cpu_to_le64(x) ((__le64)__builtin_bswap64((__u64)(x)))
#else
#error "unknown byte order"
#endif

/* Swapping is its own inverse. */
#define bpf_be16_to_cpu(x) ((__u16)bpf_cpu_to_be16(x))
#define bpf_be32_to_cpu(x) ((__u32)bpf_cpu_to_be32(x))
#define bpf_be64_to_cpu(x) ((__u64)bpf_cpu_to_be64(x))
#define bpf_le16_to_cpu(x) ((__u16)bpf_cpu_to_le16(x))
#define bpf_le32_to_cpu(x) ((__u32)bpf_cpu_to_le32(x))
#define bpf_le64_to_cpu(x) ((__u64)bpf_cpu_to_le64(x))

/* Names that say whether the argument is a constant; here it makes no difference. */
#define __bpf_htons(x) bpf_htons(x)
#define __bpf_htonl(x) bpf_htonl(x)
#define __bpf_ntohs(x) bpf_ntohs(x)
#define __bpf_ntohl(x) bpf_ntohl(x)
#define __bpf_constant_htons(x) bpf_htons(x)
#define __bpf_constant_htonl(x) bpf_htonl(x)
#define __bpf_constant_ntohs(x) bpf_ntohs(x)
#define __bpf_constant_ntohl(x) bpf_ntohl(x)

#define bpf_htons(x) bpf_cpu_to_be16(x)
#define bpf_htonl(x) bpf_cpu_to_be32(x)
#define bpf_ntohs(x) bpf_be16_to_cpu(x)
#define bpf_ntohl(x) bpf_be32_to_cpu(x)

#endif
