/* SPDX-License-Identifier: MIT */
/* See native_cache.h. */
#include "daemon/native_cache.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "daemon/text.h"

enum { JOBS_MAX = 16, JOBS_AT_A_TIME = 4, TEXT_BYTES = 4 * MA_CODE_NAME_BYTES };

/* What stands for a text that there is no room for. */
static const char no_text[] = "";

void ma_native_cache_init(struct ma_native_cache *cache)
{
	*cache = (struct ma_native_cache){0};
}

void ma_native_cache_fini(struct ma_native_cache *cache)
{
	if (cache->started)
		ma_symbol_worker_stop(&cache->worker);
	free(cache->files);
	free(cache->places);
	free(cache->texts);
	ma_idmap_fini(&cache->file_of_key);
	ma_idmap_fini(&cache->place_of_key);
	ma_idmap_fini(&cache->text_of_hash);
	ma_pool_fini(&cache->pool);
	*cache = (struct ma_native_cache){0};
}

static bool make_room(void **array, uint32_t count, uint32_t *room, size_t element_bytes)
{
	if (count < *room)
		return true;
	uint32_t larger = *room ? *room * 2 : 256;
	void *memory = realloc(*array, larger * element_bytes);
	if (!memory)
		return false;
	*array = memory;
	*room = larger;
	return true;
}

static uint64_t mix(uint64_t hash, uint64_t word)
{
	hash = (hash ^ word) * UINT64_C(0x9E3779B97F4A7C15);
	return hash ^ hash >> 29;
}

static bool same_file(const struct ma_native_file *a, const struct ma_native_file *b)
{
	return a->device == b->device && a->inode == b->inode && a->bytes == b->bytes &&
	       a->modified.tv_sec == b->modified.tv_sec &&
	       a->modified.tv_nsec == b->modified.tv_nsec &&
	       a->changed.tv_sec == b->changed.tv_sec && a->changed.tv_nsec == b->changed.tv_nsec &&
	       a->servers == b->servers;
}

uint32_t ma_native_cache_file(struct ma_native_cache *cache, int fd, bool servers)
{
	struct stat status;
	if (fstat(fd, &status) < 0)
		return MA_NATIVE_NONE;
	const struct ma_native_file file = {
		.device = status.st_dev,
		.inode = status.st_ino,
		.bytes = status.st_size,
		.modified = status.st_mtim,
		.changed = status.st_ctim,
		.servers = servers,
	};
	uint64_t key = mix(mix(mix(file.device, file.inode), (uint64_t)file.bytes),
			   (uint64_t)file.changed.tv_nsec);
	uint32_t at;
	for (; (at = ma_idmap_find(&cache->file_of_key, key)) != MA_IDMAP_NONE; key++)
		if (same_file(&cache->files[at], &file))
			return at;
	if (cache->file_count == MA_NATIVE_FILES ||
	    !make_room((void **)&cache->files, cache->file_count, &cache->file_room,
		       sizeof *cache->files) ||
	    !ma_idmap_add(&cache->file_of_key, key, cache->file_count))
		return MA_NATIVE_NONE;
	cache->files[cache->file_count] = file;
	return cache->file_count++;
}

static uint64_t place_key(uint32_t file, uint64_t address)
{
	return (uint64_t)file << MA_NATIVE_ADDRESS_BITS | address;
}

uint32_t ma_native_cache_place(struct ma_native_cache *cache, uint32_t file, uint64_t address,
			       bool *is_new)
{
	*is_new = false;
	if (address >> MA_NATIVE_ADDRESS_BITS)
		return MA_NATIVE_NONE;
	uint32_t at = ma_idmap_find(&cache->place_of_key, place_key(file, address));
	if (at != MA_IDMAP_NONE)
		return at;
	if (cache->place_count == MA_NATIVE_PLACES ||
	    !make_room((void **)&cache->places, cache->place_count, &cache->place_room,
		       sizeof *cache->places) ||
	    !ma_idmap_add(&cache->place_of_key, place_key(file, address), cache->place_count))
		return MA_NATIVE_NONE;
	*is_new = true;
	cache->pending++;
	cache->places[cache->place_count] = (struct ma_native_place){0};
	return cache->place_count++;
}

const struct ma_native_place *ma_native_cache_get(const struct ma_native_cache *cache,
						  uint32_t place)
{
	static const struct ma_native_place nothing = {.known = true};
	return cache && place < cache->place_count ? &cache->places[place] : &nothing;
}

void ma_native_cache_give_up(struct ma_native_cache *cache, uint32_t place)
{
	if (place >= cache->place_count || cache->places[place].known)
		return;
	cache->places[place].known = true;
	cache->pending--;
}

/* Gives up all addresses of a job. */
static void give_up(struct ma_native_cache *cache, const struct ma_symbol_job *job)
{
	bool is_new;
	for (uint32_t i = 0; i < job->count; i++)
		ma_native_cache_give_up(
			cache, ma_native_cache_place(cache, job->file, job->address[i], &is_new));
}

void ma_native_cache_ask(struct ma_native_cache *cache, struct ma_symbol_job *job)
{
	if (!cache->started)
		cache->started = ma_symbol_worker_start(&cache->worker, NULL) == 0;
	if (cache->started) {
		cache->jobs++;
		ma_symbol_worker_submit(&cache->worker, job);
		return;
	}
	give_up(cache, job);
	ma_symbol_job_destroy(job);
}

int ma_native_cache_fd(const struct ma_native_cache *cache)
{
	return cache->started ? cache->worker.base.done_fd : -1;
}

/* The one copy of a text, as valid UTF-8. */
static const char *keep_text(struct ma_native_cache *cache, const char *raw)
{
	char text[TEXT_BYTES];
	uint64_t hash = UINT64_C(0xcbf29ce484222325);
	size_t length = ma_text_from_bytes(text, sizeof text, raw, strlen(raw));
	for (size_t i = 0; i < length; i++)
		hash = (hash ^ (unsigned char)text[i]) * UINT64_C(0x100000001b3);
	uint32_t at;
	for (; (at = ma_idmap_find(&cache->text_of_hash, hash)) != MA_IDMAP_NONE; hash++)
		if (strcmp(cache->texts[at], text) == 0)
			return cache->texts[at];
	if (cache->text_bytes + length > MA_NATIVE_TEXT_BYTES ||
	    !make_room((void **)&cache->texts, cache->text_count, &cache->text_room,
		       sizeof *cache->texts))
		return no_text;
	char *copy = ma_pool_text(&cache->pool, text);
	if (!copy || !ma_idmap_add(&cache->text_of_hash, hash, cache->text_count))
		return no_text;
	cache->text_bytes += length;
	cache->texts[cache->text_count++] = copy;
	return copy;
}

static void keep_place(struct ma_native_cache *cache, struct ma_native_place *place,
		       const struct ma_symbol_place *found)
{
	struct ma_native_line *lines =
		found->count ? ma_pool_alloc(&cache->pool, found->count, sizeof *lines) : NULL;
	for (uint32_t i = 0; lines && i < found->count; i++) {
		const struct ma_symbol_line *from = &found->line[i];
		struct ma_native_line *line = &lines[place->count];
		if (!from->function)
			continue;
		*line = (struct ma_native_line){
			.function = keep_text(cache, found->text + from->function),
			.linkage = keep_text(cache, found->text + (from->linkage ? from->linkage
										 : from->function)),
			.file = keep_text(cache, found->text + from->file),
			.line = from->line > 0 ? from->line : 0,
			.first_line = from->first_line > 0 ? from->first_line : 0,
		};
		if (line->function[0])
			place->count++;
	}
	place->line = lines;
}

static void take_fetched(struct ma_symbol_fetched *sum, const struct ma_symbol_fetched *more)
{
	sum->asked += more->asked;
	sum->failed += more->failed;
	if (more->failed)
		memcpy(sum->answer, more->answer, sizeof sum->answer);
}

static void note_lost(struct ma_native_cache *cache, const struct ma_symbol_job *job)
{
	for (uint32_t i = 0; i < cache->lost_count; i++)
		if (cache->lost[i].what == job->lost && strcmp(cache->lost[i].path, job->path) == 0)
			return;
	char *path =
		cache->lost_count < MA_NATIVE_LOST ? ma_pool_text(&cache->pool, job->path) : NULL;
	if (path)
		cache->lost[cache->lost_count++] = (struct ma_native_lost){path, job->lost};
}

void ma_native_cache_take(struct ma_native_cache *cache)
{
	struct ma_symbol_job *job;
	for (int i = 0;
	     i < JOBS_AT_A_TIME && cache->started && (job = ma_symbol_worker_take(&cache->worker));
	     i++) {
		for (uint32_t j = 0; j < job->count; j++) {
			bool is_new;
			uint32_t at =
				ma_native_cache_place(cache, job->file, job->address[j], &is_new);
			if (at == MA_NATIVE_NONE || cache->places[at].known)
				continue;
			if (job->place[j])
				keep_place(cache, &cache->places[at], job->place[j]);
			ma_native_cache_give_up(cache, at);
		}
		take_fetched(&cache->fetched, &job->fetched);
		if (job->lost != MA_SYMBOL_LOST_NOTHING)
			note_lost(cache, job);
		ma_symbol_job_destroy(job);
		cache->jobs--;
	}
}

bool ma_native_cache_has_room(const struct ma_native_cache *cache)
{
	return cache->jobs < JOBS_MAX;
}
