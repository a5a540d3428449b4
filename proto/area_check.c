/* SPDX-License-Identifier: MIT */
/* Checked copies out of the shared area. */
#include "proto/area_check.h"

#include <stdbool.h>
#include <string.h>

#include "proto/copy_words.h"
#include "proto/unwind.h"

#define USER_END     (UINT64_C(1) << 47)          /* no address of an x86-64 program is above */
#define MAX_INTERVAL (UINT32_C(64) << 20)         /* bytes; see struct ma_control */
#define STACK_FLAGS  ((UINT32_C(1) << 7) - 1)     /* every bit of enum ma_stack_flag */
#define MIN_TSC_KHZ  (UINT32_C(100) * 1000)       /* 100 MHz */
#define MAX_TSC_KHZ  (UINT32_C(20) * 1000 * 1000) /* 20 GHz */

_Static_assert(sizeof(struct ma_area_ident) % 8 == 0, "copied word by word");
_Static_assert(sizeof(struct ma_code) % 8 == 0 && sizeof(struct ma_stack) % 8 == 0,
	       "copied word by word");

/* The same for a length that is no multiple of 8: the last word is loaded whole, stored in part. */
static void copy_bytes(void *to, const void *source, size_t bytes)
{
	const ma_word *from = source;
	size_t words = bytes / sizeof(uint64_t);
	size_t rest = bytes % sizeof(uint64_t);
	ma_copy_words(to, from, words);
	if (rest) {
		uint64_t value = __atomic_load_n(&from[words], __ATOMIC_RELAXED);
		memcpy((uint8_t *)to + words * sizeof value, &value, rest);
	}
}

/* A mean interval, with or without a window, a chance above 0, or 0. */
static bool is_rate(uint32_t rate)
{
	uint32_t interval = MA_RATE_INTERVAL(rate);
	if (rate & MA_RATE_CHANCE)
		return rate != MA_RATE_CHANCE;
	return interval <= MAX_INTERVAL && (interval || !MA_RATE_WINDOW(rate));
}

static bool is_string(const char *text, size_t bytes)
{
	return memchr(text, 0, bytes) != NULL;
}

static int bad_ident(struct ma_error *error, const char *reason)
{
	int code = ma_error_set(error, MA_ERR_PROTOCOL, 0, "reading the shared area's first page");
	ma_error_answer(error, "%s", reason);
	ma_error_remedy(error,
			"The target's memory is damaged, or another release of memattach made "
			"this area: detach with that release, then attach again.");
	return code;
}

/* Size classes in the one mode that has them: ascending, the last for all sizes. */
static bool has_size_rates(const struct ma_area_ident *ident)
{
	uint32_t count = ident->size_rate_count;
	uint64_t below = 0;
	if (ident->mode != MA_MODE_CLASSES)
		return count == 0;
	if (count == 0 || count > MA_SIZE_RATES)
		return false;
	for (uint32_t i = 0; i < count; i++) {
		const struct ma_size_rate *class = &ident->size_rates[i];
		if (class->below_bytes <= below || !is_rate(class->rate))
			return false;
		below = class->below_bytes;
	}
	return below == UINT64_MAX;
}

/* What is wrong with a copied first page, or NULL. */
static const char *ident_fault(const struct ma_area_ident *ident, uint64_t area_bytes)
{
	if (ident->magic != MA_AREA_MAGIC)
		return "it does not start with memattach's mark";
	if (ident->version != MA_AREA_VERSION)
		return "its layout is another version's";
	if (ident->area_bytes != area_bytes)
		return "it states another size than the file has";
	if (ident->mode == MA_MODE_SAMPLED || ident->mode == MA_MODE_CLASSES) {
		if (area_bytes != MA_AREA_SAMPLED_BYTES)
			return "its size is not that of sampled mode";
	} else if (ident->mode == MA_MODE_EXACT) {
		if (area_bytes < MA_AREA_EXACT_BYTES(0) || area_bytes % MA_PAGE_BYTES != 0 ||
		    ident->exact_heap_bytes != area_bytes - MA_AREA_EXACT_BYTES(0))
			return "its size is not that of exact mode";
	} else {
		return "its mode is none that there is";
	}
	if (!has_size_rates(ident))
		return "its size classes are none";
	if (ident->area_address % MA_PAGE_BYTES != 0 || ident->area_address >= USER_END)
		return "the address of its mapping is impossible";
	if (ident->python_version >> 24 != 3)
		return "its Python version is not 3";
	if (ident->tsc_khz < MIN_TSC_KHZ || ident->tsc_khz > MAX_TSC_KHZ)
		return "its clock rate is impossible";
	if (!is_string(ident->python_path, sizeof ident->python_path) ||
	    !is_string(ident->python_build_id, sizeof ident->python_build_id))
		return "a name in it has no end";
	return NULL;
}

int ma_area_check_ident(const struct ma_area *area, uint64_t area_bytes,
			struct ma_area_ident *ident, struct ma_error *error)
{
	memset(ident, 0, sizeof *ident);
	if (area_bytes < MA_AREA_SAMPLED_BYTES)
		return bad_ident(error, "the file is too small");
	ma_copy_words(ident, &area->ident, sizeof *ident / sizeof(uint64_t));
	const char *fault = ident_fault(ident, area_bytes);
	if (fault) {
		memset(ident, 0, sizeof *ident);
		return bad_ident(error, fault);
	}
	return 0;
}

static bool is_range(uint64_t address, uint64_t size_bytes)
{
	return address != 0 && size_bytes != 0 && address < USER_END &&
	       size_bytes <= USER_END - address;
}

static bool is_domain(uint32_t domain)
{
	return domain >= MA_DOMAIN_OBJECT && domain <= MA_DOMAIN_MMAP;
}

int ma_event_check(const struct ma_event *event)
{
	if (event->sequence == 0 || event->kind < MA_EVENT_ALLOC || event->kind > MA_EVENT_UNMAP)
		return MA_ERR_PROTOCOL;
	if (!is_range(event->address, event->size_bytes) || event->site >= MA_SITES ||
	    !is_domain(event->domain))
		return MA_ERR_PROTOCOL;
	bool region = event->kind == MA_EVENT_MAP || event->kind == MA_EVENT_UNMAP;
	if (!is_rate(event->rate) || (region && event->rate))
		return MA_ERR_PROTOCOL;
	return 0;
}

/* Does a record of `words` words at `id` lie within the used part of a log of `room` words? */
static bool in_log(uint64_t id, uint64_t words, uint64_t used, uint64_t room)
{
	return id != 0 && used <= room && id <= used && words <= used - id;
}

/* Native frames are in a module, and behind the Python ones. */
static bool is_frame(const uint64_t *frames, uint32_t i)
{
	if (MA_FRAME_IS_NATIVE(frames[i]))
		return MA_FRAME_NATIVE_MODULE(frames[i]) != 0;
	return i == 0 || !MA_FRAME_IS_NATIVE(frames[i - 1]);
}

int ma_stack_copy(const struct ma_tables *tables, uint32_t id, struct ma_stack *stack,
		  uint64_t frames[MA_MAX_FRAMES])
{
	uint64_t used = __atomic_load_n(&tables->stack_used, __ATOMIC_ACQUIRE);
	uint64_t head_words = sizeof *stack / sizeof(uint64_t);
	if (!in_log(id, head_words, used, MA_STACK_WORDS))
		return MA_ERR_PROTOCOL;
	struct ma_stack head;
	ma_copy_words(&head, &tables->stack_log[id], head_words);
	if (head.frame_count > MA_MAX_FRAMES || head.flags > STACK_FLAGS)
		return MA_ERR_PROTOCOL;
	if (!in_log(id, head_words + head.frame_count, used, MA_STACK_WORDS))
		return MA_ERR_PROTOCOL;
	ma_copy_words(frames, &tables->stack_log[id + head_words], head.frame_count);
	for (uint32_t i = 0; i < head.frame_count; i++)
		if (!is_frame(frames, i))
			return MA_ERR_PROTOCOL;
	*stack = head;
	return 0;
}

void ma_stack_keep_python(struct ma_stack *stack, uint64_t frames[MA_MAX_FRAMES])
{
	uint32_t kept = 0;
	while (kept < stack->frame_count && !MA_FRAME_IS_NATIVE(frames[kept]))
		frames[kept++] &= ~MA_FRAME_ENTRY;
	stack->frame_count = kept;
}

int ma_site_copy(const struct ma_tables *tables, uint32_t id, struct ma_site *site)
{
	uint32_t count = __atomic_load_n(&tables->site_count, __ATOMIC_ACQUIRE);
	if (id == 0 || id >= MA_SITES || id > count || count >= MA_SITES)
		return MA_ERR_PROTOCOL;
	struct ma_site copy;
	ma_copy_words(&copy, &tables->sites[id], sizeof copy / sizeof(uint64_t));
	if (!is_domain(copy.domain))
		return MA_ERR_PROTOCOL;
	if (copy.thread >= MA_THREAD_SLOTS || copy.flags > STACK_FLAGS ||
	    copy.stack >= MA_STACK_WORDS)
		return MA_ERR_PROTOCOL;
	*site = copy;
	return 0;
}

static bool is_kind(uint8_t kind)
{
	return kind == 1 || kind == 2 || kind == 4;
}

int64_t ma_code_copy(const struct ma_tables *tables, uint32_t id, void *buffer, size_t bytes)
{
	uint64_t used = __atomic_load_n(&tables->code_used, __ATOMIC_ACQUIRE);
	uint64_t head_words = sizeof(struct ma_code) / sizeof(uint64_t);
	if (!in_log(id, head_words, used, MA_CODE_WORDS))
		return MA_ERR_PROTOCOL;
	struct ma_code head;
	ma_copy_words(&head, &tables->code_log[id], head_words);
	if (!in_log(id, head.words, used, MA_CODE_WORDS))
		return MA_ERR_PROTOCOL;
	if (!is_kind(head.name_kind) || !is_kind(head.filename_kind) || head.cut > 1)
		return MA_ERR_PROTOCOL;
	if (head.name_bytes % head.name_kind != 0 || head.filename_bytes % head.filename_kind != 0)
		return MA_ERR_PROTOCOL;
	if (head.linetable_bytes > head.linetable_total_bytes)
		return MA_ERR_PROTOCOL;
	uint64_t data_bytes =
		(uint64_t)head.name_bytes + head.filename_bytes + head.linetable_bytes;
	uint64_t total_bytes = sizeof head + data_bytes;
	if (total_bytes > head.words * sizeof(uint64_t) || total_bytes > bytes)
		return MA_ERR_PROTOCOL;
	memcpy(buffer, &head, sizeof head);
	copy_bytes((uint8_t *)buffer + sizeof head, &tables->code_log[id + head_words], data_bytes);
	return (int64_t)total_bytes;
}

int ma_live_copy(const struct ma_live *live, uint32_t bucket, int way, uint64_t *address,
		 struct ma_live_entry *entry)
{
	if (bucket >= MA_LIVE_BUCKETS || way < 0 || way >= MA_LIVE_WAYS)
		return 0;
	const uint64_t *slot = &live->address[bucket][way];
	uint64_t found = __atomic_load_n(slot, __ATOMIC_ACQUIRE);
	if (found == 0 || found == MA_LIVE_BUSY)
		return 0;
	struct ma_live_entry copy;
	ma_copy_words(&copy, &live->entry[bucket][way], sizeof copy / sizeof(uint64_t));
	/* The payload belongs to the address only if that was still there afterwards. */
	__atomic_thread_fence(__ATOMIC_ACQUIRE);
	if (__atomic_load_n(slot, __ATOMIC_RELAXED) != found)
		return 0;
	if (!is_range(found, copy.size_bytes) || copy.site >= MA_SITES || !is_rate(copy.rate) ||
	    !is_domain(copy.domain))
		return 0;
	*address = found;
	*entry = copy;
	return 1;
}
