/* SPDX-License-Identifier: MIT */
/* See size_classes.h. */
#include "cli/size_classes.h"

#include <stdlib.h>
#include <string.h>

#include "cli/quantity.h"
#include "proto/size_rates.h"

enum { WORD = 40 };

struct classes {
	struct ma_size_rate *rates;
	uint32_t count;
	struct ma_error *error;
};

static int refuse(struct ma_error *error, const char *answer, const char *word)
{
	ma_error_set(error, MA_ERR_USAGE, 0, "reading the size classes");
	ma_error_answer(error, answer, word);
	return MA_ERR_USAGE;
}

static int no_classes(struct ma_error *error)
{
	return refuse(error, "expected sizes with their chances in braces, as in %s",
		      "'{128: 1e-4, 8192: 0.1}'");
}

/* Copies text[0 .. length) without the spaces around it. NULL when there is nothing, or too much.
 */
static char *word_of(char word[WORD], const char *text, size_t length)
{
	while (length && *text == ' ') {
		text++;
		length--;
	}
	while (length && text[length - 1] == ' ')
		length--;
	if (!length || length >= WORD)
		return NULL;
	memcpy(word, text, length);
	word[length] = 0;
	return word;
}

/* A number between MA_SIZE_RATE_LEAST and 1, or a percentage. */
static int read_chance(const char *word, double *chance, struct ma_error *error)
{
	char *end;
	*chance = strtod(word, &end);
	while (*end == ' ')
		end++;
	if (strcmp(end, "%") == 0) {
		*chance /= 100;
		end++;
	}
	if (*end || !strchr("0123456789.", word[0]) || word[1] == 'x' ||
	    !(*chance >= MA_SIZE_RATE_LEAST && *chance <= 1))
		return refuse(error, "'%.40s' is no chance: use a number from 1e-6 to 1", word);
	return 0;
}

/* Puts a class into its place. */
static int add_class(struct classes *classes, const char *size_word, uint64_t below_bytes,
		     double chance)
{
	uint32_t at = classes->count;
	if (classes->count == MA_SIZE_RATES - 1)
		return refuse(classes->error, "at most seven size classes%s", "");
	while (at && classes->rates[at - 1].below_bytes > below_bytes)
		at--;
	if (at && classes->rates[at - 1].below_bytes == below_bytes)
		return refuse(classes->error, "the size %.40s is there twice", size_word);
	memmove(&classes->rates[at + 1], &classes->rates[at],
		(classes->count - at) * sizeof classes->rates[0]);
	classes->rates[at] = ma_size_rate_make(below_bytes, chance);
	classes->count++;
	return 0;
}

/* "128: 1e-4" */
static int read_class(struct classes *classes, const char *text, size_t length)
{
	char size_word[WORD], chance_word[WORD];
	const char *colon = memchr(text, ':', length);
	uint64_t below_bytes;
	double chance;
	if (!colon || !word_of(size_word, text, (size_t)(colon - text)) ||
	    !word_of(chance_word, colon + 1, length - (size_t)(colon - text) - 1))
		return no_classes(classes->error);
	int code = ma_quantity_size(size_word, &below_bytes, classes->error);
	if (code)
		return refuse(classes->error,
			      "'%.40s' is no size: use a number of bytes, as in 128 "
			      "or 8KiB",
			      size_word);
	code = read_chance(chance_word, &chance, classes->error);
	return code ? code : add_class(classes, size_word, below_bytes, chance);
}

int ma_size_classes_parse(const char *string, struct ma_size_rate rates[MA_SIZE_RATES],
			  uint32_t *count, struct ma_error *error)
{
	struct classes classes = {.rates = rates, .error = error};
	size_t length = strlen(string);
	while (length && string[length - 1] == ' ')
		length--;
	if (length < 2 || string[0] != '{' || string[length - 1] != '}')
		return no_classes(error);
	const char *at = string + 1, *end = string + length - 1;
	while (at < end) {
		const char *comma = memchr(at, ',', (size_t)(end - at));
		const char *stop = comma ? comma : end;
		int code = read_class(&classes, at, (size_t)(stop - at));
		if (code)
			return code;
		at = comma ? comma + 1 : end;
		/* A comma behind the last class is fine in Python. */
		if (at + strspn(at, " ") >= end)
			break;
	}
	if (!classes.count)
		return no_classes(error);
	rates[classes.count] = ma_size_rate_make(UINT64_MAX, 1);
	*count = classes.count + 1;
	return 0;
}

void ma_size_classes_write(struct ma_text *text, Memattach__SizeRate *const *rates, size_t count)
{
	ma_text_add(text, "{");
	for (size_t i = 0; i < count; i++)
		ma_text_addf(text, "%s%llu: %.4g", i ? ", " : "",
			     (unsigned long long)rates[i]->below_bytes, rates[i]->chance);
	ma_text_add(text, "}");
}

void ma_size_classes_json(struct ma_json *json, Memattach__SizeRate *const *rates, size_t count)
{
	ma_json_begin_array(json, "size_classes");
	for (size_t i = 0; i < count; i++) {
		ma_json_begin_object(json, NULL);
		ma_json_unsigned(json, "below_bytes", rates[i]->below_bytes);
		ma_json_real(json, "chance", rates[i]->chance);
		ma_json_end_object(json);
	}
	ma_json_end_array(json);
}
