/* The program's byte order, and conversions between it and others. */
#ifndef CROSSBPF_ASM_BYTEORDER_H
#define CROSSBPF_ASM_BYTEORDER_H

#include <linux/swab.h>
#include <linux/types.h>

#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
#define __LITTLE_ENDIAN 1234
#define __LITTLE_ENDIAN_BITFIELD
#define __cpu_to_be16(x) ((__be16)__swab16(x))
#define __cpu_to_le16(x) ((__le16)(x))
#define __cpu_to_be32(x) ((__be32)__swab32(x))
#define __cpu_to_le32(x) ((__le32)(x))
#define __cpu_to_be64(x) ((__be64)__swab64(x))
#define __cpu_to_le64(x) ((__le64)(x))
#else
#define __BIG_ENDIAN 4321
#define __BIG_ENDIAN_BITFIELD
#define __cpu_to_le16(x) ((__le16)__swab16(x))
#define __cpu_to_be16(x) ((__be16)(x))
#define __cpu_to_le32(x) ((__le32)__swab32(x))
#define __cpu_to_be32(x) ((__be32)(x))
#define __cpu_to_le64(x) ((__le64)__swab64(x))
#define __cpu_to_be64(x) ((__be64)(x))
#endif

/* Swapping is its own inverse. */
#define __be16_to_cpu(x) ((__u16)__cpu_to_be16(x))
#define __be32_to_cpu(x) ((__u32)__cpu_to_be32(x))
#define __be64_to_cpu(x) ((__u64)__cpu_to_be64(x))
#define __le16_to_cpu(x) ((__u16)__cpu_to_le16(x))
#define __le32_to_cpu(x) ((__u32)__cpu_to_le32(x))
#define __le64_to_cpu(x) ((__u64)__cpu_to_le64(x))

/* All of these are constant expressions on constants. */
#define __constant_cpu_to_be16(x) __cpu_to_be16(x)
#define __constant_be16_to_cpu(x) __be16_to_cpu(x)
#define __constant_cpu_to_be32(x) __cpu_to_be32(x)
#define __constant_be32_to_cpu(x) __be32_to_cpu(x)
#define __constant_cpu_to_be64(x) __cpu_to_be64(x)
#define __constant_be64_to_cpu(x) __be64_to_cpu(x)
#define __constant_cpu_to_le16(x) __cpu_to_le16(x)
#define __constant_le16_to_cpu(x) __le16_to_cpu(x)
#define __constant_cpu_to_le32(x) __cpu_to_le32(x)
#define __constant_le32_to_cpu(x) __le32_to_cpu(x)
#define __constant_cpu_to_le64(x) __cpu_to_le64(x)
#define __constant_le64_to_cpu(x) __le64_to_cpu(x)
#define __constant_htons(x) __cpu_to_be16(x)
#define __constant_htonl(x) __cpu_to_be32(x)
#define __constant_ntohs(x) __be16_to_cpu(x)
#define __constant_ntohl(x) __be32_to_cpu(x)

#endif
