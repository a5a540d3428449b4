// SPDX-License-Identifier: MIT
// The same in C++: a template, and a member that is compiled into another one.
#include <cstdlib>

namespace sample
{
template <typename T> struct Table {
	T *rows = nullptr;
	__attribute__((always_inline)) void grow(std::size_t count)
	{
		rows = static_cast<T *>(std::malloc(count * sizeof(T))); // MARK inner
	}
	__attribute__((noinline)) void fill(std::size_t count)
	{
		grow(count); // MARK outer
		__asm__ volatile("" : : "r"(rows));
	}
};
} // namespace sample

extern "C" void sample_cxx(std::size_t count)
{
	sample::Table<double> table;
	table.fill(count);
	std::free(table.rows);
}
