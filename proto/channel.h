/* SPDX-License-Identifier: MIT */
/*
 * The daemon's Unix socket: where it is, who may talk, how a message is framed.
 *
 * A frame is 12 bytes of header, little endian: magic "MAT1" (4), length of the payload (4), CRC-32
 * of the payload (4); then the payload, one packed memattach.Request or memattach.Reply
 * (control.proto). File descriptors travel with the first byte of the header (SCM_RIGHTS).
 */
#ifndef MA_PROTO_CHANNEL_H
#define MA_PROTO_CHANNEL_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "proto/error.h"

enum {
	MA_CHANNEL_PROTOCOL = 1,
	MA_CHANNEL_HEADER_BYTES = 12,
	MA_CHANNEL_MAX_FDS = 4,
};
#define MA_CHANNEL_MAX_REQUEST_BYTES (UINT32_C(1) << 20)
#define MA_CHANNEL_MAX_REPLY_BYTES   (UINT32_C(1) << 30)

/* A parsed header: pure function of 12 bytes, for the fuzzer too. Returns 0 or MA_ERR_PROTOCOL. */
int ma_channel_parse_header(const uint8_t header[MA_CHANNEL_HEADER_BYTES], uint32_t max_bytes,
			    uint32_t *length, uint32_t *crc, struct ma_error *error);
void ma_channel_make_header(uint8_t header[MA_CHANNEL_HEADER_BYTES], const void *payload,
			    uint32_t length);

/*
 * Where the socket is: $MEMATTACH_RUNTIME_DIR, else $XDG_RUNTIME_DIR/memattach (if that directory
 * is our own), else /run/memattach (root), else <tmp>/memattach-<uid>; "daemon.sock" inside. With a
 * directory that cannot be made because the file system is read-only: the abstract name
 * "@memattach-<uid>", and *abstract is 1. Makes the directory 0700 and checks owner and mode: a
 * directory that somebody else owns, or that others may enter, is refused (MA_ERR_UNSAFE) with the
 * remedy. path is of sun_path's size.
 */
int ma_channel_path(char path[108], int *abstract, struct ma_error *error);

/* Returned-owned listening or connected socket, CLOEXEC; negative enum ma_err on failure.
 * listen: MA_ERR_UNSAFE when another daemon serves this path already (a stale socket is replaced).
 * connect: MA_ERR_NO_PROCESS when nobody listens. Both check the peer: same user or root. */
int ma_channel_listen(struct ma_error *error);
int ma_channel_connect(struct ma_error *error);

/* Is the peer of a connected socket the same user as we, or root? 0, or MA_ERR_PERMISSION.
 * *pid (may be NULL) is the peer's. */
int ma_channel_check_peer(int fd, pid_t *pid, struct ma_error *error);

/* Sends one frame, whole; fds are borrowed. Blocks up to timeout_ms in all for the peer to read;
 * negative: for ever. After a failure the connection is out of step: close it. */
int ma_channel_send(int fd, const void *payload, size_t bytes, const int *fds, int fd_count,
		    int timeout_ms, struct ma_error *error);

/* Receives one frame. *payload is returned-owned (free it); fds are returned-owned, CLOEXEC, at
 * most MA_CHANNEL_MAX_FDS. MA_ERR_NO_PROCESS: the peer closed the connection. */
int ma_channel_receive(int fd, uint32_t max_bytes, uint8_t **payload, size_t *bytes,
		       int fds[MA_CHANNEL_MAX_FDS], int *fd_count, int timeout_ms,
		       struct ma_error *error);

#endif
