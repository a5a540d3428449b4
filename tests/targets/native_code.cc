// SPDX-License-Identifier: MIT
// A library that allocates: through a template, through functions that are compiled into others,
// and in a thread of its own that knows no Python.
#include <cstdlib>
#include <semaphore.h>
#include <thread>
#include <vector>

namespace warehouse
{
template <typename T> class Shelf {
public:
	__attribute__((noinline)) void stack(std::size_t count)
	{
		rows.push_back(carry(count));
	}

private:
	__attribute__((always_inline)) T *carry(std::size_t count)
	{
		return static_cast<T *>(std::calloc(count, sizeof(T)));
	}
	std::vector<T *> rows;
};
} // namespace warehouse

static warehouse::Shelf<double> shelf;

extern "C" __attribute__((noinline)) void fill_shelf(int rounds, std::size_t count)
{
	for (int i = 0; i < rounds; i++)
		shelf.stack(count);
}

static sem_t wanted, done;
static int cellar_rounds;
static std::size_t cellar_count;

static __attribute__((noinline)) void fill(warehouse::Shelf<int> &cellar)
{
	for (int i = 0; i < cellar_rounds; i++)
		cellar.stack(cellar_count);
}

// Lives on between the rounds: the stacks of threads that are new are not known at once.
static __attribute__((noinline)) void work()
{
	static warehouse::Shelf<int> cellar;
	for (;;) {
		sem_wait(&wanted);
		fill(cellar);
		sem_post(&done);
	}
}

extern "C" void fill_cellar(int rounds, std::size_t count)
{
	static bool begun;
	if (!begun) {
		sem_init(&wanted, 0, 0);
		sem_init(&done, 0, 0);
		std::thread(work).detach();
		begun = true;
	}
	cellar_rounds = rounds;
	cellar_count = count;
	sem_post(&wanted);
	sem_wait(&done);
}
