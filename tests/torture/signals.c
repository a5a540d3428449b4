/* SPDX-License-Identifier: MIT */
/*
 * Timers and signal handlers for a target that is to be worn out: no signal may be lost, doubled or
 * reordered. Called by storm.py through ctypes. One thread gets queued signals with a number in
 * each, in a handler on an alternate stack that also uses vector registers; another gets a timer's
 * signals, whose number must fit the time that has passed.
 */
#include <immintrin.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define EXPORT __attribute__((visibility("default")))
#define NS     UINT64_C(1000000000)

enum { TIMER_NS = 2000000, ALTERNATE_BYTES = 64 * 1024, QUEUED_AT_MOST = 16 };

static pthread_t queue_thread;
static uint64_t sent, received, disordered; /* of the queued signals */
static uint64_t expired, timer_start_ns;    /* of the timer */
static uint64_t spoiled;                    /* registers of the interrupted code that changed */
static int running;

static uint64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * NS + (uint64_t)now.tv_nsec;
}

__attribute__((target("avx2"))) static void on_queued(int number, siginfo_t *info, void *context)
{
	uint64_t value = (uint64_t)(uintptr_t)info->si_value.sival_ptr;
	__m256i other = _mm256_set1_epi64x((long long)value);

	(void)number;
	(void)context;
	__asm__ volatile("" : "+x"(other));
	if (value != received)
		disordered++;
	__atomic_store_n(&received, value + 1, __ATOMIC_RELEASE);
}

static void on_timer(int number, siginfo_t *info, void *context)
{
	(void)number;
	(void)context;
	__atomic_fetch_add(&expired, 1 + (uint64_t)info->si_overrun, __ATOMIC_RELEASE);
}

static void use_alternate_stack(void *memory)
{
	stack_t stack = {.ss_sp = memory, .ss_size = ALTERNATE_BYTES};

	sigaltstack(&stack, NULL);
}

/* Computes in vector registers while the signals come. */
__attribute__((target("avx2"))) static void *be_queued(void *arg)
{
	static uint8_t stack[ALTERNATE_BYTES];

	(void)arg;
	use_alternate_stack(stack);
	for (uint64_t i = 1;; i++) {
		__m256i a = _mm256_set1_epi64x((long long)i);
		__m256i b = a;

		for (int spin = 0; spin < 1000; spin++)
			__asm__ volatile("" : "+x"(a), "+x"(b));
		if (_mm256_movemask_epi8(_mm256_cmpeq_epi64(a, b)) != -1 ||
		    _mm256_extract_epi64(a, 2) != (long long)i)
			__atomic_fetch_add(&spoiled, 1, __ATOMIC_RELAXED);
		if (i % 1000 == 0 || !__atomic_load_n(&running, __ATOMIC_ACQUIRE))
			usleep(1000);
	}
	return NULL;
}

static void *send_all(void *arg)
{
	(void)arg;
	for (;;) {
		uint64_t behind = sent - __atomic_load_n(&received, __ATOMIC_ACQUIRE);
		union sigval value = {.sival_ptr = (void *)(uintptr_t)sent};

		if (!__atomic_load_n(&running, __ATOMIC_ACQUIRE) || behind >= QUEUED_AT_MOST)
			usleep(500);
		else if (!pthread_sigqueue(queue_thread, SIGRTMIN + 2, value))
			__atomic_store_n(&sent, sent + 1, __ATOMIC_RELEASE);
	}
	return NULL;
}

static void *be_timed(void *arg)
{
	static uint8_t stack[ALTERNATE_BYTES];
	struct sigevent event = {.sigev_notify = SIGEV_THREAD_ID, .sigev_signo = SIGRTMIN + 3};
	const struct itimerspec span = {{.tv_nsec = TIMER_NS}, {.tv_nsec = TIMER_NS}};
	timer_t timer;

	(void)arg;
	use_alternate_stack(stack);
	event._sigev_un._tid = (pid_t)syscall(SYS_gettid);
	if (timer_create(CLOCK_MONOTONIC, &event, &timer))
		return NULL;
	timer_settime(timer, 0, &span, NULL);
	__atomic_store_n(&timer_start_ns, now_ns(), __ATOMIC_RELEASE);
	for (;;)
		usleep(10000);
	return NULL;
}

/* Starts one thread that takes only the given signal. */
static int start(pthread_t *thread, void *(*run)(void *), int number)
{
	sigset_t mask, former;
	int failed;

	sigfillset(&mask);
	if (number)
		sigdelset(&mask, number);
	pthread_sigmask(SIG_SETMASK, &mask, &former);
	failed = pthread_create(thread, NULL, run, NULL);
	pthread_sigmask(SIG_SETMASK, &former, NULL);
	return failed;
}

EXPORT int signals_start(void)
{
	struct sigaction action = {.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_RESTART};
	pthread_t other;
	int failed;

	action.sa_sigaction = on_queued;
	sigaction(SIGRTMIN + 2, &action, NULL);
	action.sa_sigaction = on_timer;
	sigaction(SIGRTMIN + 3, &action, NULL);
	failed = start(&queue_thread, be_queued, SIGRTMIN + 2);
	if (!failed)
		failed = start(&other, send_all, 0);
	return failed ? failed : start(&other, be_timed, SIGRTMIN + 3);
}

/* The queued signals can be paused; the timer runs on. */
EXPORT void signals_run(int on)
{
	__atomic_store_n(&running, on, __ATOMIC_RELEASE);
}

/* sent, received, disordered, spoiled registers, timer expirations, and those that were due. */
EXPORT void signals_report(uint64_t words[6])
{
	uint64_t start_ns = __atomic_load_n(&timer_start_ns, __ATOMIC_ACQUIRE);

	words[0] = __atomic_load_n(&sent, __ATOMIC_ACQUIRE);
	words[1] = __atomic_load_n(&received, __ATOMIC_ACQUIRE);
	words[2] = disordered;
	words[3] = spoiled;
	words[4] = __atomic_load_n(&expired, __ATOMIC_ACQUIRE);
	words[5] = start_ns ? (now_ns() - start_ns) / TIMER_NS : 0;
}
