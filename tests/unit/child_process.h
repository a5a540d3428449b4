/* SPDX-License-Identifier: MIT */
/*
 * A child that a test looks at: started with pipes to its input and output, told to be ready by the
 * line that it prints, ended by closing its input or by SIGKILL to its pid.
 */
#ifndef MA_TESTS_CHILD_PROCESS_H
#define MA_TESTS_CHILD_PROCESS_H

#include <stddef.h>
#include <sys/types.h>

struct child {
	pid_t pid;
	int input;  /* ours; the child's standard input */
	int output; /* ours; the child's standard output */
};

/* Starts a program, below another root when that is not NULL. 0, or -1 when it could not be. */
int child_start(struct child *child, const char *root, const char *const argv[]);

/* Forks a child that runs `run` and then blocks until its input is closed. */
int child_fork(struct child *child, int (*run)(void *), void *context);

/* Waits for a line from the child and returns it without its newline; "" when it ended instead. */
const char *child_line(struct child *child, char *line, size_t room);

/* Kills and collects it. */
void child_end(struct child *child);

/* Waits until the child has ended, without collecting it. */
void child_wait_zombie(struct child *child);

enum { MAX_PYTHONS = 32 };

struct python {
	char program[256]; /* below root */
	char root[256];    /* "" = ours */
};

/* Every Python of this machine: pyenv's, the system's, and those of the tree that scripts/pythons
 * keeps (as root only). Old and unsupported ones too. */
int python_list(struct python pythons[MAX_PYTHONS]);

/* Starts one that prints its release and waits; release gets that line. */
int python_start(const struct python *python, struct child *child, char *release, size_t room);

#endif
