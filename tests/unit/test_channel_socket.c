/* SPDX-License-Identifier: MIT */
/*
 * Where the daemon's socket is, who is let in, and what happens to two daemons that want it. What
 * needs another user's id is done in child processes and only as root; else it is skipped.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "proto/channel.h"

enum { NOBODY = 65534 };

static char base[64]; /* a fresh directory for each test */

static int set_up(void **state)
{
	(void)state;
	snprintf(base, sizeof base, "/tmp/memattach-test-XXXXXX");
	if (!mkdtemp(base))
		return -1;
	setenv("MEMATTACH_RUNTIME_DIR", base, 1);
	unsetenv("XDG_RUNTIME_DIR");
	unsetenv("TMPDIR");
	return 0;
}

static const char *in_base(const char *name)
{
	static char path[256];
	snprintf(path, sizeof path, "%s/%s", base, name);
	return path;
}

static int tear_down(void **state)
{
	(void)state;
	unlink(in_base("daemon.sock"));
	unlink(in_base("daemon.lock"));
	unlink(in_base("sub/daemon.sock"));
	unlink(in_base("sub/daemon.lock"));
	unlink(in_base("link"));
	rmdir(in_base("sub"));
	rmdir(in_base("memattach"));
	return rmdir(base);
}

static void expect_path(const char *expected)
{
	char path[108];
	int abstract = 7;
	struct ma_error error = {0};
	int code = ma_channel_path(path, &abstract, &error);
	if (code)
		print_error("%s: %s\n", error.what, error.answer);
	assert_int_equal(code, 0);
	assert_string_equal(path, expected);
	assert_int_equal(abstract, 0);
}

static struct ma_error expect_no_path(int expected)
{
	char path[108];
	int abstract;
	struct ma_error error = {0};
	assert_int_equal(ma_channel_path(path, &abstract, &error), expected);
	assert_int_equal(error.code, expected);
	assert_true(error.what[0] && error.answer[0] && error.remedy[0]);
	assert_int_equal(ma_channel_listen(NULL), expected);
	assert_int_equal(ma_channel_connect(NULL), expected);
	return error;
}

static void test_choice(void **state)
{
	(void)state;
	struct stat st;
	expect_path(in_base("daemon.sock"));
	setenv("MEMATTACH_RUNTIME_DIR", in_base("sub"), 1);
	expect_path(in_base("sub/daemon.sock"));
	assert_int_equal(stat(in_base("sub"), &st), 0);
	assert_int_equal(st.st_mode, S_IFDIR | 0700);
	unsetenv("MEMATTACH_RUNTIME_DIR");
	setenv("XDG_RUNTIME_DIR", base, 1);
	expect_path(in_base("memattach/daemon.sock"));
}

static void test_temporary_directory(void **state)
{
	(void)state;
	char expected[256];
	unsetenv("MEMATTACH_RUNTIME_DIR");
	setenv("XDG_RUNTIME_DIR", "/nonexistent", 1);
	setenv("TMPDIR", base, 1);
	if (geteuid() == 0) {
		expect_path("/run/memattach/daemon.sock");
		return;
	}
	snprintf(expected, sizeof expected, "%s/memattach-%u/daemon.sock", base,
		 (unsigned)geteuid());
	expect_path(expected);
	*strrchr(expected, '/') = '\0';
	assert_int_equal(rmdir(expected), 0);
}

static void test_directory_modes(void **state)
{
	(void)state;
	static const mode_t open_modes[] = {0710, 0701, 0770, 0755, 0777};
	for (size_t i = 0; i < sizeof open_modes / sizeof open_modes[0]; i++) {
		assert_int_equal(chmod(base, open_modes[i]), 0);
		struct ma_error error = expect_no_path(MA_ERR_UNSAFE);
		assert_non_null(strstr(error.what, base));
	}
	assert_int_equal(chmod(base, 0700), 0);
	expect_path(in_base("daemon.sock"));
}

static void test_no_directory(void **state)
{
	(void)state;
	int fd = open(in_base("link"), O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	close(fd);
	setenv("MEMATTACH_RUNTIME_DIR", in_base("link"), 1);
	expect_no_path(MA_ERR_UNSAFE);
	assert_int_equal(unlink(in_base("link")), 0);
	assert_int_equal(symlink(base, in_base("link")), 0);
	expect_no_path(MA_ERR_UNSAFE);
	setenv("MEMATTACH_RUNTIME_DIR", in_base("not/there"), 1);
	expect_no_path(MA_ERR_FAILED);
}

static void test_long_path(void **state)
{
	(void)state;
	char path[4000];
	memset(path, 'x', sizeof path);
	path[0] = '/';
	path[sizeof path - 1] = '\0';
	setenv("MEMATTACH_RUNTIME_DIR", path, 1);
	expect_no_path(MA_ERR_USAGE);
	/* The longest that fits, and one more: sun_path has 108 bytes, one of them NUL. */
	snprintf(path, sizeof path, "%s/%0*d", base, (int)(107 - 12 - 1 - strlen(base)), 0);
	assert_int_equal(strlen(path), 107 - strlen("/daemon.sock"));
	setenv("MEMATTACH_RUNTIME_DIR", path, 1);
	int fd = ma_channel_listen(NULL);
	assert_true(fd >= 0);
	close(fd);
	char file[256];
	snprintf(file, sizeof file, "%s/daemon.sock", path);
	assert_int_equal(unlink(file), 0);
	snprintf(file, sizeof file, "%s/daemon.lock", path);
	assert_int_equal(unlink(file), 0);
	assert_int_equal(rmdir(path), 0);
	strcat(path, "0");
	setenv("MEMATTACH_RUNTIME_DIR", path, 1);
	expect_no_path(MA_ERR_USAGE);
}

static void expect_served(int listener)
{
	uint8_t *payload = NULL;
	size_t bytes = 0;
	int fds[MA_CHANNEL_MAX_FDS], count, server = -1, code = MA_ERR_NO_PROCESS;
	int client = ma_channel_connect(NULL);
	assert_true(client >= 0);
	assert_true(fcntl(client, F_GETFD) & FD_CLOEXEC);
	assert_int_equal(ma_channel_send(client, "hello", 5, NULL, 0, 1000, NULL), 0);
	/* A daemon that only looked whether the place is taken has left a closed connection. */
	for (int i = 0; i < 2 && code == MA_ERR_NO_PROCESS; i++) {
		pid_t pid = 0;
		server = accept(listener, NULL, NULL);
		assert_true(server >= 0);
		assert_int_equal(ma_channel_check_peer(server, &pid, NULL), 0);
		assert_int_equal(pid, getpid());
		code = ma_channel_receive(server, 5, &payload, &bytes, fds, &count, 1000, NULL);
		close(server);
	}
	assert_int_equal(code, 0);
	assert_int_equal(bytes, 5);
	assert_memory_equal(payload, "hello", 5);
	free(payload);
	close(client);
}

static void test_listen_and_connect(void **state)
{
	(void)state;
	struct ma_error error;
	struct stat st;
	mode_t mask = umask(0);
	assert_int_equal(ma_channel_connect(&error), MA_ERR_NO_PROCESS);
	int first = ma_channel_listen(&error);
	assert_true(first >= 0);
	assert_true(fcntl(first, F_GETFD) & FD_CLOEXEC);
	assert_int_equal(lstat(in_base("daemon.sock"), &st), 0);
	assert_int_equal(st.st_mode, S_IFSOCK | 0600);
	umask(mask);
	expect_served(first);
	assert_int_equal(ma_channel_listen(&error), MA_ERR_UNSAFE);
	assert_non_null(strstr(error.answer, "another memattach daemon"));
	expect_served(first);

	/* A daemon that was killed leaves its socket behind. */
	close(first);
	assert_int_equal(lstat(in_base("daemon.sock"), &st), 0);
	assert_int_equal(ma_channel_connect(&error), MA_ERR_NO_PROCESS);
	int second = ma_channel_listen(&error);
	assert_true(second >= 0);
	expect_served(second);
	close(second);
}

static void test_file_in_the_way(void **state)
{
	(void)state;
	struct ma_error error;
	struct stat st;
	int fd = open(in_base("daemon.sock"), O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	close(fd);
	assert_int_equal(ma_channel_listen(&error), MA_ERR_UNSAFE);
	assert_true(error.remedy[0]);
	assert_int_equal(stat(in_base("daemon.sock"), &st), 0);
}

/* Whoever loses must meet a winner that already listens: connecting may not fail after that. */
static void start_daemon(int go_fd, int result_fd)
{
	char byte;
	if (read(go_fd, &byte, 1) != 0)
		_exit(2);
	int fd = ma_channel_listen(NULL);
	char result = fd >= 0 ? 'w' : 'e';
	if (fd == MA_ERR_UNSAFE) {
		int client = ma_channel_connect(NULL);
		result = client >= 0 ? 'l' : 'r';
	}
	if (write(result_fd, &result, 1) != 1)
		_exit(2);
	for (;;) /* serve until the test ends us */
		pause();
}

static void test_daemons_at_once(void **state)
{
	(void)state;
	enum { DAEMONS = 8, ROUNDS = 20 };
	for (int round = 0; round < ROUNDS; round++) {
		int go[2], results[2];
		pid_t children[DAEMONS];
		assert_int_equal(pipe2(go, O_CLOEXEC), 0);
		assert_int_equal(pipe2(results, O_CLOEXEC), 0);
		for (int i = 0; i < DAEMONS; i++) {
			children[i] = fork();
			assert_true(children[i] >= 0);
			if (children[i] == 0) {
				close(go[1]);
				start_daemon(go[0], results[1]);
			}
		}
		close(go[0]);
		close(results[1]);
		close(go[1]); /* all of them start now */
		char said[DAEMONS];
		int winners = 0, losers = 0;
		for (int i = 0; i < DAEMONS; i++) {
			assert_int_equal(read(results[0], &said[i], 1), 1);
			winners += said[i] == 'w';
			losers += said[i] == 'l';
		}
		for (int i = 0; i < DAEMONS; i++) {
			kill(children[i], SIGKILL);
			assert_int_equal(waitpid(children[i], NULL, 0), children[i]);
		}
		close(results[0]);
		assert_int_equal(winners, 1);
		assert_int_equal(losers, DAEMONS - 1);
	}
}

/* Runs `what` in a child process; its exit code. */
static int in_child(int (*what)(void))
{
	int status;
	pid_t child = fork();
	assert_true(child >= 0);
	if (child == 0)
		_exit(what());
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

static void need_root(void)
{
	if (geteuid() == 0)
		return;
	print_message("skipped: it takes root to be another user\n");
	skip();
}

static void test_foreign_directory(void **state)
{
	(void)state;
	need_root();
	assert_int_equal(chown(base, NOBODY, NOBODY), 0);
	struct ma_error error = expect_no_path(MA_ERR_UNSAFE);
	assert_non_null(strstr(error.answer, "65534"));
	assert_int_equal(chown(base, 0, 0), 0);
	/* Another user's XDG_RUNTIME_DIR, as su leaves it behind, is passed over. */
	assert_int_equal(mkdir(in_base("sub"), 0700), 0);
	assert_int_equal(chown(in_base("sub"), NOBODY, NOBODY), 0);
	unsetenv("MEMATTACH_RUNTIME_DIR");
	setenv("XDG_RUNTIME_DIR", in_base("sub"), 1);
	expect_path("/run/memattach/daemon.sock");
}

static int connect_as_nobody(void)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	snprintf(address.sun_path, sizeof address.sun_path, "%s/daemon.sock", base);
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (setresgid(NOBODY, NOBODY, NOBODY) < 0 || setresuid(NOBODY, NOBODY, NOBODY) < 0)
		return 2;
	return connect(fd, (struct sockaddr *)&address, sizeof address) == 0 ? 0 : 1;
}

static void test_foreign_peer_is_refused(void **state)
{
	(void)state;
	need_root();
	struct ma_error error;
	int listener = ma_channel_listen(NULL);
	assert_true(listener >= 0);
	assert_int_equal(in_child(connect_as_nobody), 1); /* the directory keeps them out */
	assert_int_equal(chmod(base, 0711), 0);
	assert_int_equal(chmod(in_base("daemon.sock"), 0666), 0);
	assert_int_equal(in_child(connect_as_nobody), 0);
	int server = accept(listener, NULL, NULL);
	assert_int_equal(ma_channel_check_peer(server, NULL, &error), MA_ERR_PERMISSION);
	assert_non_null(strstr(error.answer, "65534"));
	close(server);
	close(listener);
	assert_int_equal(chmod(base, 0700), 0);
}

static int listen_abstract_as(uid_t uid)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int length = snprintf(address.sun_path + 1, sizeof address.sun_path - 1, "memattach-0");
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (setresuid(uid, uid, 0) < 0 ||
	    bind(fd, (struct sockaddr *)&address,
		 (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1) + (socklen_t)length) < 0 ||
	    listen(fd, 8) < 0 || setresuid(0, 0, 0) < 0)
		return -1;
	return fd;
}

#define CHILD_CHECK(condition)                                                                     \
	do {                                                                                       \
		if (!(condition))                                                                  \
			return __LINE__ & 0x7f ? __LINE__ & 0x7f : 1;                              \
	} while (0)

static int read_only_root(void)
{
	char path[108];
	int abstract = 0;
	struct ma_error error;
	CHILD_CHECK(unshare(CLONE_NEWNS | CLONE_NEWNET) == 0);
	CHILD_CHECK(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0);
	CHILD_CHECK(mount("none", base, "tmpfs", MS_RDONLY, NULL) == 0);
	setenv("MEMATTACH_RUNTIME_DIR", in_base("sub"), 1);
	CHILD_CHECK(ma_channel_path(path, &abstract, &error) == 0);
	CHILD_CHECK(abstract == 1 && strcmp(path, "@memattach-0") == 0);
	CHILD_CHECK(ma_channel_connect(&error) == MA_ERR_NO_PROCESS);
	int listener = ma_channel_listen(&error);
	CHILD_CHECK(listener >= 0);
	CHILD_CHECK(ma_channel_listen(&error) == MA_ERR_UNSAFE);
	int client = ma_channel_connect(&error);
	CHILD_CHECK(client >= 0);
	close(client);
	close(listener);
	/* Anybody may take an abstract name: whoever holds ours is not talked to. */
	CHILD_CHECK(listen_abstract_as(NOBODY) >= 0);
	CHILD_CHECK(ma_channel_connect(&error) == MA_ERR_PERMISSION);
	CHILD_CHECK(strstr(error.answer, "65534") != NULL);
	return 0;
}

static void test_read_only_root(void **state)
{
	(void)state;
	need_root();
	assert_int_equal(in_child(read_only_root), 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(test_choice),
		TEST(test_temporary_directory),
		TEST(test_directory_modes),
		TEST(test_no_directory),
		TEST(test_long_path),
		TEST(test_listen_and_connect),
		TEST(test_file_in_the_way),
		TEST(test_daemons_at_once),
		TEST(test_foreign_directory),
		TEST(test_foreign_peer_is_refused),
		TEST(test_read_only_root),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
