/* Lengths of names. */
#ifndef CROSSBPF_LINUX_LIMITS_H
#define CROSSBPF_LINUX_LIMITS_H

#define NAME_MAX 255
#define PATH_MAX 4096
#define XATTR_NAME_MAX 255
#define XATTR_SIZE_MAX 65536

#endif
