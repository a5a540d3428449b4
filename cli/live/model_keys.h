/* SPDX-License-Identifier: MIT */
/* What the parts of the model share; see model.h. */
#ifndef MA_CLI_LIVE_MODEL_KEYS_H
#define MA_CLI_LIVE_MODEL_KEYS_H

#include "cli/live/model.h"

/* Shows now again. */
void ma_model_thaw(struct ma_model *model);

/* Puts a key into a set, or takes it out. */
void ma_key_set_put(struct ma_key_set *set, uint64_t key, bool in);

/* model_flame.c: moves the pick among the cells of the latest answer; zooms to it, and back. */
void ma_model_flame_key(struct ma_model *model, enum ma_command_key command);

#endif
