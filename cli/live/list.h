/* SPDX-License-Identifier: MIT */
/*
 * A list of which only a page is known: which row is picked, and which part is on the screen. A row
 * that was picked stays picked when the order changes (it is known by its key), except at the very
 * top, where people watch whatever is largest. Pure functions.
 */
#ifndef MA_CLI_LIVE_LIST_H
#define MA_CLI_LIVE_LIST_H

#include <stdbool.h>
#include <stdint.h>

/* Zero-initialise, then use. Ranks are from 0. */
struct ma_list {
	uint64_t key; /* of the picked row; 0: whichever has the rank */
	uint32_t rank;
	uint32_t top;   /* first row on the screen */
	uint32_t count; /* rows there are */
	uint32_t page;  /* rows on the screen */
	bool held;      /* a row was picked; false: the pick stays at the top */
};

/* What rows an answer has: `row_count` of them from `first` on, of `count` in all. */
struct ma_list_answer {
	uint32_t first;
	uint32_t row_count;
	uint32_t count;
	uint32_t selected_rank; /* + 1, of the key that was asked about; 0: it is gone */
	const uint64_t *keys;   /* of the rows; borrowed */
};

/* Moves the pick by so many rows; past the ends it stays there. */
void ma_list_move(struct ma_list *list, int64_t rows);
void ma_list_home(struct ma_list *list);
void ma_list_end(struct ma_list *list);

/* Picks a row. */
void ma_list_pick(struct ma_list *list, uint32_t rank, uint64_t key);

/* Moves the part on the screen without a change of the pick, as far as that stays visible. */
void ma_list_scroll(struct ma_list *list, int64_t rows);

/* Takes an answer in. asked_key: the key that it was asked about. Returns whether other rows are
 * needed to fill the screen. */
bool ma_list_take(struct ma_list *list, const struct ma_list_answer *answer, uint64_t asked_key);

/* Rows to ask for: the page, and as much again on either side, for moves that need no question. */
void ma_list_wanted(const struct ma_list *list, uint32_t *offset, uint32_t *limit);

#endif
