/* SPDX-License-Identifier: MIT */
/* The confined child: what it can do, what it cannot, and how it ends. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "daemon/clock.h"
#include "daemon/confine.h"

enum { MEMORY_BYTES = 64 << 20, PATIENCE_MS = 20000 };

static uint64_t soon(void)
{
	return ma_clock_monotonic_ns() / 1000000 + PATIENCE_MS;
}

/* Results of what the child tried: 0 = it worked, else errno. */
struct tries {
	int open_file, make_socket, map_to_execute, take_too_much, take_some, start_process;
	int descriptors;
	char read_back[8];
};

static int try_map(size_t bytes, int protection)
{
	void *mapped = mmap(NULL, bytes, protection, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	int result = mapped == MAP_FAILED ? errno : 0;
	if (!result)
		munmap(mapped, bytes);
	return result;
}

static int count_descriptors(void)
{
	int count = 0;
	for (int fd = 0; fd < 1024; fd++)
		count += fcntl(fd, F_GETFD) >= 0;
	return count;
}

static void try_everything(int socket_fd)
{
	struct tries tries = {0};
	char text[16];
	int fd;
	tries.descriptors = count_descriptors();
	if (ma_confined_receive(socket_fd, text, sizeof text, &fd, 0) <= 0)
		return;
	struct stat status;
	if (fstat(fd, &status) == 0)
		pread(fd, tries.read_back, sizeof tries.read_back - 1, 0);
	tries.open_file = open("/etc/passwd", O_RDONLY) < 0 ? errno : 0;
	tries.make_socket = socket(AF_UNIX, SOCK_STREAM, 0) < 0 ? errno : 0;
	tries.map_to_execute = try_map(4096, PROT_READ | PROT_EXEC);
	tries.take_some = try_map(MEMORY_BYTES / 2, PROT_READ | PROT_WRITE);
	tries.take_too_much = try_map((size_t)4 * MEMORY_BYTES, PROT_READ | PROT_WRITE);
	tries.start_process = fork() < 0 ? errno : 0;
	ma_confined_send(socket_fd, &tries, sizeof tries, -1, 0);
}

static void test_walls(void **state)
{
	(void)state;
	struct ma_confined child;
	struct tries tries;
	char path[] = "/tmp/ma_confine.XXXXXX";
	int fd = mkstemp(path);
	assert_true(fd >= 0);
	unlink(path);
	assert_int_equal(write(fd, "inside", 6), 6);
	assert_int_equal(
		ma_confined_start(&child, "test-child", MEMORY_BYTES, try_everything, NULL), 0);
	assert_int_equal(ma_confined_send(child.socket, "go", 2, fd, soon()), 0);
	assert_int_equal(ma_confined_receive(child.socket, &tries, sizeof tries, NULL, soon()),
			 sizeof tries);
	assert_string_equal(tries.read_back, "inside");
	assert_int_equal(tries.descriptors, 1);
	assert_int_equal(tries.take_some, 0);
	assert_int_equal(tries.take_too_much, ENOMEM);
	assert_int_not_equal(tries.start_process, 0);
	if (prctl(PR_GET_SECCOMP) < 0) {
		print_message("this kernel filters no system calls: those walls not tested\n");
	} else {
		assert_int_equal(tries.open_file, EPERM);
		assert_int_equal(tries.make_socket, EPERM);
		assert_int_equal(tries.map_to_execute, EPERM);
	}
	ma_confined_stop(&child);
	close(fd);
}

static void wait_for_more(int socket_fd)
{
	char text[16];
	uint64_t taken = 0;
	while (ma_confined_receive(socket_fd, text, sizeof text, NULL, 0) > 0) {
		taken = try_map((size_t)4 * MEMORY_BYTES, PROT_READ | PROT_WRITE) ? 0 : 1;
		ma_confined_send(socket_fd, &taken, sizeof taken, -1, 0);
	}
}

static void test_grant(void **state)
{
	(void)state;
	struct ma_confined child;
	uint64_t taken = 9;
	assert_int_equal(ma_confined_start(&child, "test-child", MEMORY_BYTES, wait_for_more, NULL),
			 0);
	ma_confined_send(child.socket, "go", 2, -1, soon());
	assert_int_equal(ma_confined_receive(child.socket, &taken, sizeof taken, NULL, soon()), 8);
	assert_int_equal(taken, 0);
	ma_confined_grant(&child, (uint64_t)4 * MEMORY_BYTES);
	ma_confined_send(child.socket, "go", 2, -1, soon());
	assert_int_equal(ma_confined_receive(child.socket, &taken, sizeof taken, NULL, soon()), 8);
	assert_int_equal(taken, 1);
	pid_t pid = child.pid;
	ma_confined_stop(&child);
	assert_int_equal(child.pid, 0);
	assert_int_equal(kill(pid, 0), -1);
	ma_confined_stop(&child);
}

static void never_answer(int socket_fd)
{
	char text[16];
	while (ma_confined_receive(socket_fd, text, sizeof text, NULL, 0) > 0)
		;
}

static void crash(int socket_fd)
{
	(void)socket_fd;
	raise(SIGKILL);
}

/* A child that hangs costs us no more than the deadline; one that is gone, nothing. */
static void test_no_answer(void **state)
{
	(void)state;
	struct ma_confined child;
	char text[16];
	uint64_t begun_ms = ma_clock_monotonic_ns() / 1000000;
	assert_int_equal(ma_confined_start(&child, "test-child", MEMORY_BYTES, never_answer, NULL),
			 0);
	ma_confined_send(child.socket, "go", 2, -1, soon());
	assert_int_equal(ma_confined_receive(child.socket, text, sizeof text, NULL, begun_ms + 1),
			 -1);
	ma_confined_stop(&child);
	assert_int_equal(ma_confined_start(&child, "test-child", MEMORY_BYTES, crash, NULL), 0);
	assert_int_equal(ma_confined_receive(child.socket, text, sizeof text, NULL, soon()), 0);
	ma_confined_stop(&child);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_walls),
		cmocka_unit_test(test_grant),
		cmocka_unit_test(test_no_answer),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
