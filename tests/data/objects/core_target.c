/* The types of the machine that core.c is run for: everything has moved. */
enum colour {
	GREEN = 42,
	BLUE = 9,
};

enum wide {
	WIDE = 0x500000000ULL,
};

struct inner {
	long values[6];
	int padding;
	int x;
};

struct thing {
	char before[3];
	unsigned char signedness;
	unsigned long number;
	int signed_bits : 7;
	int other : 20;
	unsigned bits : 5;
	union {
		int in_union;
		struct {
			short more;
		};
		char bytes[16];
	};
	struct thing *next;
	unsigned char nested;
	struct inner inner;
	char flexible[];
};

struct thing *thing;
enum colour *colour;
enum wide *wide;
int use(void) { return thing != 0; }
