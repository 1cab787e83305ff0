/* Types of every kind, and layouts that C only keeps with attributes or padding. */
enum signed_enum { MINUS = -5, PLUS = 7 };
enum wide_enum { WIDE = 0x100000000ULL };
enum wide_signed { LOW = -0x100000000LL, ONE = 1 };
enum { ANONYMOUS = 3 } anonymous_variable;
enum __attribute__((packed)) small_enum { SMALL = 1 };

typedef int (*variadic)(int, const char *, ...);
typedef void (*without)(void);
typedef struct {
	int x;
} only_typedef;
typedef struct self self_t;
typedef int numbers[4];

struct forward;
union forward_union;

struct __attribute__((packed)) packed {
	char a;
	int b;
	unsigned bits : 3, more : 30;
	long c;
};

struct aligned {
	char c;
	long x __attribute__((aligned(16)));
};

struct self {
	self_t *next;
	struct self *previous;
	only_typedef inside;
};

struct bits {
	int a : 3, b : 5;
	unsigned long c : 40;
	int : 0;
	unsigned d : 1;
	_Bool e : 1;
	enum signed_enum f : 5;
	short g;
};

union mixed {
	int x;
	char bytes[5];
	struct {
		short low, high;
	};
} __attribute__((aligned(16)));

struct user {
	int __attribute__((btf_type_tag("user"))) *tagged;
	int size;
} __attribute__((btf_decl_tag("a struct")));

struct all {
	unsigned long long number;
	struct {
		int x;
		union {
			int y;
			char z[5];
		};
	} nested;
	const volatile char *restrict text;
	char *const fixed;
	variadic function;
	variadic table[3];
	without nothing;
	struct forward *forward;
	union forward_union *forward_union;
	int (*(*complicated)(int, struct self))[4];
	numbers matrix[2];
	const numbers constant;
	enum signed_enum signed_enum;
	enum wide_enum wide_enum;
	enum wide_signed wide_signed;
	enum small_enum small_enum;
	_Bool flag;
	float single;
	double twice;
	struct packed packed;
	struct aligned aligned;
	struct bits bits;
	union mixed mixed;
	struct user user;
	struct self self;
	__int128 huge;
	int flexible[];
};

struct all all;
static volatile int hidden = 3;

int use(struct all *first, int count)
{
	return first->nested.y + count + hidden + anonymous_variable + all.user.size;
}
