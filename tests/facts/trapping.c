/* SPDX-License-Identifier: MIT */
/*
 * A program that has opened floating-point traps: code that computes in between, as a simple
 * sampler does for its logarithm, raises SIGFPE, or leaves its flags behind.
 */
#include <fenv.h>
#include <math.h>
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>

int trapping_allocate(uint64_t rounds, int simple);

static volatile double sink;
static sigjmp_buf back;

static void on_trap(int number)
{
	siglongjmp(back, number);
}

/* What a hook might do after an allocation. */
static void draw_interval(uint64_t random)
{
	sink = -log((double)(random % 1000 + 1) / 1001.0) * 65536.0;
}

/* Allocates with all traps open. 0; SIGFPE when one was raised; else the flags that were set. */
int trapping_allocate(uint64_t rounds, int simple)
{
	struct sigaction action = {.sa_handler = on_trap}, former;
	fenv_t environment;
	int result;

	feholdexcept(&environment);
	feclearexcept(FE_ALL_EXCEPT);
	sigaction(SIGFPE, &action, &former);
	result = sigsetjmp(back, 1);
	if (!result) {
		feenableexcept(FE_ALL_EXCEPT);
		for (uint64_t i = 0; i < rounds; i++) {
			void *volatile block = malloc(1000 + i % 1000);

			if (simple)
				draw_interval(i);
			free(block);
		}
		result = fetestexcept(FE_ALL_EXCEPT);
	}
	fesetenv(&environment);
	sigaction(SIGFPE, &former, NULL);
	return result;
}
