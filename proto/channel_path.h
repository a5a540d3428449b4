/* SPDX-License-Identifier: MIT */
/*
 * The directory of the daemon's socket, opened and checked; what listening and connecting share.
 * Everybody else uses ma_channel_path of proto/channel.h.
 */
#ifndef MA_PROTO_CHANNEL_PATH_H
#define MA_PROTO_CHANNEL_PATH_H

#include "proto/error.h"

#define MA_CHANNEL_SOCKET_NAME "daemon.sock"

/*
 * As ma_channel_path; besides, *directory_fd is the checked directory, returned-owned and CLOEXEC,
 * or -1 when the name is abstract. What is opened relative to it lies in the directory that was
 * checked, whatever happens to the path meanwhile. Any thread.
 */
int ma_channel_open_directory(char path[108], int *abstract, int *directory_fd,
			      struct ma_error *error);

#endif
