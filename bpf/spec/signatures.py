"""What the verifier asks of a call of each helper: kinds of arguments and of the result, in the kernel's names.

Those of Linux 6.18 (struct bpf_func_proto, include/linux/bpf.h). `python -m tests.probing` compares them with the
live kernel.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType


@dataclass(frozen=True, slots=True)
class Kind:
    """An argument's or a result's kind.

    base   enum bpf_arg_type (ARG_PTR_TO_MEM, ...) or bpf_return_type (RET_INTEGER, ...), without flags
    flags  enum bpf_type_flag: PTR_MAYBE_NULL, MEM_RDONLY, MEM_UNINIT, OBJ_RELEASE, DYNPTR_TYPE_LOCAL, ...
    size   bytes of a MEM_FIXED_SIZE
    btf    name of the structure that a BTF_ID is of; "" where any is, or where the map says it
    """

    base: str
    flags: frozenset[str] = frozenset()
    size: int = 0
    btf: str = ""


@dataclass(frozen=True, slots=True)
class Signature:
    """What a call of a helper takes and gives.

    types           the program types that it is so for; empty: all that no other signature of the helper names. One
                    that it is so for only with an expected attach type: `type:attach type`
    result          of R0
    arguments       of R1 and on
    gpl_only        only programs with a license compatible to the GPL may call it
    pkt_access      it takes pointers into the packet for memory
    might_sleep     only sleepable programs may call it, outside of locks
    fastcall        R1-R5 that it does not take survive it, if the program is compiled for that (bpf_fastcall)
    changes_packet  pointers into the packet are void after it
    acquires        the result is a reference that has to be released
    restricted      a function of the kernel says which attach points may have it
    """

    types: frozenset[str]
    result: Kind
    arguments: tuple[Kind, ...]
    gpl_only: bool = False
    pkt_access: bool = False
    might_sleep: bool = False
    fastcall: bool = False
    changes_packet: bool = False
    acquires: bool = False
    restricted: bool = False

    @property
    def releases(self) -> int:
        """Which of R1-R5 is a reference that it releases, 0 for none."""
        return next((n for n, kind in enumerate(self.arguments, 1) if "OBJ_RELEASE" in kind.flags), 0)


_TABLE = """
1 map_lookup_elem: PTR_TO_MAP_VALUE_OR_NULL(CONST_MAP_PTR, PTR_TO_MAP_KEY) pkt_access
2 map_update_elem: INTEGER(CONST_MAP_PTR, PTR_TO_MAP_KEY, PTR_TO_MAP_VALUE, ANYTHING) pkt_access
3 map_delete_elem: INTEGER(CONST_MAP_PTR, PTR_TO_MAP_KEY) pkt_access
4 probe_read: INTEGER(PTR_TO_UNINIT_MEM, CONST_SIZE_OR_ZERO, ANYTHING) gpl_only
5 ktime_get_ns: INTEGER()
6 trace_printk: INTEGER(PTR_TO_MEM|MEM_RDONLY, CONST_SIZE) gpl_only
7 get_prandom_u32: INTEGER()
8 get_smp_processor_id: INTEGER() fastcall
8 get_smp_processor_id cgroup_device cgroup_skb cgroup_sock cgroup_sock_addr cgroup_sockopt cgroup_sysctl
    flow_dissector netfilter sk_lookup sk_msg sk_reuseport sk_skb sock_ops socket_filter struct_ops: INTEGER()
9 skb_store_bytes: INTEGER(PTR_TO_CTX, ANYTHING, PTR_TO_MEM|MEM_RDONLY, CONST_SIZE, ANYTHING) changes_packet
10 l3_csum_replace: INTEGER(PTR_TO_CTX, ANYTHING, ANYTHING, ANYTHING, ANYTHING) changes_packet
11 l4_csum_replace: INTEGER(PTR_TO_CTX, ANYTHING, ANYTHING, ANYTHING, ANYTHING) changes_packet
12 tail_call: VOID(PTR_TO_CTX, CONST_MAP_PTR, ANYTHING) changes_packet
13 clone_redirect: INTEGER(PTR_TO_CTX, ANYTHING, ANYTHING) changes_packet
14 get_current_pid_tgid: INTEGER()
15 get_current_uid_gid: INTEGER()
16 get_current_comm: INTEGER(PTR_TO_UNINIT_MEM, CONST_SIZE)
17 get_cgroup_classid: INTEGER()
17 get_cgroup_classid lwt_in lwt_out lwt_seg6local lwt_xmit sched_act sched_cls: INTEGER(PTR_TO_CTX)
18 skb_vlan_push: INTEGER(PTR_TO_CTX, ANYTHING, ANYTHING) changes_packet
19 skb_vlan_pop: INTEGER(PTR_TO_CTX) changes_packet
20 skb_get_tunnel_key: INTEGER(PTR_TO_CTX, PTR_TO_UNINIT_MEM, CONST_SIZE, ANYTHING)
21 skb_set_tunnel_key: INTEGER(PTR_TO_CTX, PTR_TO_MEM|MEM_RDONLY, CONST_SIZE, ANYTHING)
22 perf_event_read: INTEGER(CONST_MAP_PTR, ANYTHING) gpl_only
23 redirect: INTEGER(ANYTHING, ANYTHING)
24 get_route_realm: INTEGER(PTR_TO_CTX)
25 perf_event_output: INTEGER(PTR_TO_CTX, CONST_MAP_PTR, ANYTHING, PTR_TO_MEM|MEM_RDONLY, CONST_SIZE_OR_ZERO) gpl_only
26 skb_load_bytes: INTEGER(PTR_TO_CTX, ANYTHING, PTR_TO_UNINIT_MEM, CONST_SIZE)
27 get_stackid: INTEGER(PTR_TO_CTX, CONST_MAP_PTR, ANYTHING) gpl_only
27 get_stackid perf_event: INTEGER(PTR_TO_CTX, CONST_MAP_PTR, ANYTHING)
28 csum_diff: INTEGER(PTR_TO_MEM_OR_NULL|MEM_RDONLY, CONST_SIZE_OR_ZERO, PTR_TO_MEM_OR_NULL|MEM_RDONLY,
    CONST_SIZE_OR_ZERO, ANYTHING) pkt_access
29 skb_get_tunnel_opt: INTEGER(PTR_TO_CTX, PTR_TO_UNINIT_MEM, CONST_SIZE)
30 skb_set_tunnel_opt: INTEGER(PTR_TO_CTX, PTR_TO_MEM|MEM_RDONLY, CONST_SIZE)
31 skb_change_proto: INTEGER(PTR_TO_CTX, ANYTHING, ANYTHING) changes_packet
32 skb_change_type: INTEGER(PTR_TO_CTX, ANYTHING)
33 skb_under_cgroup: INTEGER(PTR_TO_CTX, CONST_MAP_PTR, ANYTHING)
34 get_hash_recalc: INTEGER(PTR_TO_CTX)
35 get_current_task: INTEGER() gpl_only
36 probe_write_user: INTEGER(ANYTHING, PTR_TO_MEM|MEM_RDONLY, CONST_SIZE) gpl_only
37 current_task_under_cgroup: INTEGER(CONST_MAP_PTR, ANYTHING)
38 skb_change_tail: INTEGER(PTR_TO_CTX, ANYTHING, ANYTHING) changes_packet
39 skb_pull_data: INTEGER(PTR_TO_CTX, ANYTHING) changes_packet
40 csum_update: INTEGER(PTR_TO_CTX, ANYTHING)
41 set_hash_invalid: INTEGER(PTR_TO_CTX)
42 get_numa_node_id: INTEGER()
43 skb_change_head: INTEGER(PTR_TO_CTX, ANYTHING, ANYTHING) changes_packet
44 xdp_adjust_head: INTEGER(PTR_TO_CTX, ANYTHING) changes_packet
45 probe_read_str: INTEGER(PTR_TO_UNINIT_MEM, CONST_SIZE_OR_ZERO, ANYTHING) gpl_only
46 get_socket_cookie: INTEGER(PTR_TO_CTX)
46 get_socket_cookie lsm sk_reuseport syscall tracing: INTEGER(PTR_TO_BTF_ID_SOCK_COMMON_OR_NULL)
47 get_socket_uid: INTEGER(PTR_TO_CTX)
48 set_hash: INTEGER(PTR_TO_CTX, ANYTHING)
49 setsockopt: INTEGER(PTR_TO_CTX, ANYTHING, ANYTHING, PTR_TO_MEM|MEM_RDONLY, CONST_SIZE)
49 setsockopt cgroup_sockopt lsm struct_ops: INTEGER(PTR_TO_BTF_ID_SOCK_COMMON, ANYTHING, ANYTHING,
    PTR_TO_MEM|MEM_RDONLY, CONST_SIZE)
50 skb_adjust_room: INTEGER(PTR_TO_CTX, ANYTHING, ANYTHING, ANYTHING) changes_packet
51 redirect_map: INTEGER(CONST_MAP_PTR, ANYTHING, ANYTHING)
52 sk_redirect_map: INTEGER(PTR_TO_CTX, CONST_MAP_PTR, ANYTHING, ANYTHING)
53 sock_map_update: INTEGER(PTR_TO_CTX, CONST_MAP_PTR, PTR_TO_MAP_KEY, ANYTHING) pkt_access
54 xdp_adjust_meta: INTEGER(PTR_TO_CTX, ANYTHING) changes_packet
55 perf_event_read_value: INTEGER(CONST_MAP_PTR, ANYTHING, PTR_TO_UNINIT_MEM, CONST_SIZE) gpl_only
56 perf_prog_read_value: INTEGER(PTR_TO_CTX, PTR_TO_UNINIT_MEM, CONST_SIZE) gpl_only
57 getsockopt: INTEGER(PTR_TO_CTX, ANYTHING, ANYTHING, PTR_TO_UNINIT_MEM, CONST_SIZE)
57 getsockopt cgroup_sockopt lsm struct_ops: INTEGER(PTR_TO_BTF_ID_SOCK_COMMON, ANYTHING, ANYTHING,
    PTR_TO_UNINIT_MEM, CONST_SIZE)
58 override_return: INTEGER(PTR_TO_CTX, ANYTHING) gpl_only
59 sock_ops_cb_flags_set: INTEGER(PTR_TO_CTX, ANYTHING)
60 msg_redirect_map: INTEGER(PTR_TO_CTX, CONST_MAP_PTR, ANYTHING, ANYTHING)
61 msg_apply_bytes: INTEGER(PTR_TO_CTX, ANYTHING)
62 msg_cork_bytes: INTEGER(PTR_TO_CTX, ANYTHING)
63 msg_pull_data: INTEGER(PTR_TO_CTX, ANYTHING, ANYTHING, ANYTHING) changes_packet
64 bind: INTEGER(PTR_TO_CTX, PTR_TO_MEM|MEM_RDONLY, CONST_SIZE)
65 xdp_adjust_tail: INTEGER(PTR_TO_CTX, ANYTHING) changes_packet
66 skb_get_xfrm_state: INTEGER(PTR_TO_CTX, ANYTHING, PTR_TO_UNINIT_MEM, CONST_SIZE, ANYTHING)
67 get_stack: INTEGER(PTR_TO_CTX, PTR_TO_UNINIT_MEM, CONST_SIZE_OR_ZERO, ANYTHING) gpl_only
68 skb_load_bytes_relative: INTEGER(PTR_TO_CTX, ANYTHING, PTR_TO_UNINIT_MEM, CONST_SIZE, ANYTHING)
69 fib_lookup: INTEGER(PTR_TO_CTX, PTR_TO_MEM|MEM_WRITE, CONST_SIZE, ANYTHING) gpl_only
70 sock_hash_update: INTEGER(PTR_TO_CTX, CONST_MAP_PTR, PTR_TO_MAP_KEY, ANYTHING) pkt_access
71 msg_redirect_hash: INTEGER(PTR_TO_CTX, CONST_MAP_PTR, PTR_TO_MAP_KEY, ANYTHING)
72 sk_redirect_hash: INTEGER(PTR_TO_CTX, CONST_MAP_PTR, PTR_TO_MAP_KEY, ANYTHING)
73 lwt_push_encap: INTEGER(PTR_TO_CTX, ANYTHING, PTR_TO_MEM|MEM_RDONLY, CONST_SIZE) changes_packet
74 lwt_seg6_store_bytes: INTEGER(PTR_TO_CTX, ANYTHING, PTR_TO_MEM|MEM_RDONLY, CONST_SIZE) changes_packet
75 lwt_seg6_adjust_srh: INTEGER(PTR_TO_CTX, ANYTHING, ANYTHING) changes_packet
76 lwt_seg6_action: INTEGER(PTR_TO_CTX, ANYTHING, PTR_TO_MEM|MEM_RDONLY, CONST_SIZE) changes_packet
77 rc_repeat: INTEGER(PTR_TO_CTX) gpl_only
78 rc_keydown: INTEGER(PTR_TO_CTX, ANYTHING, ANYTHING, ANYTHING) gpl_only
79 skb_cgroup_id: INTEGER(PTR_TO_CTX)
80 get_current_cgroup_id: INTEGER()
81 get_local_storage: PTR_TO_MAP_VALUE(CONST_MAP_PTR, ANYTHING)
82 sk_select_reuseport: INTEGER(PTR_TO_CTX, CONST_MAP_PTR, PTR_TO_MAP_KEY, ANYTHING)
83 skb_ancestor_cgroup_id: INTEGER(PTR_TO_CTX, ANYTHING)
84 sk_lookup_tcp: PTR_TO_SOCKET_OR_NULL(PTR_TO_CTX, PTR_TO_MEM|MEM_RDONLY, CONST_SIZE_OR_ZERO, ANYTHING, ANYTHING)
    pkt_access acquires
84 sk_lookup_tcp cgroup_sock_addr: PTR_TO_SOCKET_OR_NULL(PTR_TO_CTX, PTR_TO_MEM|MEM_RDONLY, CONST_SIZE_OR_ZERO,
    ANYTHING, ANYTHING) acquires
85 sk_lookup_udp: PTR_TO_SOCKET_OR_NULL(PTR_TO_CTX, PTR_TO_MEM|MEM_RDONLY, CONST_SIZE_OR_ZERO, ANYTHING, ANYTHING)
    pkt_access acquires
85 sk_lookup_udp cgroup_sock_addr: PTR_TO_SOCKET_OR_NULL(PTR_TO_CTX, PTR_TO_MEM|MEM_RDONLY, CONST_SIZE_OR_ZERO,
    ANYTHING, ANYTHING) acquires
86 sk_release: INTEGER(PTR_TO_BTF_ID_SOCK_COMMON|OBJ_RELEASE)
87 map_push_elem: INTEGER(CONST_MAP_PTR, PTR_TO_MAP_VALUE, ANYTHING) pkt_access
88 map_pop_elem: INTEGER(CONST_MAP_PTR, PTR_TO_MAP_VALUE|MEM_UNINIT|MEM_WRITE)
89 map_peek_elem: INTEGER(CONST_MAP_PTR, PTR_TO_MAP_VALUE|MEM_UNINIT|MEM_WRITE)
90 msg_push_data: INTEGER(PTR_TO_CTX, ANYTHING, ANYTHING, ANYTHING) changes_packet
91 msg_pop_data: INTEGER(PTR_TO_CTX, ANYTHING, ANYTHING, ANYTHING) changes_packet
92 rc_pointer_rel: INTEGER(PTR_TO_CTX, ANYTHING, ANYTHING) gpl_only
93 spin_lock: VOID(PTR_TO_SPIN_LOCK)
94 spin_unlock: VOID(PTR_TO_SPIN_LOCK)
95 sk_fullsock: PTR_TO_SOCKET_OR_NULL(PTR_TO_SOCK_COMMON)
96 tcp_sock: PTR_TO_TCP_SOCK_OR_NULL(PTR_TO_SOCK_COMMON)
97 skb_ecn_set_ce: INTEGER(PTR_TO_CTX)
98 get_listener_sock: PTR_TO_SOCKET_OR_NULL(PTR_TO_SOCK_COMMON)
99 skc_lookup_tcp: PTR_TO_SOCK_COMMON_OR_NULL(PTR_TO_CTX, PTR_TO_MEM|MEM_RDONLY, CONST_SIZE_OR_ZERO, ANYTHING,
    ANYTHING) pkt_access acquires
99 skc_lookup_tcp cgroup_sock_addr: PTR_TO_SOCK_COMMON_OR_NULL(PTR_TO_CTX, PTR_TO_MEM|MEM_RDONLY, CONST_SIZE_OR_ZERO,
    ANYTHING, ANYTHING) acquires
100 tcp_check_syncookie: INTEGER(PTR_TO_BTF_ID_SOCK_COMMON, PTR_TO_MEM|MEM_RDONLY, CONST_SIZE, PTR_TO_MEM|MEM_RDONLY,
    CONST_SIZE) gpl_only pkt_access
101 sysctl_get_name: INTEGER(PTR_TO_CTX, PTR_TO_MEM|MEM_WRITE, CONST_SIZE, ANYTHING)
102 sysctl_get_current_value: INTEGER(PTR_TO_CTX, PTR_TO_UNINIT_MEM, CONST_SIZE)
103 sysctl_get_new_value: INTEGER(PTR_TO_CTX, PTR_TO_UNINIT_MEM, CONST_SIZE)
104 sysctl_set_new_value: INTEGER(PTR_TO_CTX, PTR_TO_MEM|MEM_RDONLY, CONST_SIZE)
105 strtol: INTEGER(PTR_TO_MEM|MEM_RDONLY, CONST_SIZE, ANYTHING,
    PTR_TO_MEM|MEM_UNINIT|MEM_FIXED_SIZE|MEM_ALIGNED|MEM_WRITE<8>)
106 strtoul: INTEGER(PTR_TO_MEM|MEM_RDONLY, CONST_SIZE, ANYTHING,
    PTR_TO_MEM|MEM_UNINIT|MEM_FIXED_SIZE|MEM_ALIGNED|MEM_WRITE<8>)
107 sk_storage_get: PTR_TO_MAP_VALUE_OR_NULL(CONST_MAP_PTR, PTR_TO_BTF_ID_SOCK_COMMON, PTR_TO_MAP_VALUE_OR_NULL,
    ANYTHING)
107 sk_storage_get syscall tracing: PTR_TO_MAP_VALUE_OR_NULL(CONST_MAP_PTR, PTR_TO_BTF_ID_OR_NULL<sock_common>,
    PTR_TO_MAP_VALUE_OR_NULL, ANYTHING) restricted
107 sk_storage_get cgroup_sock: PTR_TO_MAP_VALUE_OR_NULL(CONST_MAP_PTR, PTR_TO_CTX, PTR_TO_MAP_VALUE_OR_NULL,
    ANYTHING)
108 sk_storage_delete: INTEGER(CONST_MAP_PTR, PTR_TO_BTF_ID_SOCK_COMMON)
108 sk_storage_delete syscall tracing: INTEGER(CONST_MAP_PTR, PTR_TO_BTF_ID_OR_NULL<sock_common>) restricted
109 send_signal: INTEGER(ANYTHING)
110 tcp_gen_syncookie: INTEGER(PTR_TO_BTF_ID_SOCK_COMMON, PTR_TO_MEM|MEM_RDONLY, CONST_SIZE, PTR_TO_MEM|MEM_RDONLY,
    CONST_SIZE) gpl_only pkt_access
111 skb_output: INTEGER(PTR_TO_BTF_ID<sk_buff>, CONST_MAP_PTR, ANYTHING, PTR_TO_MEM|MEM_RDONLY, CONST_SIZE_OR_ZERO)
    gpl_only
112 probe_read_user: INTEGER(PTR_TO_UNINIT_MEM, CONST_SIZE_OR_ZERO, ANYTHING) gpl_only
113 probe_read_kernel: INTEGER(PTR_TO_UNINIT_MEM, CONST_SIZE_OR_ZERO, ANYTHING) gpl_only
114 probe_read_user_str: INTEGER(PTR_TO_UNINIT_MEM, CONST_SIZE_OR_ZERO, ANYTHING) gpl_only
115 probe_read_kernel_str: INTEGER(PTR_TO_UNINIT_MEM, CONST_SIZE_OR_ZERO, ANYTHING) gpl_only
116 tcp_send_ack: INTEGER(PTR_TO_BTF_ID<tcp_sock>, ANYTHING)
117 send_signal_thread: INTEGER(ANYTHING)
118 jiffies64: INTEGER()
119 read_branch_records: INTEGER(PTR_TO_CTX, PTR_TO_MEM_OR_NULL|MEM_WRITE, CONST_SIZE_OR_ZERO, ANYTHING) gpl_only
120 get_ns_current_pid_tgid: INTEGER(ANYTHING, ANYTHING, PTR_TO_UNINIT_MEM, CONST_SIZE)
121 xdp_output: INTEGER(PTR_TO_BTF_ID<xdp_buff>, CONST_MAP_PTR, ANYTHING, PTR_TO_MEM|MEM_RDONLY, CONST_SIZE_OR_ZERO)
    gpl_only
122 get_netns_cookie: INTEGER(PTR_TO_CTX_OR_NULL)
123 get_current_ancestor_cgroup_id: INTEGER(ANYTHING)
124 sk_assign: INTEGER(PTR_TO_CTX, PTR_TO_BTF_ID_SOCK_COMMON, ANYTHING)
124 sk_assign sk_lookup: INTEGER(PTR_TO_CTX, PTR_TO_SOCKET_OR_NULL, ANYTHING)
125 ktime_get_boot_ns: INTEGER()
126 seq_printf: INTEGER(PTR_TO_BTF_ID<seq_file>, PTR_TO_MEM|MEM_RDONLY, CONST_SIZE, PTR_TO_MEM_OR_NULL|MEM_RDONLY,
    CONST_SIZE_OR_ZERO) gpl_only
127 seq_write: INTEGER(PTR_TO_BTF_ID<seq_file>, PTR_TO_MEM|MEM_RDONLY, CONST_SIZE_OR_ZERO) gpl_only
128 sk_cgroup_id: INTEGER(PTR_TO_BTF_ID_SOCK_COMMON)
129 sk_ancestor_cgroup_id: INTEGER(PTR_TO_BTF_ID_SOCK_COMMON, ANYTHING)
130 ringbuf_output: INTEGER(CONST_MAP_PTR, PTR_TO_MEM|MEM_RDONLY, CONST_SIZE_OR_ZERO, ANYTHING)
131 ringbuf_reserve: PTR_TO_MEM_OR_NULL|MEM_RINGBUF(CONST_MAP_PTR, CONST_ALLOC_SIZE_OR_ZERO, ANYTHING) acquires
132 ringbuf_submit: VOID(PTR_TO_RINGBUF_MEM|OBJ_RELEASE, ANYTHING)
133 ringbuf_discard: VOID(PTR_TO_RINGBUF_MEM|OBJ_RELEASE, ANYTHING)
134 ringbuf_query: INTEGER(CONST_MAP_PTR, ANYTHING)
135 csum_level: INTEGER(PTR_TO_CTX, ANYTHING)
136 skc_to_tcp6_sock: PTR_TO_BTF_ID_OR_NULL<tcp6_sock>(PTR_TO_BTF_ID_SOCK_COMMON)
137 skc_to_tcp_sock: PTR_TO_BTF_ID_OR_NULL<tcp_sock>(PTR_TO_BTF_ID_SOCK_COMMON)
138 skc_to_tcp_timewait_sock: PTR_TO_BTF_ID_OR_NULL<tcp_timewait_sock>(PTR_TO_BTF_ID_SOCK_COMMON)
139 skc_to_tcp_request_sock: PTR_TO_BTF_ID_OR_NULL<tcp_request_sock>(PTR_TO_BTF_ID_SOCK_COMMON)
140 skc_to_udp6_sock: PTR_TO_BTF_ID_OR_NULL<udp6_sock>(PTR_TO_BTF_ID_SOCK_COMMON)
141 get_task_stack: INTEGER(PTR_TO_BTF_ID<task_struct>, PTR_TO_UNINIT_MEM, CONST_SIZE_OR_ZERO, ANYTHING)
142 load_hdr_opt: INTEGER(PTR_TO_CTX, PTR_TO_MEM|MEM_WRITE, CONST_SIZE, ANYTHING)
143 store_hdr_opt: INTEGER(PTR_TO_CTX, PTR_TO_MEM|MEM_RDONLY, CONST_SIZE, ANYTHING) changes_packet
144 reserve_hdr_opt: INTEGER(PTR_TO_CTX, ANYTHING, ANYTHING)
145 inode_storage_get: PTR_TO_MAP_VALUE_OR_NULL(CONST_MAP_PTR, PTR_TO_BTF_ID_OR_NULL<inode>,
    PTR_TO_MAP_VALUE_OR_NULL, ANYTHING)
146 inode_storage_delete: INTEGER(CONST_MAP_PTR, PTR_TO_BTF_ID_OR_NULL<inode>)
147 d_path: INTEGER(PTR_TO_BTF_ID<path>, PTR_TO_MEM|MEM_WRITE, CONST_SIZE_OR_ZERO) restricted
148 copy_from_user: INTEGER(PTR_TO_UNINIT_MEM, CONST_SIZE_OR_ZERO, ANYTHING) might_sleep
149 snprintf_btf: INTEGER(PTR_TO_MEM|MEM_WRITE, CONST_SIZE, PTR_TO_MEM|MEM_RDONLY, CONST_SIZE, ANYTHING)
150 seq_printf_btf: INTEGER(PTR_TO_BTF_ID<seq_file>, PTR_TO_MEM|MEM_RDONLY, CONST_SIZE_OR_ZERO, ANYTHING) gpl_only
151 skb_cgroup_classid: INTEGER(PTR_TO_CTX)
152 redirect_neigh: INTEGER(ANYTHING, PTR_TO_MEM_OR_NULL|MEM_RDONLY, CONST_SIZE_OR_ZERO, ANYTHING)
153 per_cpu_ptr: PTR_TO_MEM_OR_BTF_ID_OR_NULL|MEM_RDONLY(PTR_TO_PERCPU_BTF_ID, ANYTHING)
154 this_cpu_ptr: PTR_TO_MEM_OR_BTF_ID|MEM_RDONLY(PTR_TO_PERCPU_BTF_ID)
155 redirect_peer: INTEGER(ANYTHING, ANYTHING)
156 task_storage_get: PTR_TO_MAP_VALUE_OR_NULL(CONST_MAP_PTR, PTR_TO_BTF_ID_OR_NULL<task_struct>,
    PTR_TO_MAP_VALUE_OR_NULL, ANYTHING)
157 task_storage_delete: INTEGER(CONST_MAP_PTR, PTR_TO_BTF_ID_OR_NULL<task_struct>)
158 get_current_task_btf: PTR_TO_BTF_ID|PTR_TRUSTED<task_struct>() gpl_only
159 bprm_opts_set: INTEGER(PTR_TO_BTF_ID<linux_binprm>, ANYTHING)
160 ktime_get_coarse_ns: INTEGER()
161 ima_inode_hash: INTEGER(PTR_TO_BTF_ID<inode>, PTR_TO_UNINIT_MEM, CONST_SIZE) might_sleep restricted
162 sock_from_file: PTR_TO_BTF_ID_OR_NULL<socket>(PTR_TO_BTF_ID<file>)
163 check_mtu: INTEGER(PTR_TO_CTX, ANYTHING, PTR_TO_MEM|MEM_FIXED_SIZE|MEM_ALIGNED|MEM_WRITE<4>, ANYTHING, ANYTHING)
    gpl_only
164 for_each_map_elem: INTEGER(CONST_MAP_PTR, PTR_TO_FUNC, PTR_TO_STACK_OR_NULL, ANYTHING)
165 snprintf: INTEGER(PTR_TO_MEM_OR_NULL|MEM_WRITE, CONST_SIZE_OR_ZERO, PTR_TO_CONST_STR,
    PTR_TO_MEM_OR_NULL|MEM_RDONLY, CONST_SIZE_OR_ZERO) gpl_only
166 sys_bpf: INTEGER(ANYTHING, PTR_TO_MEM|MEM_RDONLY, CONST_SIZE)
167 btf_find_by_name_kind: INTEGER(PTR_TO_MEM|MEM_RDONLY, CONST_SIZE, ANYTHING, ANYTHING)
168 sys_close: INTEGER(ANYTHING)
169 timer_init: INTEGER(PTR_TO_TIMER, CONST_MAP_PTR, ANYTHING) gpl_only
170 timer_set_callback: INTEGER(PTR_TO_TIMER, PTR_TO_FUNC) gpl_only
171 timer_start: INTEGER(PTR_TO_TIMER, ANYTHING, ANYTHING) gpl_only
172 timer_cancel: INTEGER(PTR_TO_TIMER) gpl_only
173 get_func_ip: INTEGER(PTR_TO_CTX) gpl_only
173 get_func_ip kprobe:trace_kprobe_multi kprobe:trace_kprobe_session kprobe:trace_uprobe_multi
    kprobe:trace_uprobe_session: INTEGER(PTR_TO_CTX)
174 get_attach_cookie: INTEGER(PTR_TO_CTX)
175 task_pt_regs: PTR_TO_BTF_ID<pt_regs>(PTR_TO_BTF_ID<task_struct>) gpl_only
176 get_branch_snapshot: INTEGER(PTR_TO_UNINIT_MEM, CONST_SIZE_OR_ZERO) gpl_only
177 trace_vprintk: INTEGER(PTR_TO_MEM|MEM_RDONLY, CONST_SIZE, PTR_TO_MEM_OR_NULL|MEM_RDONLY, CONST_SIZE_OR_ZERO)
    gpl_only
178 skc_to_unix_sock: PTR_TO_BTF_ID_OR_NULL<unix_sock>(PTR_TO_BTF_ID_SOCK_COMMON)
179 kallsyms_lookup_name: INTEGER(PTR_TO_MEM|MEM_RDONLY, CONST_SIZE_OR_ZERO, ANYTHING,
    PTR_TO_MEM|MEM_UNINIT|MEM_FIXED_SIZE|MEM_ALIGNED|MEM_WRITE<8>)
180 find_vma: INTEGER(PTR_TO_BTF_ID<task_struct>, ANYTHING, PTR_TO_FUNC, PTR_TO_STACK_OR_NULL, ANYTHING)
181 loop: INTEGER(ANYTHING, PTR_TO_FUNC, PTR_TO_STACK_OR_NULL, ANYTHING)
182 strncmp: INTEGER(PTR_TO_MEM|MEM_RDONLY, CONST_SIZE, PTR_TO_CONST_STR)
183 get_func_arg: INTEGER(PTR_TO_CTX, ANYTHING, PTR_TO_MEM|MEM_UNINIT|MEM_FIXED_SIZE|MEM_ALIGNED|MEM_WRITE<8>)
184 get_func_ret: INTEGER(PTR_TO_CTX, PTR_TO_MEM|MEM_UNINIT|MEM_FIXED_SIZE|MEM_ALIGNED|MEM_WRITE<8>)
185 get_func_arg_cnt: INTEGER(PTR_TO_CTX)
186 get_retval: INTEGER()
187 set_retval: INTEGER(ANYTHING)
188 xdp_get_buff_len: INTEGER(PTR_TO_BTF_ID<xdp_buff>)
188 xdp_get_buff_len xdp: INTEGER(PTR_TO_CTX)
189 xdp_load_bytes: INTEGER(PTR_TO_CTX, ANYTHING, PTR_TO_UNINIT_MEM, CONST_SIZE)
190 xdp_store_bytes: INTEGER(PTR_TO_CTX, ANYTHING, PTR_TO_MEM|MEM_RDONLY, CONST_SIZE)
191 copy_from_user_task: INTEGER(PTR_TO_UNINIT_MEM, CONST_SIZE_OR_ZERO, ANYTHING, PTR_TO_BTF_ID<task_struct>,
    ANYTHING) gpl_only might_sleep
192 skb_set_tstamp: INTEGER(PTR_TO_CTX, ANYTHING, ANYTHING)
193 ima_file_hash: INTEGER(PTR_TO_BTF_ID<file>, PTR_TO_UNINIT_MEM, CONST_SIZE) might_sleep restricted
194 kptr_xchg: PTR_TO_BTF_ID_OR_NULL(KPTR_XCHG_DEST, PTR_TO_BTF_ID_OR_NULL|OBJ_RELEASE) acquires
195 map_lookup_percpu_elem: PTR_TO_MAP_VALUE_OR_NULL(CONST_MAP_PTR, PTR_TO_MAP_KEY, ANYTHING) pkt_access
196 skc_to_mptcp_sock: PTR_TO_BTF_ID_OR_NULL<mptcp_sock>(PTR_TO_SOCK_COMMON)
197 dynptr_from_mem: INTEGER(PTR_TO_UNINIT_MEM, CONST_SIZE_OR_ZERO, ANYTHING,
    PTR_TO_DYNPTR|MEM_UNINIT|DYNPTR_TYPE_LOCAL|MEM_WRITE)
198 ringbuf_reserve_dynptr: INTEGER(CONST_MAP_PTR, ANYTHING, ANYTHING,
    PTR_TO_DYNPTR|MEM_UNINIT|DYNPTR_TYPE_RINGBUF|MEM_WRITE)
199 ringbuf_submit_dynptr: VOID(PTR_TO_DYNPTR|OBJ_RELEASE|DYNPTR_TYPE_RINGBUF, ANYTHING)
200 ringbuf_discard_dynptr: VOID(PTR_TO_DYNPTR|OBJ_RELEASE|DYNPTR_TYPE_RINGBUF, ANYTHING)
201 dynptr_read: INTEGER(PTR_TO_UNINIT_MEM, CONST_SIZE_OR_ZERO, PTR_TO_DYNPTR|MEM_RDONLY, ANYTHING, ANYTHING)
202 dynptr_write: INTEGER(PTR_TO_DYNPTR|MEM_RDONLY, ANYTHING, PTR_TO_MEM|MEM_RDONLY, CONST_SIZE_OR_ZERO, ANYTHING)
203 dynptr_data: PTR_TO_MEM_OR_NULL(PTR_TO_DYNPTR|MEM_RDONLY, ANYTHING, CONST_ALLOC_SIZE_OR_ZERO)
204 tcp_raw_gen_syncookie_ipv4: INTEGER(PTR_TO_MEM|MEM_RDONLY|MEM_FIXED_SIZE<20>, PTR_TO_MEM|MEM_RDONLY,
    CONST_SIZE_OR_ZERO) gpl_only pkt_access
205 tcp_raw_gen_syncookie_ipv6: INTEGER(PTR_TO_MEM|MEM_RDONLY|MEM_FIXED_SIZE<40>, PTR_TO_MEM|MEM_RDONLY,
    CONST_SIZE_OR_ZERO) gpl_only pkt_access
206 tcp_raw_check_syncookie_ipv4: INTEGER(PTR_TO_MEM|MEM_RDONLY|MEM_FIXED_SIZE<20>,
    PTR_TO_MEM|MEM_RDONLY|MEM_FIXED_SIZE<20>) gpl_only pkt_access
207 tcp_raw_check_syncookie_ipv6: INTEGER(PTR_TO_MEM|MEM_RDONLY|MEM_FIXED_SIZE<40>,
    PTR_TO_MEM|MEM_RDONLY|MEM_FIXED_SIZE<20>) gpl_only pkt_access
208 ktime_get_tai_ns: INTEGER()
209 user_ringbuf_drain: INTEGER(CONST_MAP_PTR, PTR_TO_FUNC, PTR_TO_STACK_OR_NULL, ANYTHING)
210 cgrp_storage_get: PTR_TO_MAP_VALUE_OR_NULL(CONST_MAP_PTR, PTR_TO_BTF_ID_OR_NULL<cgroup>,
    PTR_TO_MAP_VALUE_OR_NULL, ANYTHING)
211 cgrp_storage_delete: INTEGER(CONST_MAP_PTR, PTR_TO_BTF_ID_OR_NULL<cgroup>)
"""
"""number, name, program types if there are several signatures: result(arguments) properties.

X_OR_NULL is X|PTR_MAYBE_NULL, PTR_TO_UNINIT_MEM is PTR_TO_MEM|MEM_UNINIT|MEM_WRITE; <n> bytes, <name> a structure."""

_UNINIT = "PTR_TO_MEM|MEM_UNINIT|MEM_WRITE"
_ROW = re.compile(r"(\d+) \w+((?: [\w:]+)*): (\S+?)\((.*)\)((?: \w+)*)")


def _kind(text: str, prefix: str) -> Kind:
    text, _, more = text.replace("PTR_TO_UNINIT_MEM", _UNINIT).partition("<")
    base, *flags = text.split("|")
    if base.endswith("_OR_NULL"):
        base = base.removesuffix("_OR_NULL")
        flags.append("PTR_MAYBE_NULL")
    of = more.removesuffix(">")
    size = int(of) if of.isdecimal() else 0
    return Kind(prefix + base, frozenset(flags), size, "" if size else of)


def _parse(line: str) -> tuple[int, Signature]:
    match = _ROW.fullmatch(line)
    assert match is not None, line
    number, types, result, arguments, properties = match.groups()
    kinds = tuple(_kind(one, "ARG_") for one in arguments.split(", ") if one)
    return int(number), Signature(
        frozenset(types.split()), _kind(result, "RET_"), kinds, **dict.fromkeys(properties.split(), True)
    )


def _table() -> Mapping[int, tuple[Signature, ...]]:
    table: dict[int, tuple[Signature, ...]] = {}
    for line in _TABLE.strip().replace("\n    ", " ").splitlines():
        number, signature = _parse(line)
        table[number] = (*table.get(number, ()), signature)
    return MappingProxyType(table)


SIGNATURES: Mapping[int, tuple[Signature, ...]] = _table()
"""Every helper by number: its signatures, the general one first."""


def signature(number: int, kind: str = "", attach: str = "") -> Signature:
    """That of a helper in programs of a type (and expected attach type). Raises KeyError for no helper."""
    general, *others = SIGNATURES[number]
    wanted = {kind, f"{kind}:{attach}"}
    return next((one for one in others if one.types & wanted), general)


_MEMORY = "fp, pkt, pkt_meta, map_key, map_value, mem, ringbuf_mem, buf, trusted_ptr_"
_SOCKETS = "sock_common, sock, tcp_sock, xdp_sock"

EXPECTED: Mapping[str, str] = MappingProxyType({
    "ARG_CONST_MAP_PTR": "map_ptr",
    "ARG_PTR_TO_MAP_KEY": _MEMORY,
    "ARG_PTR_TO_MAP_VALUE": _MEMORY,
    "ARG_PTR_TO_MEM": _MEMORY,
    "ARG_CONST_SIZE": "scalar",
    "ARG_CONST_SIZE_OR_ZERO": "scalar",
    "ARG_CONST_ALLOC_SIZE_OR_ZERO": "scalar",
    "ARG_PTR_TO_CTX": "ctx",
    "ARG_PTR_TO_SPIN_LOCK": "map_value, ptr_",
    "ARG_PTR_TO_SOCK_COMMON": _SOCKETS,
    "ARG_PTR_TO_SOCKET": "sock",
    "ARG_PTR_TO_BTF_ID": "ptr_, trusted_ptr_, rcu_ptr_",
    "ARG_PTR_TO_BTF_ID_SOCK_COMMON": f"{_SOCKETS}, ptr_, trusted_ptr_",
    "ARG_PTR_TO_RINGBUF_MEM": "ringbuf_mem",
    "ARG_PTR_TO_PERCPU_BTF_ID": "percpu_ptr_, percpu_rcu_ptr_, percpu_trusted_ptr_",
    "ARG_PTR_TO_FUNC": "func",
    "ARG_PTR_TO_STACK": "fp",
    "ARG_PTR_TO_CONST_STR": "map_value",
    "ARG_PTR_TO_TIMER": "map_value",
    "ARG_KPTR_XCHG_DEST": "map_value, ptr_",
    "ARG_PTR_TO_DYNPTR": "fp, dynptr_ptr",
})  # fmt: skip
"""Kind of an argument -> what the verifier says that it expects there: `R2 type=scalar expected=...`."""
