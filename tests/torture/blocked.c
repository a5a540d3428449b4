/* SPDX-License-Identifier: MIT */
/*
 * Threads that wait in system calls, one each, for a target whose threads are stopped and let go.
 * A call that returns although nothing happened is noted, with its error: a program that never gets
 * signals would not expect that. Called by blocked.py through ctypes.
 */
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/inotify.h>
#include <sys/msg.h>
#include <sys/select.h>
#include <sys/sem.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define EXPORT __attribute__((visibility("default")))

enum { CALLS = 18, LONG_SECONDS = 1000 };

static int pair[2], pipe_fds[2], epoll_fd, inotify_fd, listener, semaphores, queue;
static sem_t semaphore;
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t condition = PTHREAD_COND_INITIALIZER;

static struct {
	uint32_t returns;
	int32_t last_error;
} seen[CALLS];

static const struct timespec long_span = {.tv_sec = LONG_SECONDS};

static long wait_in(int call)
{
	struct epoll_event event;
	struct pollfd poller = {.fd = pipe_fds[0], .events = POLLIN};
	struct timeval span = {.tv_sec = LONG_SECONDS};
	struct timespec moment;
	struct sembuf down = {.sem_op = -1};
	struct {
		long type;
		char text[8];
	} message;
	siginfo_t info;
	sigset_t set;
	fd_set fds;
	char byte;

	FD_ZERO(&fds);
	FD_SET(pipe_fds[0], &fds);
	sigemptyset(&set);
	sigaddset(&set, SIGUSR2);
	clock_gettime(CLOCK_REALTIME, &moment);
	moment.tv_sec += LONG_SECONDS;
	switch (call) {
	case 0:
		return clock_nanosleep(CLOCK_MONOTONIC, 0, &long_span, NULL) ? -1 : 0;
	case 1:
		return poll(&poller, 1, -1);
	case 2:
		return poll(&poller, 1, LONG_SECONDS * 1000);
	case 3:
		return select(pipe_fds[0] + 1, &fds, NULL, NULL, &span);
	case 4:
		return epoll_wait(epoll_fd, &event, 1, -1);
	case 5:
		return epoll_wait(epoll_fd, &event, 1, LONG_SECONDS * 1000);
	case 6:
		return read(pipe_fds[0], &byte, 1);
	case 7: /* the socket has a receive timeout */
		return recv(pair[0], &byte, 1, 0);
	case 8:
		return accept(listener, NULL, NULL);
	case 9:
		return semop(semaphores, &down, 1);
	case 10:
		return semtimedop(semaphores, &down, 1, &long_span);
	case 11:
		return sigtimedwait(&set, &info, &long_span);
	case 12:
		return sigwaitinfo(&set, &info);
	case 13:
		return msgrcv(queue, &message, sizeof(message.text), 0, 0);
	case 14:
		return sem_wait(&semaphore);
	case 15:
		return sem_timedwait(&semaphore, &moment);
	case 16:
		return read(inotify_fd, &byte, 1);
	default:
		pthread_mutex_lock(&mutex);
		errno = pthread_cond_timedwait(&condition, &mutex, &moment);
		pthread_mutex_unlock(&mutex);
		return errno ? -1 : 0;
	}
}

static void *run(void *arg)
{
	int call = (int)(intptr_t)arg;

	for (;;) {
		errno = 0;
		long result = wait_in(call);

		seen[call].returns++;
		seen[call].last_error = result < 0 ? errno : 0;
	}
	return NULL;
}

EXPORT int blocked_calls(void)
{
	return CALLS;
}

EXPORT uint32_t blocked_returns(int call)
{
	return __atomic_load_n(&seen[call].returns, __ATOMIC_RELAXED);
}

EXPORT int32_t blocked_error(int call)
{
	return __atomic_load_n(&seen[call].last_error, __ATOMIC_RELAXED);
}

/* Starts them all; 0, or the errno of what could not be set up. */
EXPORT int blocked_start(void)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	struct timeval timeout = {.tv_sec = LONG_SECONDS};
	pthread_t thread;
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGUSR2);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
	listener = socket(AF_UNIX, SOCK_STREAM, 0);
	epoll_fd = epoll_create1(0);
	inotify_fd = inotify_init();
	semaphores = semget(IPC_PRIVATE, 1, 0600);
	queue = msgget(IPC_PRIVATE, 0600);
	if (pipe(pipe_fds) || socketpair(AF_UNIX, SOCK_STREAM, 0, pair) ||
	    setsockopt(pair[0], SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout)) ||
	    bind(listener, (struct sockaddr *)&address, sizeof(sa_family_t)) ||
	    listen(listener, 1) || epoll_fd < 0 || inotify_fd < 0 || semaphores < 0 || queue < 0)
		return errno;
	sem_init(&semaphore, 0, 0);
	for (intptr_t call = 0; call < CALLS; call++)
		if (pthread_create(&thread, NULL, run, (void *)call))
			return EAGAIN;
	return 0;
}

/* Removes what would outlive the process. */
EXPORT void blocked_end(void)
{
	semctl(semaphores, 0, IPC_RMID);
	msgctl(queue, IPC_RMID, NULL);
}
