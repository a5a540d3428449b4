/* SPDX-License-Identifier: MIT */
/*
 * A child process for work on bytes that may be hostile: a target's files, read by a library of
 * some 100,000 lines. It has one socket and nothing else: no other descriptor, no file to open, no
 * memory that may be executed or that a target shares, a bound on what it may take. What it
 * answers is to be checked like anything else from outside.
 */
#ifndef MA_DAEMON_CONFINE_H
#define MA_DAEMON_CONFINE_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "proto/error.h"

enum {
	MA_CONFINED_PACKET_BYTES = 128 << 10, /* largest message */
	MA_CONFINED_FDS = 1,                  /* that come with a message */
};

/* Zero-initialise; pid 0: there is none. */
struct ma_confined {
	pid_t pid;
	int socket; /* SOCK_SEQPACKET, ours */
	uint64_t memory_bytes;
};

/* What the child does, with its end of the socket; the child ends when this returns. */
typedef void ma_confined_work(int socket);

/*
 * Forks the child. name: as ps shows it, at most 15 characters. memory_bytes: what it may take
 * beyond what it has at its start. Any one thread, which must outlive the child: the kernel ends
 * the child with it. Errors: MA_ERR_FAILED.
 */
int ma_confined_start(struct ma_confined *child, const char *name, uint64_t memory_bytes,
		      ma_confined_work *work, struct ma_error *error);

/* Lets the child take so many bytes more, for the mapping of a file. */
void ma_confined_grant(const struct ma_confined *child, uint64_t bytes);

/* Ends the child and waits for it. Zeroed and stopped ones are accepted. */
void ma_confined_stop(struct ma_confined *child);

/*
 * Both ends: one message, with a descriptor (borrowed; -1: none). 0, or -1 when the other end is
 * gone or deadline_ms (CLOCK_MONOTONIC; 0: none) passed.
 */
int ma_confined_send(int socket, const void *bytes, size_t count, int fd, uint64_t deadline_ms);

/* Receives one message into buffer: its bytes, 0 when the other end is gone, -1 as above or when it
 * has no room. *fd (returned-owned): -1: none came. fd NULL: none is wanted. */
ssize_t ma_confined_receive(int socket, void *buffer, size_t room, int *fd, uint64_t deadline_ms);

#endif
