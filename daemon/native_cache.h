/* SPDX-License-Identifier: MIT */
/*
 * Names of code, for as long as the daemon lives: each address of each file is looked up once,
 * whichever targets have the file mapped. Files are told apart by what the kernel knows of them
 * (device, inode, size, times), because a build-id is what a file says of itself. Looking up is the
 * symbol worker's; here is what it found. Everything is bounded; what is beyond has no names.
 */
#ifndef MA_DAEMON_NATIVE_CACHE_H
#define MA_DAEMON_NATIVE_CACHE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include <time.h>

#include "daemon/idmap.h"
#include "daemon/pool.h"
#include "daemon/symbol_worker.h"

enum {
	MA_NATIVE_FILES = 1 << 14,
	MA_NATIVE_PLACES = 1 << 19,
	MA_NATIVE_TEXT_BYTES = 64 << 20, /* of all names */
	MA_NATIVE_LOST = 16,             /* files that are remembered for having lost names */
	MA_NATIVE_ADDRESS_BITS = 42,     /* of an address as a file counts them */
};

#define MA_NATIVE_NONE UINT32_MAX

/* A function and the line in it. */
struct ma_native_line {
	const char *function;     /* as people know it; valid UTF-8 */
	const char *linkage;      /* as the linker knows it */
	const char *file;         /* "" = not known */
	int32_t line, first_line; /* 0 = not known */
};

/* What is known of an address: functions that are inlined there first, innermost first. */
struct ma_native_place {
	bool known;                        /* else it is still being looked up */
	uint8_t count;                     /* 0: no symbol covers it */
	const struct ma_native_line *line; /* the cache's */
};

/* What tells a file from every other. */
struct ma_native_file {
	dev_t device;
	ino_t inode;
	off_t bytes;
	struct timespec modified, changed;
	bool servers; /* debug files may come from servers: names can be others then */
};

/* A file that was too much for whoever reads it. */
struct ma_native_lost {
	const char *path; /* as the target names it; the cache's */
	enum ma_symbol_lost what;
};

/* Zero-initialise, then ma_native_cache_init. */
struct ma_native_cache {
	struct ma_symbol_worker worker;
	bool started; /* the worker; at the first question */
	struct ma_native_file *files;
	uint32_t file_count, file_room;
	struct ma_idmap file_of_key;
	struct ma_native_place *places;
	uint32_t place_count, place_room;
	struct ma_idmap place_of_key; /* file and address */
	struct ma_pool pool;          /* lines and texts */
	struct ma_idmap text_of_hash;
	const char **texts;
	uint32_t text_count, text_room;
	uint64_t text_bytes;
	uint32_t pending;                 /* places that are being looked up */
	uint32_t jobs;                    /* that the worker has; each holds descriptors */
	struct ma_symbol_fetched fetched; /* in all */
	struct ma_native_lost lost[MA_NATIVE_LOST];
	uint32_t lost_count;
};

void ma_native_cache_init(struct ma_native_cache *cache);
void ma_native_cache_fini(struct ma_native_cache *cache);

/* The number of a file that is open (fd borrowed), as read with the help of servers or without;
 * MA_NATIVE_NONE: too many. Daemon loop, as everything here. */
uint32_t ma_native_cache_file(struct ma_native_cache *cache, int fd, bool servers);

/* The place of an address as a file counts them; *is_new: nobody has asked for it, so that it is to
 * be looked up. MA_NATIVE_NONE: too many, or no such address. */
uint32_t ma_native_cache_place(struct ma_native_cache *cache, uint32_t file, uint64_t address,
			       bool *is_new);

/* A place by its number; MA_NATIVE_NONE, or no cache: one without a name. Borrowed until the next
 * ma_native_cache_place. */
const struct ma_native_place *ma_native_cache_get(const struct ma_native_cache *cache,
						  uint32_t place);

/* May more be asked now? */
bool ma_native_cache_has_room(const struct ma_native_cache *cache);

/* Has these addresses looked up; the job is taken. */
void ma_native_cache_ask(struct ma_native_cache *cache, struct ma_symbol_job *job);

/* Nobody can look that one up: it has no name. */
void ma_native_cache_give_up(struct ma_native_cache *cache, uint32_t place);

/* Readable when there are answers; -1: nothing was asked yet. */
int ma_native_cache_fd(const struct ma_native_cache *cache);

/* Takes answers in. */
void ma_native_cache_take(struct ma_native_cache *cache);

#endif
