/* SPDX-License-Identifier: MIT */
/*
 * The one error idiom of memattach: a function that can fail returns 0 or a negative enum ma_err
 * and, when the caller supplied one, fills a struct ma_error with what was attempted, what the
 * system answered and what the person can do next. Library code never prints; only cli/ turns a
 * struct ma_error into text.
 */
#ifndef MA_PROTO_ERROR_H
#define MA_PROTO_ERROR_H

/* Each value stands for one exit code of the command line (DESIGN: "Exit"). */
enum ma_err {
	MA_OK = 0,
	MA_ERR_FAILED = -1,     /* exit 1: tried and did not work */
	MA_ERR_USAGE = -2,      /* exit 2: the request makes no sense */
	MA_ERR_PERMISSION = -3, /* exit 3: the system does not let us */
	MA_ERR_NOT_PYTHON = -4, /* exit 4: not a Python that we support */
	MA_ERR_NO_PROCESS = -5, /* exit 5: no such process, or it ended */
	MA_ERR_UNSAFE = -6,     /* exit 6: refused, nothing was touched */
	MA_ERR_PROTOCOL = -7,   /* exit 1: bytes from outside that do not parse */
};

struct ma_error {
	enum ma_err code;
	int sys_errno;         /* errno at the failing call, 0 when there was none */
	unsigned long address; /* in the target, 0 when the error is not about one */
	char what[160];        /* what was attempted: "stopping thread 4243 of 4242" */
	char answer[200];      /* what the system said: "Operation not permitted" */
	char remedy[400];      /* what to do next; a line to paste where there is one */
};

/*
 * Fills *error (NULL is allowed) and returns code, so that a caller can write
 * `return ma_error_set(error, MA_ERR_FAILED, errno, "opening %s", path);`.
 * `answer` becomes strerror(sys_errno), or empty when sys_errno is 0. Thread safe.
 */
int ma_error_set(struct ma_error *error, enum ma_err code, int sys_errno, const char *what, ...)
	__attribute__((format(printf, 4, 5)));

/* Replaces the answer of an error that ma_error_set has filled. NULL error is allowed. */
void ma_error_answer(struct ma_error *error, const char *answer, ...)
	__attribute__((format(printf, 2, 3)));

/* Adds the remedy to an error that ma_error_set has filled. NULL error is allowed. */
void ma_error_remedy(struct ma_error *error, const char *remedy, ...)
	__attribute__((format(printf, 2, 3)));

/* The exit code that stands for an error code: 0 for MA_OK, 1 to 6 otherwise. */
int ma_error_exit_code(enum ma_err code);

#endif
