/* SPDX-License-Identifier: MIT */
/*
 * A library that allocates through frames of every kind that compilers make: plain ones, large
 * ones, those of variable size, realigned ones, variadic ones, calls back from libc, and recursion.
 * Built by the test that loads it, by several compilers and in several ways.
 */
#include <alloca.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define APART __attribute__((noinline))

typedef struct request {
	size_t bytes;
	int depth;
	volatile unsigned sum; /* so that frames are used, and calls are no jumps */
	void *block;
} request;

static void layer(request *request);

static APART void take(request *request)
{
	request->block = malloc(request->bytes);
	request->sum++;
}

static APART void plain(request *request)
{
	layer(request);
	request->sum++;
}

static APART void large(request *request)
{
	char room[3000];

	memset(room, request->depth, sizeof room);
	layer(request);
	request->sum += (unsigned)room[request->depth];
}

static APART void variable(request *request)
{
	char *room = alloca(16 + (size_t)request->depth * 8);

	memset(room, 1, 16);
	layer(request);
	request->sum += (unsigned)room[3];
}

static APART void aligned(request *request)
{
	_Alignas(64) char room[128];
	char *more = alloca(16 + (size_t)request->depth);

	memset(room, 1, sizeof room);
	more[0] = 1;
	layer(request);
	request->sum += (unsigned)room[(uintptr_t)more & 63] + (unsigned)more[0];
}

static APART void variadic(request *request, ...)
{
	va_list args;
	double number;

	va_start(args, request);
	number = va_arg(args, double);
	layer(request);
	request->sum += (unsigned)number;
	va_end(args);
}

static request *sorted;

static APART int compare(const void *a, const void *b)
{
	request *request = sorted;

	if (request) {
		sorted = NULL;
		layer(request);
	}
	return *(const int *)a - *(const int *)b;
}

static APART void called_back(request *request)
{
	int numbers[2] = {2, 1};

	sorted = request;
	qsort(numbers, 2, sizeof numbers[0], compare);
	request->sum += (unsigned)numbers[0];
}

static APART void jumping(request *request)
{
	jmp_buf here;

	if (!setjmp(here)) {
		layer(request);
		longjmp(here, 1);
	}
	request->sum++;
}

static APART void layer(request *request)
{
	int which = request->depth--;

	if (which <= 0) {
		take(request);
	} else {
		switch (which % 7) {
		case 0:
			plain(request);
			break;
		case 1:
			large(request);
			break;
		case 2:
			variable(request);
			break;
		case 3:
			aligned(request);
			break;
		case 4:
			variadic(request, 1.5);
			break;
		case 5:
			called_back(request);
			break;
		default:
			jumping(request);
			break;
		}
	}
	request->sum++;
}

void layers_allocate(size_t bytes, int depth);

/* Allocates and frees so many bytes below so many layers. For one thread at a time. */
void layers_allocate(size_t bytes, int depth)
{
	request request = {.bytes = bytes, .depth = depth};

	layer(&request);
	free(request.block);
}
