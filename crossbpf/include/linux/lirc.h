/* What a remote control's receiver tells a lirc_mode2 program, in a word. */
#ifndef CROSSBPF_LINUX_LIRC_H
#define CROSSBPF_LINUX_LIRC_H

#include <linux/types.h>

#define LIRC_VALUE_MASK 0x00FFFFFF
#define LIRC_MODE2_MASK 0xFF000000

#define LIRC_MODE2_SPACE 0x00000000
#define LIRC_MODE2_PULSE 0x01000000
#define LIRC_MODE2_FREQUENCY 0x02000000
#define LIRC_MODE2_TIMEOUT 0x03000000
#define LIRC_MODE2_OVERFLOW 0x04000000

#define LIRC_SPACE(value) (((value) & LIRC_VALUE_MASK) | LIRC_MODE2_SPACE)
#define LIRC_PULSE(value) (((value) & LIRC_VALUE_MASK) | LIRC_MODE2_PULSE)
#define LIRC_TIMEOUT(value) (((value) & LIRC_VALUE_MASK) | LIRC_MODE2_TIMEOUT)
#define LIRC_VALUE(word) ((word) & LIRC_VALUE_MASK)
#define LIRC_MODE2(word) ((word) & LIRC_MODE2_MASK)
#define LIRC_IS_SPACE(word) (LIRC_MODE2(word) == LIRC_MODE2_SPACE)
#define LIRC_IS_PULSE(word) (LIRC_MODE2(word) == LIRC_MODE2_PULSE)
#define LIRC_IS_FREQUENCY(word) (LIRC_MODE2(word) == LIRC_MODE2_FREQUENCY)
#define LIRC_IS_TIMEOUT(word) (LIRC_MODE2(word) == LIRC_MODE2_TIMEOUT)

#endif
