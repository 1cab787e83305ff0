/* Attributes and idioms of the kernel's own structures. */
#ifndef CROSSBPF_LINUX_STDDEF_H
#define CROSSBPF_LINUX_STDDEF_H

#ifndef __always_inline
#define __always_inline inline __attribute__((always_inline))
#endif

/* Members twice: by themselves, and together under a name. */
#define __struct_group(tag, name, attributes, members...) \
	union { \
		struct { members } attributes; \
		struct tag { members } attributes name; \
	}

/* An array of open length in a union, or as the only member. */
#define __DECLARE_FLEX_ARRAY(type, name) \
	struct { \
		struct { } __empty_##name; \
		type name[]; \
	}

#endif
