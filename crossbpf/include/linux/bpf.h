/* The part of Linux's BPF interface that a program sees: numbers and structures, as the kernel's ABI fixes them.
 *
 * A program that includes vmlinux.h has the kernel's own types from there, and only the macros from here. */
#ifndef CROSSBPF_LINUX_BPF_H
#define CROSSBPF_LINUX_BPF_H

#include <linux/types.h>

#ifndef __VMLINUX_H__
#include <linux/bpf_contexts.h>
#include <linux/bpf_flags.h>
#include <linux/bpf_numbers.h>
#include <linux/bpf_objects.h>
#include <linux/bpf_sockets.h>
#endif

/* Bytes in front of an XDP program's packet. */
#define XDP_PACKET_HEADROOM 256

#define BPF_OBJ_NAME_LEN 16U
#define BPF_TAG_SIZE 8
#define BPF_BUILD_ID_SIZE 20

/* Flag of bpf_skb_adjust_room: the inner link-layer header has so many bytes. */
#define BPF_F_ADJ_ROOM_ENCAP_L2(size) \
	(((__u64)(size) & BPF_ADJ_ROOM_ENCAP_L2_MASK) << BPF_ADJ_ROOM_ENCAP_L2_SHIFT)

#define BPF_F_REDIRECT_FLAGS (BPF_F_INGRESS | BPF_F_BROADCAST | BPF_F_EXCLUDE_INGRESS)

#endif
