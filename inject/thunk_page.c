/* SPDX-License-Identifier: MIT */
/*
 * The thunk page carries everything that a later attach or detach needs to know, so it is the one
 * place where "are we in there already?" is answered.
 */
#include "inject/thunk_page.h"

#include <string.h>
#include <sys/mman.h>

int ma_thunk_page_find(const struct ma_target_memory *memory, const struct ma_maps *maps,
		       struct ma_thunk_page *page, struct ma_error *error)
{
	*page = (struct ma_thunk_page){0};
	const struct ma_map *code = ma_maps_find_memfd(maps, MA_THUNK_MEMFD, PROT_EXEC, 0);
	if (!code)
		return 0;
	/* The data page follows the code page; the kernel never merges the two, as they differ in
	 * protection. */
	const struct ma_map *data = code + 1;
	struct ma_thunk_data content;
	if (data >= maps->map + maps->count || data->start != code->end ||
	    !ma_map_same_file(code, data) || data->end - data->start < sizeof content) {
		ma_error_set(error, MA_ERR_PROTOCOL, 0, "looking for an earlier attach");
		ma_error_answer(error, "a mapping has our thunk page's name but not its form");
		return MA_ERR_PROTOCOL;
	}
	int result = ma_memory_read(memory, ma_raddr(data->start), &content, sizeof content, error);
	if (result)
		return result;
	if (content.magic != MA_THUNK_MAGIC) {
		ma_error_set(error, MA_ERR_PROTOCOL, 0, "looking for an earlier attach");
		ma_error_answer(error, "a mapping has our thunk page's name but not its content");
		return MA_ERR_PROTOCOL;
	}
	content.release[sizeof content.release - 1] = '\0';
	page->found = true;
	page->code = ma_raddr(code->start);
	page->data = ma_raddr(data->start);
	page->content = content;
	return 0;
}
