/* SPDX-License-Identifier: MIT */
/*
 * Threads that sleep in the system calls a program may block in, one each, and notice when a call
 * ends other than it should: with EINTR, too early, too late, or without cause. Called by storm.py
 * through ctypes. Half of the calls have a time limit, which must be kept; the others wait for an
 * event, which a feeder thread brings about again and again.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/aio_abi.h>
#include <linux/futex.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/inotify.h>
#include <sys/ipc.h>
#include <sys/select.h>
#include <sys/sem.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define EXPORT __attribute__((visibility("default")))
#define NS     UINT64_C(1000000000)

enum {
	LIMIT_MS = 700,
	EARLY_MS = 5,    /* some limits are kept in ticks of the kernel's clock */
	LATE_MS = 1500,  /* beside the time that it waited for a processor */
	LOST_MS = 20000, /* who is still asleep then sleeps for ever */
	FEED_MS = 150,
	STACK_BYTES = 256 * 1024,
};

/* One of the calls. wait() returns as the system call does; wake() is what ends it, or NULL when it
 * has a time limit. */
struct sleeper {
	const char *name;
	long (*wait)(void);
	void (*wake)(void);
	long expected;
	int expected_errno;
	pthread_t thread;
	/* Written by the sleeper, read by anybody. */
	uint64_t rounds;
	uint64_t wrong; /* another result than expected, or no cause for it */
	uint64_t early;
	uint64_t late;
	uint64_t worst_ns; /* beyond the limit, or behind the event */
	int64_t last_errno;
	uint64_t started_ns; /* the wait that is going on */
	/* Of the feeder. */
	uint64_t fed;
	uint64_t fed_at_ns;
};

/* What Python reads. */
struct report {
	char name[24];
	uint64_t rounds, wrong, early, late, worst_ns;
	int64_t last_errno;
};

static int quiet_pipe[2], pipe_read[2], poll_pipe[2], timed_socket[2], socket_pair[2];
static int epoll_fd, listener, semaphore, inotify_fd;
static aio_context_t aio;
static uint32_t futex_word, quiet_word;
static uint64_t pauses_caused;
static struct sockaddr_un address = {.sun_family = AF_UNIX};
static socklen_t address_bytes;
static char watched[] = "/tmp/memattach-sleepers-XXXXXX";

static const struct timespec limit = {.tv_nsec = LIMIT_MS * 1000000L};

static uint64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * NS + (uint64_t)now.tv_nsec;
}

/* How long this thread was ready to run, but did not: the second word of its schedstat (Linux,
 * Documentation/scheduler/sched-stats.rst). 0 where the kernel does not count it. */
static uint64_t queued_ns(void)
{
	unsigned long long run = 0, queued = 0;
	char text[64] = "";
	int fd = open("/proc/thread-self/schedstat", O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return 0;
	if (read(fd, text, sizeof(text) - 1) <= 0 || sscanf(text, "%llu %llu", &run, &queued) != 2)
		queued = 0;
	close(fd);
	return queued;
}

static long wait_nanosleep(void)
{
	struct timespec left;

	errno = clock_nanosleep(CLOCK_MONOTONIC, 0, &limit, &left);
	return errno ? -1 : 0;
}

static long wait_nanosleep_until(void)
{
	struct timespec moment;
	uint64_t end = now_ns() + LIMIT_MS * UINT64_C(1000000);

	moment.tv_sec = (time_t)(end / NS);
	moment.tv_nsec = (long)(end % NS);
	errno = clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &moment, NULL);
	return errno ? -1 : 0;
}

static long wait_poll(void)
{
	struct pollfd poller = {.fd = quiet_pipe[0], .events = POLLIN};

	return poll(&poller, 1, LIMIT_MS);
}

static long wait_select(void)
{
	struct timeval span = {.tv_usec = LIMIT_MS * 1000};
	fd_set fds;

	FD_ZERO(&fds);
	FD_SET(quiet_pipe[0], &fds);
	return select(quiet_pipe[0] + 1, &fds, NULL, NULL, &span);
}

static long wait_epoll(void)
{
	struct epoll_event event;

	return epoll_wait(epoll_fd, &event, 1, LIMIT_MS);
}

static long wait_futex_limit(void)
{
	return syscall(SYS_futex, &quiet_word, FUTEX_WAIT_PRIVATE, 0, &limit, NULL, 0);
}

static long wait_recv_limit(void)
{
	char byte;

	return recv(timed_socket[0], &byte, 1, 0);
}

static long wait_signal(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGUSR2);
	return sigtimedwait(&set, NULL, &limit);
}

static long wait_aio(void)
{
	struct io_event event;

	return syscall(SYS_io_getevents, aio, 1L, 1L, &event, &limit);
}

static long wait_poll_endless(void)
{
	struct pollfd poller = {.fd = poll_pipe[0], .events = POLLIN};
	long result = poll(&poller, 1, -1);
	char byte;

	return result == 1 ? read(poll_pipe[0], &byte, 1) : result;
}

static void wake_poll(void)
{
	(void)!write(poll_pipe[1], "", 1);
}

static long wait_read(void)
{
	char byte;

	return read(pipe_read[0], &byte, 1);
}

static void wake_read(void)
{
	(void)!write(pipe_read[1], "", 1);
}

static long wait_futex(void)
{
	uint32_t seen = __atomic_load_n(&futex_word, __ATOMIC_ACQUIRE);
	long result;

	if (seen) /* woken before it was asleep */
		result = 0;
	else
		result = syscall(SYS_futex, &futex_word, FUTEX_WAIT_PRIVATE, 0, NULL, NULL, 0);
	if (result < 0 && errno == EAGAIN)
		result = 0;
	__atomic_store_n(&futex_word, 0, __ATOMIC_RELEASE);
	return result;
}

static void wake_futex(void)
{
	__atomic_store_n(&futex_word, 1, __ATOMIC_RELEASE);
	syscall(SYS_futex, &futex_word, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
}

static long wait_accept(void)
{
	int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);

	if (fd < 0)
		return -1;
	close(fd);
	return 0;
}

static void wake_accept(void)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd >= 0) {
		(void)!connect(fd, (struct sockaddr *)&address, address_bytes);
		close(fd);
	}
}

static long wait_recv(void)
{
	char byte;

	return recv(socket_pair[0], &byte, 1, 0);
}

static void wake_recv(void)
{
	(void)!send(socket_pair[1], "", 1, MSG_NOSIGNAL);
}

static long wait_semop(void)
{
	struct sembuf down = {.sem_op = -1};

	return semop(semaphore, &down, 1);
}

static void wake_semop(void)
{
	struct sembuf up = {.sem_op = 1};

	semop(semaphore, &up, 1);
}

static long wait_inotify(void)
{
	char events[512];

	return read(inotify_fd, events, sizeof(events)) > 0 ? 0 : -1;
}

static void wake_inotify(void)
{
	struct timespec times[2] = {{0}, {.tv_nsec = UTIME_NOW}};

	times[0].tv_nsec = UTIME_NOW;
	utimensat(AT_FDCWD, watched, times, 0);
}

static void on_pause_signal(int number)
{
	(void)number;
	__atomic_fetch_add(&pauses_caused, 1, __ATOMIC_RELAXED);
}

/* pause() ends with EINTR by its nature; what counts is that a signal was the cause. */
static long wait_pause(void)
{
	uint64_t before = __atomic_load_n(&pauses_caused, __ATOMIC_RELAXED);

	pause();
	return __atomic_load_n(&pauses_caused, __ATOMIC_RELAXED) == before ? -1 : 0;
}

static void wake_pause(void);

static struct sleeper sleepers[] = {
	{.name = "nanosleep", .wait = wait_nanosleep},
	{.name = "nanosleep until", .wait = wait_nanosleep_until},
	{.name = "poll", .wait = wait_poll},
	{.name = "select", .wait = wait_select},
	{.name = "epoll_wait", .wait = wait_epoll},
	{.name = "futex", .wait = wait_futex_limit, .expected = -1, .expected_errno = ETIMEDOUT},
	{.name = "recv", .wait = wait_recv_limit, .expected = -1, .expected_errno = EAGAIN},
	{.name = "sigtimedwait", .wait = wait_signal, .expected = -1, .expected_errno = EAGAIN},
	{.name = "io_getevents", .wait = wait_aio},
	{.name = "poll, endless", .wait = wait_poll_endless, .wake = wake_poll, .expected = 1},
	{.name = "read, pipe", .wait = wait_read, .wake = wake_read, .expected = 1},
	{.name = "futex, endless", .wait = wait_futex, .wake = wake_futex},
	{.name = "accept", .wait = wait_accept, .wake = wake_accept},
	{.name = "recv, endless", .wait = wait_recv, .wake = wake_recv, .expected = 1},
	{.name = "semop", .wait = wait_semop, .wake = wake_semop},
	{.name = "read, inotify", .wait = wait_inotify, .wake = wake_inotify},
	{.name = "pause", .wait = wait_pause, .wake = wake_pause},
};
enum { SLEEPERS = sizeof(sleepers) / sizeof(sleepers[0]), PAUSE = SLEEPERS - 1 };

static void wake_pause(void)
{
	pthread_kill(sleepers[PAUSE].thread, SIGUSR1);
}

static void account(struct sleeper *sleeper, long result, int problem, uint64_t start_ns,
		    uint64_t end_ns, uint64_t starved_ns)
{
	const uint64_t ms = 1000000;
	uint64_t due_ns = sleeper->wake ? __atomic_load_n(&sleeper->fed_at_ns, __ATOMIC_ACQUIRE)
					: start_ns + LIMIT_MS * ms;

	if (result != sleeper->expected || (result < 0 && problem != sleeper->expected_errno)) {
		sleeper->last_errno = result < 0 ? problem : 0;
		sleeper->wrong++;
	}
	if (sleeper->wake && __atomic_load_n(&sleeper->fed, __ATOMIC_ACQUIRE) <= sleeper->rounds)
		sleeper->wrong++;
	if (!sleeper->wake && end_ns + EARLY_MS * ms < due_ns)
		sleeper->early++;
	if (end_ns > due_ns && end_ns - due_ns > sleeper->worst_ns)
		sleeper->worst_ns = end_ns - due_ns;
	if (end_ns > due_ns + starved_ns + LATE_MS * ms)
		sleeper->late++;
	__atomic_fetch_add(&sleeper->rounds, 1, __ATOMIC_RELEASE);
}

static void *sleep_on(void *arg)
{
	struct sleeper *sleeper = arg;

	for (;;) {
		uint64_t queued_before_ns = queued_ns();
		uint64_t start_ns = now_ns();
		uint64_t end_ns;
		long result;
		int problem;

		__atomic_store_n(&sleeper->started_ns, start_ns, __ATOMIC_RELEASE);
		errno = 0;
		result = sleeper->wait();
		problem = errno;
		end_ns = now_ns();
		account(sleeper, result, problem, start_ns, end_ns, queued_ns() - queued_before_ns);
	}
	return NULL;
}

/* Brings about what the others wait for; the next time only after they have woken. */
static void *feed(void *arg)
{
	const struct timespec span = {.tv_nsec = FEED_MS * 1000000L};

	(void)arg;
	for (;;) {
		clock_nanosleep(CLOCK_MONOTONIC, 0, &span, NULL);
		for (int i = 0; i < SLEEPERS; i++) {
			struct sleeper *sleeper = &sleepers[i];
			uint64_t rounds = __atomic_load_n(&sleeper->rounds, __ATOMIC_ACQUIRE);

			if (!sleeper->wake)
				continue;
			if (rounds == sleeper->fed) {
				__atomic_store_n(&sleeper->fed_at_ns, now_ns(), __ATOMIC_RELEASE);
				__atomic_store_n(&sleeper->fed, rounds + 1, __ATOMIC_RELEASE);
				sleeper->wake();
			} else if (i == PAUSE) {
				sleeper->wake(); /* came between two pauses */
			}
		}
	}
	return NULL;
}

static int open_all(void)
{
	struct timeval span = {.tv_usec = LIMIT_MS * 1000};
	int file = mkstemp(watched);

	if (file < 0)
		return errno;
	close(file);
	listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	inotify_fd = inotify_init1(IN_CLOEXEC);
	semaphore = semget(IPC_PRIVATE, 1, 0600);
	address_bytes = sizeof(address);
	if (pipe(quiet_pipe) || pipe(pipe_read) || pipe(poll_pipe) ||
	    socketpair(AF_UNIX, SOCK_STREAM, 0, timed_socket) ||
	    socketpair(AF_UNIX, SOCK_STREAM, 0, socket_pair) ||
	    setsockopt(timed_socket[0], SOL_SOCKET, SO_RCVTIMEO, &span, sizeof(span)) ||
	    bind(listener, (struct sockaddr *)&address, sizeof(sa_family_t)) ||
	    listen(listener, 4) ||
	    getsockname(listener, (struct sockaddr *)&address, &address_bytes) || epoll_fd < 0 ||
	    inotify_fd < 0 || semaphore < 0 ||
	    inotify_add_watch(inotify_fd, watched, IN_ATTRIB) < 0 ||
	    syscall(SYS_io_setup, 4L, &aio))
		return errno ? errno : EINVAL;
	return 0;
}

EXPORT int sleepers_count(void)
{
	return SLEEPERS;
}

/* Starts them all, with every signal blocked but the one that pause() waits for. 0, or the errno of
 * what could not be set up. */
EXPORT int sleepers_start(void)
{
	const struct sigaction action = {.sa_handler = on_pause_signal};
	sigset_t all, former;
	pthread_attr_t attr;
	pthread_t feeder;
	int failed = open_all();

	if (failed)
		return failed;
	sigaction(SIGUSR1, &action, NULL);
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &former);
	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, STACK_BYTES);
	for (int i = 0; i < SLEEPERS && !failed; i++) {
		if (i == PAUSE) {
			sigdelset(&all, SIGUSR1);
			pthread_sigmask(SIG_SETMASK, &all, NULL);
		}
		failed = pthread_create(&sleepers[i].thread, &attr, sleep_on, &sleepers[i]);
		if (i == PAUSE) {
			sigaddset(&all, SIGUSR1);
			pthread_sigmask(SIG_SETMASK, &all, NULL);
		}
	}
	if (!failed)
		failed = pthread_create(&feeder, &attr, feed, NULL);
	pthread_attr_destroy(&attr);
	pthread_sigmask(SIG_SETMASK, &former, NULL);
	return failed;
}

/* Has the call that is going on not ended long after it should have? */
static bool is_overdue(const struct sleeper *sleeper)
{
	const uint64_t ms = 1000000;
	uint64_t now = now_ns();

	if (sleeper->wake)
		return __atomic_load_n(&sleeper->fed, __ATOMIC_ACQUIRE) > sleeper->rounds &&
		       now > sleeper->fed_at_ns + LOST_MS * ms;
	return now >
	       __atomic_load_n(&sleeper->started_ns, __ATOMIC_ACQUIRE) + (LIMIT_MS + LOST_MS) * ms;
}

EXPORT void sleepers_report(int index, struct report *report)
{
	const struct sleeper *sleeper = &sleepers[index];

	snprintf(report->name, sizeof(report->name), "%s", sleeper->name);
	report->rounds = __atomic_load_n(&sleeper->rounds, __ATOMIC_ACQUIRE);
	report->wrong = sleeper->wrong;
	report->early = sleeper->early;
	report->late = sleeper->late + is_overdue(sleeper);
	report->worst_ns = sleeper->worst_ns;
	report->last_errno = sleeper->last_errno;
}

/* Removes what would outlive the process. */
EXPORT void sleepers_end(void)
{
	semctl(semaphore, 0, IPC_RMID);
	unlink(watched);
}
