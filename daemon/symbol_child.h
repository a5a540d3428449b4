/* SPDX-License-Identifier: MIT */
/* The child that reads symbols and debug information of files that it is handed. */
#ifndef MA_DAEMON_SYMBOL_CHILD_H
#define MA_DAEMON_SYMBOL_CHILD_H

/* Answers until the other end is gone: a ma_confined_work (daemon/confine.h). */
void ma_symbol_child(int socket);

#endif
