/* Kinds and flags of VLAN devices. A tag's own layout is the program's to declare: user space has none. */
#ifndef CROSSBPF_LINUX_IF_VLAN_H
#define CROSSBPF_LINUX_IF_VLAN_H

#include <linux/types.h>

#ifndef __VMLINUX_H__
enum vlan_flags {
	VLAN_FLAG_REORDER_HDR = 0x1,
	VLAN_FLAG_GVRP = 0x2,
	VLAN_FLAG_LOOSE_BINDING = 0x4,
	VLAN_FLAG_MVRP = 0x8,
	VLAN_FLAG_BRIDGE_BINDING = 0x10,
};

enum vlan_name_types {
	VLAN_NAME_TYPE_PLUS_VID = 0,
	VLAN_NAME_TYPE_RAW_PLUS_VID = 1,
	VLAN_NAME_TYPE_PLUS_VID_NO_PAD = 2,
	VLAN_NAME_TYPE_RAW_PLUS_VID_NO_PAD = 3,
};
#endif

#endif
