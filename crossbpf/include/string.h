/* What a program without a C library can have of string.h: the compiler's own, for sizes that it knows. */
#ifndef CROSSBPF_STRING_H
#define CROSSBPF_STRING_H

#include <stddef.h>

#define memcpy(to, from, size) __builtin_memcpy((to), (from), (size))
#define memmove(to, from, size) __builtin_memmove((to), (from), (size))
#define memset(to, byte, size) __builtin_memset((to), (byte), (size))
#define memcmp(a, b, size) __builtin_memcmp((a), (b), (size))
#define strlen(literal) __builtin_strlen(literal)

#endif
