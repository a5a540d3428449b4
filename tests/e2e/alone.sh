#!/bin/sh
# SPDX-License-Identifier: MIT
#
# Runs a command in a PID namespace of its own, with a shell as its PID 1, so that `--all` means the
# processes of the test and nobody else's. Where that is not permitted the command runs all the same,
# with MEMATTACH_ALONE=no, and says itself what it skips.
if unshare --pid --fork --mount-proc true 2>/dev/null; then
	MEMATTACH_ALONE=yes exec unshare --pid --fork --kill-child --mount-proc \
		sh -c '"$0" "$@"; exit $?' "$@"
fi
MEMATTACH_ALONE=no exec "$@"
