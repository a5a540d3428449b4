/* SPDX-License-Identifier: MIT */
/* The whole daemon in a process of its own, with clients that behave and clients that do not. */
#include <fcntl.h>
#include <math.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "daemon/daemon.h"
#include "fake_target.h"
#include "proto/channel.h"
#include "proto/control.pb-c.h"
#include "proto/snapshot.h"

enum { PATIENCE_MS = 20000 };

static char runtime_directory[64];
static pid_t daemon_pid;

/* Starts the daemon and waits until it listens. */
static void start_daemon(unsigned idle_seconds)
{
	int ready[2];
	char byte;
	assert_int_equal(pipe2(ready, O_CLOEXEC), 0);
	fflush(stdout);
	daemon_pid = fork();
	assert_true(daemon_pid >= 0);
	if (daemon_pid == 0) {
		char log[128];
		snprintf(log, sizeof log, "%s/log", runtime_directory);
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		/* cmocka's handlers are of the test. */
		signal(SIGSEGV, SIG_DFL);
		signal(SIGBUS, SIG_DFL);
		struct ma_daemon_options options = {.listen_fd = -1,
						    .ready_fd = ready[1],
						    .foreground = idle_seconds == 0,
						    .idle_seconds = idle_seconds,
						    .log_path = log};
		struct ma_error error = {0};
		_exit(ma_daemon_run(&options, &error) == 0 ? 0 : 1);
	}
	close(ready[1]);
	assert_int_equal(read(ready[0], &byte, 1), 1);
	close(ready[0]);
}

/* Waits for its end and returns the wait status. */
static int end_of_daemon(void)
{
	int status;
	assert_int_equal(waitpid(daemon_pid, &status, 0), daemon_pid);
	daemon_pid = 0;
	return status;
}

static int setup(void **state)
{
	(void)state;
	start_daemon(0);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	if (daemon_pid == 0)
		return 0;
	kill(daemon_pid, SIGTERM);
	int status = end_of_daemon();
	return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? 0 : -1;
}

static int connect_to_daemon(void)
{
	struct ma_error error = {0};
	int fd = ma_channel_connect(&error);
	if (fd < 0)
		fail_msg("%s: %s", error.what, error.answer);
	return fd;
}

static void send_request(int fd, Memattach__Request *request, const int *fds, int fd_count)
{
	uint8_t bytes[4096];
	request->protocol = MA_CHANNEL_PROTOCOL;
	request->release = (char *)"test";
	assert_true(memattach__request__get_packed_size(request) <= sizeof bytes);
	size_t size = memattach__request__pack(request, bytes);
	assert_int_equal(ma_channel_send(fd, bytes, size, fds, fd_count, PATIENCE_MS, NULL), 0);
}

static Memattach__Reply *receive_reply(int fd)
{
	uint8_t *bytes;
	size_t size;
	int fds[MA_CHANNEL_MAX_FDS], fd_count;
	struct ma_error error = {0};
	if (ma_channel_receive(fd, MA_CHANNEL_MAX_REPLY_BYTES, &bytes, &size, fds, &fd_count,
			       PATIENCE_MS, &error) < 0)
		fail_msg("%s: %s", error.what, error.answer);
	Memattach__Reply *reply = memattach__reply__unpack(NULL, size, bytes);
	assert_non_null(reply);
	free(bytes);
	return reply;
}

static Memattach__Reply *ask_with_fds(int fd, Memattach__Request *request, const int *fds,
				      int fd_count)
{
	send_request(fd, request, fds, fd_count);
	return receive_reply(fd);
}

/* A request about a process. Every such member of the union is a pointer to a Target. */
static Memattach__Reply *ask_about(int fd, Memattach__Request__WhatCase what, pid_t pid)
{
	Memattach__Request request = MEMATTACH__REQUEST__INIT;
	Memattach__Target target = MEMATTACH__TARGET__INIT;
	target.pid = pid;
	request.what_case = what;
	request.status = &target;
	return ask_with_fds(fd, &request, NULL, 0);
}

static Memattach__Reply *ask_plain(int fd, Memattach__Request__WhatCase what)
{
	Memattach__Request request = MEMATTACH__REQUEST__INIT;
	Memattach__Empty empty = MEMATTACH__EMPTY__INIT;
	request.what_case = what;
	request.hello = &empty;
	return ask_with_fds(fd, &request, NULL, 0);
}

static void done(Memattach__Reply *reply)
{
	if (reply->code)
		fail_msg("%s: %s", reply->what, reply->answer);
	assert_int_equal(reply->reply_case, MEMATTACH__REPLY__REPLY_DONE);
	memattach__reply__free_unpacked(reply, NULL);
}

static int code_of(Memattach__Reply *reply)
{
	int code = reply->code;
	assert_true(code == 0 || (reply->what[0] && reply->answer[0]));
	memattach__reply__free_unpacked(reply, NULL);
	return code;
}

static Memattach__Grant__State grant_of(Memattach__Reply *reply)
{
	assert_int_equal(reply->reply_case, MEMATTACH__REPLY__REPLY_GRANT);
	Memattach__Grant__State grant = reply->grant->state;
	memattach__reply__free_unpacked(reply, NULL);
	return grant;
}

static Memattach__Reply *hand_over(int fd, const struct fake_target *target)
{
	Memattach__Request request = MEMATTACH__REQUEST__INIT;
	Memattach__Attached attached = MEMATTACH__ATTACHED__INIT;
	const int fds[] = {target->pidfd, target->area.fd};
	attached.pid = target->pid;
	attached.executable = (char *)"/usr/bin/python3";
	attached.command = (char *)"python3 app.py";
	attached.python_version = (char *)"3.11.7";
	attached.interval_bytes = 65536;
	attached.budget_ratio = 0.02;
	request.what_case = MEMATTACH__REQUEST__WHAT_ATTACHED;
	request.attached = &attached;
	return ask_with_fds(fd, &request, fds, 2);
}

static void attach(int fd, const struct fake_target *target)
{
	assert_int_equal(
		grant_of(ask_about(fd, MEMATTACH__REQUEST__WHAT_BEGIN_ATTACH, target->pid)),
		MEMATTACH__GRANT__STATE__GRANTED);
	done(hand_over(fd, target));
}

static Memattach__Reply *ask_snapshot(int fd, pid_t pid)
{
	Memattach__Request request = MEMATTACH__REQUEST__INIT;
	Memattach__SnapshotQuery query = MEMATTACH__SNAPSHOT_QUERY__INIT;
	query.pid = pid;
	request.what_case = MEMATTACH__REQUEST__WHAT_SNAPSHOT;
	request.snapshot = &query;
	return ask_with_fds(fd, &request, NULL, 0);
}

static Memattach__Profile *snapshot(int fd, pid_t pid)
{
	Memattach__Reply *reply = ask_snapshot(fd, pid);
	Memattach__Profile *profile;
	struct ma_snapshot_state state;
	struct ma_error error = {0};
	assert_int_equal(reply->reply_case, MEMATTACH__REPLY__REPLY_SNAPSHOT);
	if (ma_snapshot_parse(reply->snapshot.data, reply->snapshot.len, &profile, &state, &error))
		fail_msg("%s: %s", error.what, error.answer);
	assert_true(state.heap_trusted);
	memattach__reply__free_unpacked(reply, NULL);
	return profile;
}

static double live_bytes(int fd, pid_t pid)
{
	Memattach__Profile *profile = snapshot(fd, pid);
	double bytes = profile->heap->totals->live_bytes;
	memattach__profile__free_unpacked(profile, NULL);
	return bytes;
}

/* The first session of the reply to `status`; state 0 when the daemon does not know the process. */
struct status {
	int state;
	char ended[200];
	double live_bytes;
};

static struct status status_of(int fd, pid_t pid)
{
	struct status status = {0};
	Memattach__Reply *reply = ask_about(fd, MEMATTACH__REQUEST__WHAT_STATUS, pid);
	if (reply->code == 0) {
		const Memattach__Session *session = reply->sessions->session[0];
		assert_int_equal(reply->sessions->n_session, 1);
		status.state = (int)session->state;
		status.live_bytes = session->live_bytes;
		snprintf(status.ended, sizeof status.ended, "%s", session->ended);
	} else {
		assert_int_equal(reply->code, MA_ERR_NO_PROCESS);
	}
	memattach__reply__free_unpacked(reply, NULL);
	return status;
}

static void test_from_attach_to_kill(void **state)
{
	(void)state;
	struct fake_target target;
	fake_target_start(&target, MA_MODE_SAMPLED, 0);
	struct fake_heap heap = fake_target_fill(&target);
	double wanted = heap.leak_bytes + heap.native_bytes;
	int fd = connect_to_daemon();
	done(ask_plain(fd, MEMATTACH__REQUEST__WHAT_HELLO));
	assert_int_equal(code_of(ask_snapshot(fd, target.pid)), MA_ERR_NO_PROCESS);
	attach(fd, &target);
	assert_int_equal(grant_of(ask_about(fd, MEMATTACH__REQUEST__WHAT_BEGIN_ATTACH, target.pid)),
			 MEMATTACH__GRANT__STATE__SERVED);
	assert_true(live_bytes(fd, target.pid) == wanted);
	assert_int_equal(target.area.area->control.enabled, 1);
	/* It is polled by itself: what comes now is seen without anything else being asked. */
	fake_area_alloc(&target.area, 5, 0x123450, 1 << 20, heap.leak_site, 0);
	for (int i = 0; i < PATIENCE_MS / 10; i++) {
		if (status_of(fd, target.pid).live_bytes == wanted + (1 << 20))
			break;
		poll(NULL, 0, 10);
	}
	assert_true(status_of(fd, target.pid).live_bytes == wanted + (1 << 20));
	fake_target_kill(&target, SIGKILL);
	struct status status = status_of(fd, target.pid);
	assert_int_equal(status.state, MEMATTACH__SESSION__STATE__ENDED);
	assert_non_null(strstr(status.ended, "SIGKILL"));
	assert_true(live_bytes(fd, target.pid) == wanted + (1 << 20));
	assert_int_equal(grant_of(ask_about(fd, MEMATTACH__REQUEST__WHAT_BEGIN_DETACH, target.pid)),
			 MEMATTACH__GRANT__STATE__NOT_SERVED);
	done(ask_about(fd, MEMATTACH__REQUEST__WHAT_DISMISS, target.pid));
	assert_int_equal(status_of(fd, target.pid).state, 0);
	assert_int_equal(code_of(ask_about(fd, MEMATTACH__REQUEST__WHAT_DISMISS, target.pid)),
			 MA_ERR_NO_PROCESS);
	close(fd);
	fake_target_end(&target);
}

/* A process that became another program is not taken for one that is served still. */
static void test_exec(void **state)
{
	(void)state;
	struct fake_target target;
	fake_target_start(&target, MA_MODE_SAMPLED, 0);
	int fd = connect_to_daemon();
	attach(fd, &target);
	fake_target_order(&target, FAKE_EXEC);
	assert_int_equal(grant_of(ask_about(fd, MEMATTACH__REQUEST__WHAT_BEGIN_ATTACH, target.pid)),
			 MEMATTACH__GRANT__STATE__GRANTED);
	assert_non_null(strstr(status_of(fd, target.pid).ended, "exec"));
	close(fd);
	fake_target_end(&target);
}

static void test_detach(void **state)
{
	(void)state;
	struct fake_target target;
	fake_target_start(&target, MA_MODE_SAMPLED, 0);
	struct fake_heap heap = fake_target_fill(&target);
	int fd = connect_to_daemon();
	attach(fd, &target);
	assert_int_equal(code_of(ask_about(fd, MEMATTACH__REQUEST__WHAT_DISMISS, target.pid)),
			 MA_ERR_USAGE);
	assert_int_equal(grant_of(ask_about(fd, MEMATTACH__REQUEST__WHAT_BEGIN_DETACH, target.pid)),
			 MEMATTACH__GRANT__STATE__GRANTED);
	assert_int_equal(target.area.area->control.enabled, 0);
	done(ask_about(fd, MEMATTACH__REQUEST__WHAT_DETACHED, target.pid));
	assert_int_equal(status_of(fd, target.pid).state, MEMATTACH__SESSION__STATE__ENDED);
	assert_true(live_bytes(fd, target.pid) == heap.leak_bytes + heap.native_bytes);
	/* The lock came back with the report, and a new attach replaces what was. */
	int other = connect_to_daemon();
	attach(other, &target);
	assert_int_equal(status_of(other, target.pid).state, MEMATTACH__SESSION__STATE__TRACKING);
	close(other);
	close(fd);
	fake_target_end(&target);
}

static void test_locks(void **state)
{
	(void)state;
	struct fake_target target;
	fake_target_start(&target, MA_MODE_SAMPLED, 0);
	int first = connect_to_daemon(), second = connect_to_daemon();
	assert_int_equal(
		grant_of(ask_about(first, MEMATTACH__REQUEST__WHAT_BEGIN_ATTACH, target.pid)),
		MEMATTACH__GRANT__STATE__GRANTED);
	assert_int_equal(
		grant_of(ask_about(second, MEMATTACH__REQUEST__WHAT_BEGIN_ATTACH, target.pid)),
		MEMATTACH__GRANT__STATE__BUSY);
	assert_int_equal(
		grant_of(ask_about(second, MEMATTACH__REQUEST__WHAT_BEGIN_DETACH, target.pid)),
		MEMATTACH__GRANT__STATE__BUSY);
	assert_int_equal(code_of(hand_over(second, &target)), MA_ERR_FAILED);
	done(ask_about(first, MEMATTACH__REQUEST__WHAT_CANCEL_ATTACH, target.pid));
	attach(second, &target);
	/* A detach whose CLI dies: the lock goes with it, and sampling goes on. */
	assert_int_equal(
		grant_of(ask_about(first, MEMATTACH__REQUEST__WHAT_BEGIN_DETACH, target.pid)),
		MEMATTACH__GRANT__STATE__GRANTED);
	assert_int_equal(
		grant_of(ask_about(second, MEMATTACH__REQUEST__WHAT_BEGIN_ATTACH, target.pid)),
		MEMATTACH__GRANT__STATE__BUSY);
	close(first);
	Memattach__Grant__State grant = MEMATTACH__GRANT__STATE__BUSY;
	for (int i = 0; i < PATIENCE_MS && grant == MEMATTACH__GRANT__STATE__BUSY; i++) {
		poll(NULL, 0, 1);
		grant = grant_of(
			ask_about(second, MEMATTACH__REQUEST__WHAT_BEGIN_ATTACH, target.pid));
	}
	assert_int_equal(grant, MEMATTACH__GRANT__STATE__SERVED);
	assert_int_equal(target.area.area->control.enabled, 1);
	close(second);
	fake_target_end(&target);
}

static void assert_closed(int fd)
{
	char byte;
	struct pollfd closed = {.fd = fd, .events = POLLIN};
	assert_int_equal(poll(&closed, 1, PATIENCE_MS), 1);
	assert_true(recv(fd, &byte, 1, 0) <= 0);
	close(fd);
}

/* Nonsense ends its own connection and nothing else. */
static void test_nonsense(void **state)
{
	(void)state;
	int good = connect_to_daemon();
	int bad = connect_to_daemon();
	assert_int_equal(send(bad, "GET / HTTP/1.1\r\n\r\n", 18, 0), 18);
	assert_closed(bad);
	bad = connect_to_daemon();
	uint8_t frame[MA_CHANNEL_HEADER_BYTES + 4];
	ma_channel_make_header(frame, "\xff\xff\xff\xff", 4);
	memcpy(frame + MA_CHANNEL_HEADER_BYTES, "\xff\xff\xff\xff", 4);
	assert_int_equal(send(bad, frame, sizeof frame, 0), sizeof frame);
	assert_closed(bad); /* right checksum, no request */
	bad = connect_to_daemon();
	frame[MA_CHANNEL_HEADER_BYTES]--;
	assert_int_equal(send(bad, frame, sizeof frame, 0), sizeof frame);
	assert_closed(bad); /* wrong checksum */
	/* An unknown request and another protocol are answered, with what is wrong. */
	Memattach__Request request = MEMATTACH__REQUEST__INIT;
	assert_int_equal(code_of(ask_with_fds(good, &request, NULL, 0)), MA_ERR_FAILED);
	/* Descriptors that nobody asked for are closed, and do not pile up. */
	Memattach__Empty empty = MEMATTACH__EMPTY__INIT;
	request.what_case = MEMATTACH__REQUEST__WHAT_HELLO;
	request.hello = &empty;
	const int fds[] = {0, 1, 2, 0};
	for (int i = 0; i < 2000; i++)
		done(ask_with_fds(good, &request, fds, 4));
	/* Half a header and nothing more: the others are served meanwhile. */
	int slow = connect_to_daemon();
	assert_int_equal(send(slow, "MAT1", 4, 0), 4);
	done(ask_plain(good, MEMATTACH__REQUEST__WHAT_HELLO));
	close(slow);
	/* More clients than there is room for: all are served in the end. */
	int many[80];
	for (int i = 0; i < 80; i++)
		many[i] = connect_to_daemon();
	for (int i = 0; i < 80; i++) {
		done(ask_plain(many[i], MEMATTACH__REQUEST__WHAT_HELLO));
		close(many[i]);
	}
	done(ask_plain(good, MEMATTACH__REQUEST__WHAT_HELLO));
	close(good);
}

/* A client that asks for a large snapshot and does not read it holds up neither rings nor others.
 */
static void test_stalled_reader(void **state)
{
	(void)state;
	struct fake_target target;
	fake_target_start(&target, MA_MODE_SAMPLED, 0);
	struct fake_heap heap = fake_target_fill(&target);
	/* Names that do not compress, so that the reply is larger than a socket's buffer. */
	srandom(13);
	for (uint32_t i = 0; i < 20000; i++) {
		char name[65];
		for (size_t k = 0; k < 64; k++)
			name[k] = (char)('!' + random() % 90);
		name[64] = 0;
		uint64_t frame = MA_FRAME(fake_area_code(&target.area, name, "x.py", 1), 0);
		uint32_t stack = fake_area_stack(&target.area, &frame, 1, 0);
		uint32_t site = fake_area_site(&target.area, stack, MA_DOMAIN_MALLOC, 0, 0);
		fake_area_alloc(&target.area, (int)(i % MA_RINGS), 0x10000000 + i * UINT64_C(4112),
				100, site, 0);
	}
	int stalled = connect_to_daemon(), other = connect_to_daemon();
	attach(other, &target);
	Memattach__Request request = MEMATTACH__REQUEST__INIT;
	Memattach__SnapshotQuery query = MEMATTACH__SNAPSHOT_QUERY__INIT;
	query.pid = target.pid;
	request.what_case = MEMATTACH__REQUEST__WHAT_SNAPSHOT;
	request.snapshot = &query;
	send_request(stalled, &request, NULL, 0);
	struct pollfd some = {.fd = stalled, .events = POLLIN};
	assert_int_equal(poll(&some, 1, PATIENCE_MS), 1);
	double before = live_bytes(other, target.pid);
	assert_true(fabs(before - heap.leak_bytes - heap.native_bytes - 20000 * 100) < 1);
	/* Events are taken while the reply waits. */
	for (int i = 0; i < 3 * MA_RING_EVENTS; i++) {
		struct ma_event event = {.address = 0x123450,
					 .size_bytes = 16,
					 .site = heap.leak_site,
					 .kind = MA_EVENT_ALLOC,
					 .domain = MA_DOMAIN_OBJECT};
		for (int tries = 0; !fake_area_push(&target.area, 7, event); tries++) {
			assert_true(tries < PATIENCE_MS);
			poll(NULL, 0, 1);
		}
	}
	memattach__reply__free_unpacked(receive_reply(stalled), NULL);
	close(stalled);
	close(other);
	fake_target_end(&target);
}

static void test_hostile_areas(void **state)
{
	(void)state;
	srandom(14);
	int fd = connect_to_daemon();
	for (int round = 0; round < 6; round++) {
		struct fake_target target;
		fake_target_start(&target, round % 2 ? MA_MODE_EXACT : MA_MODE_SAMPLED, 300);
		struct ma_area *area = target.area.area;
		attach(fd, &target);
		uint8_t *bytes = (uint8_t *)area->rings;
		size_t count = target.area.bytes - offsetof(struct ma_area, rings);
		for (size_t i = 0; i < count; i += 1 + (size_t)random() % 64)
			bytes[i] = (uint8_t)random();
		memattach__profile__free_unpacked(snapshot(fd, target.pid), NULL);
		/* Cut off under the daemon's feet, where it can be. */
		(void)!ftruncate(target.area.fd, MA_PAGE_BYTES);
		assert_int_not_equal(status_of(fd, target.pid).state, 0);
		fake_target_kill(&target, SIGKILL);
		memattach__profile__free_unpacked(snapshot(fd, target.pid), NULL);
		fake_target_end(&target);
	}
	/* An area of random bytes from the first one on is refused. */
	struct fake_target target;
	fake_target_start(&target, MA_MODE_SAMPLED, 0);
	memset(target.area.area, 0x5a, MA_PAGE_BYTES);
	assert_int_equal(code_of(hand_over(fd, &target)), MA_ERR_PROTOCOL);
	fake_target_end(&target);
	close(fd);
}

static void test_daemon_killed(void **state)
{
	(void)state;
	struct fake_target target;
	fake_target_start(&target, MA_MODE_SAMPLED, 0);
	int fd = connect_to_daemon();
	attach(fd, &target);
	kill(daemon_pid, SIGKILL);
	end_of_daemon();
	assert_closed(fd);
	struct ma_error error;
	assert_int_equal(ma_channel_connect(&error), MA_ERR_NO_PROCESS);
	/* Another one takes the socket over; what the first had begun is unknown to it. */
	start_daemon(0);
	fd = connect_to_daemon();
	assert_int_equal(status_of(fd, target.pid).state, 0);
	attach(fd, &target);
	assert_int_equal(status_of(fd, target.pid).state, MEMATTACH__SESSION__STATE__TRACKING);
	close(fd);
	fake_target_order(&target, FAKE_EXIT_3);
	fake_target_end(&target);
}

static void test_ways_to_stop(void **state)
{
	(void)state;
	struct fake_target target;
	fake_target_start(&target, MA_MODE_SAMPLED, 0);
	int fd = connect_to_daemon();
	attach(fd, &target);
	done(ask_plain(fd, MEMATTACH__REQUEST__WHAT_SHUTDOWN));
	int status = end_of_daemon();
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
	assert_closed(fd);
	assert_int_equal(target.area.area->control.enabled, 0);
	static const int signals[] = {SIGTERM, SIGINT, SIGHUP};
	for (int i = 0; i < 3; i++) {
		start_daemon(0);
		fd = connect_to_daemon();
		attach(fd, &target);
		assert_int_equal(target.area.area->control.enabled, 1);
		kill(daemon_pid, signals[i]);
		status = end_of_daemon();
		assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
		assert_int_equal(target.area.area->control.enabled, 0);
		close(fd);
	}
	/* Idle: a client keeps it, no client lets it go. */
	start_daemon(1);
	fd = connect_to_daemon();
	attach(fd, &target);
	fake_target_kill(&target, SIGKILL);
	done(ask_about(fd, MEMATTACH__REQUEST__WHAT_DISMISS, target.pid));
	done(ask_plain(fd, MEMATTACH__REQUEST__WHAT_HELLO));
	close(fd);
	status = end_of_daemon();
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
	fake_target_end(&target);
}

static void test_refuses_a_second_one(void **state)
{
	(void)state;
	struct ma_daemon_options options = {.listen_fd = -1, .ready_fd = -1};
	struct ma_error error = {0};
	assert_true(ma_daemon_run(&options, &error) < 0);
	assert_true(error.what[0] && error.answer[0]);
}

static int make_directory(void **state)
{
	(void)state;
	strcpy(runtime_directory, "/tmp/ma-test-daemon-XXXXXX");
	if (!mkdtemp(runtime_directory) || chmod(runtime_directory, 0700) < 0)
		return -1;
	return setenv("MEMATTACH_RUNTIME_DIR", runtime_directory, 1);
}

static int remove_directory(void **state)
{
	(void)state;
	static const char *const names[] = {"daemon.sock", "daemon.lock", "daemon.new", "log"};
	for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
		char path[96];
		snprintf(path, sizeof path, "%s/%s", runtime_directory, names[i]);
		unlink(path);
	}
	return rmdir(runtime_directory);
}

#define WITH_DAEMON(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		WITH_DAEMON(test_from_attach_to_kill),
		WITH_DAEMON(test_exec),
		WITH_DAEMON(test_detach),
		WITH_DAEMON(test_locks),
		WITH_DAEMON(test_nonsense),
		WITH_DAEMON(test_stalled_reader),
		WITH_DAEMON(test_hostile_areas),
		WITH_DAEMON(test_daemon_killed),
		WITH_DAEMON(test_ways_to_stop),
		WITH_DAEMON(test_refuses_a_second_one),
	};
	return cmocka_run_group_tests(tests, make_directory, remove_directory);
}
