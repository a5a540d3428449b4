/* SPDX-License-Identifier: MIT */
/* A symbol whose look-up takes until it is told to end, for fork_in_pass.c: the resolver of an
 * IFUNC runs within dlsym, under the dynamic loader's lock. */
int pass_inside, pass_leave;

typedef int function(void);

int pass_symbol(void);

static int nothing(void)
{
	return 0;
}

__attribute__((used)) static function *resolve(void)
{
	__atomic_store_n(&pass_inside, 1, __ATOMIC_RELEASE);
	while (!__atomic_load_n(&pass_leave, __ATOMIC_ACQUIRE))
		continue;
	return nothing;
}

__attribute__((ifunc("resolve"))) int pass_symbol(void);
