/* Fixed-width types under the names that kernel headers use. */
#ifndef CROSSBPF_LINUX_TYPES_H
#define CROSSBPF_LINUX_TYPES_H

typedef signed char __s8;
typedef unsigned char __u8;
typedef short __s16;
typedef unsigned short __u16;
typedef int __s32;
typedef unsigned int __u32;
typedef long long __s64;
typedef unsigned long long __u64;

/* Integers that hold bytes in a fixed order, whatever the order of the program. */
typedef __u16 __le16;
typedef __u16 __be16;
typedef __u32 __le32;
typedef __u32 __be32;
typedef __u64 __le64;
typedef __u64 __be64;

typedef __u16 __sum16; /* a 16-bit ones' complement checksum */
typedef __u32 __wsum;  /* such a sum that has not been folded yet */

#define __aligned_u64 __u64 __attribute__((aligned(8)))
#define __aligned_be64 __be64 __attribute__((aligned(8)))
#define __aligned_le64 __le64 __attribute__((aligned(8)))

#ifndef __bitwise
#define __bitwise
#endif

#endif
