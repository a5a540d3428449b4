/* SPDX-License-Identifier: MIT */
/* Compiles by recursive descent; matches by following all ways through the program at once. See
 * pattern.h. */
#include "proto/pattern.h"

#include <stddef.h>
#include <string.h>

enum step_kind {
	STEP_SIGN,  /* value: a code point */
	STEP_ANY,   /* any code point */
	STEP_SET,   /* ranges next .. value - 1 */
	STEP_UNSET, /* none of them */
	STEP_FORK,  /* next and value */
	STEP_GO,    /* next */
	STEP_START, /* of the text */
	STEP_END,
	STEP_EDGE, /* between a word and none */
	STEP_NO_EDGE,
	STEP_MATCH,
};

enum {
	MAX_DEPTH = 64,    /* of parentheses */
	MAX_WORK = 20000,  /* parts read, repetitions counted: what x{m,n} in each other multiply */
	NO_BOUND = 0xffff, /* of x{2,} */
};

struct compiler {
	struct ma_pattern *pattern;
	const char *at;
	const char *reason; /* NULL while all is well */
	unsigned depth;
	unsigned work;
};

static uint32_t next_sign(const char **cursor)
{
	const unsigned char *s = (const unsigned char *)*cursor;
	unsigned extra = s[0] >= 0xf0 ? 3 : s[0] >= 0xe0 ? 2 : s[0] >= 0xc2 ? 1 : 0;
	uint32_t sign = extra == 3   ? s[0] & 0x07U
			: extra == 2 ? s[0] & 0x0fU
			: extra == 1 ? s[0] & 0x1fU
				     : s[0];
	for (unsigned i = 1; i <= extra; i++) {
		if ((s[i] & 0xc0) != 0x80) {
			*cursor += 1;
			return s[0];
		}
		sign = sign << 6 | (s[i] & 0x3fU);
	}
	*cursor += 1 + extra;
	return sign;
}

/* Small letters of Latin, Greek and Cyrillic; every other sign is its own. */
static uint32_t small(uint32_t sign)
{
	if ((sign >= 'A' && sign <= 'Z') || (sign >= 0xc0 && sign <= 0xde && sign != 0xd7) ||
	    (sign >= 0x391 && sign <= 0x3a9) || (sign >= 0x410 && sign <= 0x42f))
		return sign + 32;
	return sign >= 0x400 && sign <= 0x40f ? sign + 80 : sign;
}

static bool is_word(uint32_t sign)
{
	return sign == '_' || (sign >= '0' && sign <= '9') || (sign >= 'A' && sign <= 'Z') ||
	       (sign >= 'a' && sign <= 'z') || sign >= 0x80;
}

static bool fail(struct compiler *compiler, const char *reason)
{
	if (!compiler->reason)
		compiler->reason = reason;
	return false;
}

static uint16_t emit(struct compiler *compiler, enum step_kind kind, uint16_t next, uint32_t value)
{
	struct ma_pattern *pattern = compiler->pattern;
	if (pattern->step_count >= MA_PATTERN_STEPS) {
		fail(compiler, "the pattern is too large");
		return 0;
	}
	pattern->steps[pattern->step_count] = (struct ma_pattern_step){(uint16_t)kind, next, value};
	return pattern->step_count++;
}

static void add_range(struct compiler *compiler, uint32_t first, uint32_t last)
{
	struct ma_pattern *pattern = compiler->pattern;
	if (pattern->range_count >= MA_PATTERN_RANGES) {
		fail(compiler, "the pattern is too large");
		return;
	}
	pattern->ranges[pattern->range_count++] = (struct ma_pattern_range){first, last};
}

/* Adds the ranges of \d, \w or \s; false: `letter` stands for no class. */
static bool add_class(struct compiler *compiler, char letter)
{
	switch (letter) {
	case 'd':
		add_range(compiler, '0', '9');
		return true;
	case 'w':
		add_range(compiler, '0', '9');
		add_range(compiler, 'A', 'Z');
		add_range(compiler, '_', '_');
		add_range(compiler, 'a', 'z');
		add_range(compiler, 0x80, 0x10ffff);
		return true;
	case 's':
		add_range(compiler, '\t', '\r');
		add_range(compiler, ' ', ' ');
		return true;
	default:
		return false;
	}
}

/* A sign behind a backslash that begins no class. */
static uint32_t escaped_sign(struct compiler *compiler)
{
	uint32_t sign = next_sign(&compiler->at);
	sign = sign == 't' ? '\t' : sign == 'n' ? '\n' : sign == 'r' ? '\r' : sign;
	return compiler->pattern->either_case ? small(sign) : sign;
}

static bool read_escape(struct compiler *compiler)
{
	char letter = *compiler->at;
	uint16_t first = compiler->pattern->range_count;
	if (!letter)
		return fail(compiler, "nothing follows the last \\");
	if (letter == 'b' || letter == 'B') {
		compiler->at++;
		emit(compiler, letter == 'b' ? STEP_EDGE : STEP_NO_EDGE, 0, 0);
	} else if (add_class(compiler, letter)) {
		compiler->at++;
		emit(compiler, STEP_SET, first, compiler->pattern->range_count);
	} else if (strchr("DWS", letter)) {
		compiler->at++;
		add_class(compiler, (char)(letter + 32));
		emit(compiler, STEP_UNSET, first, compiler->pattern->range_count);
	} else {
		emit(compiler, STEP_SIGN, 0, escaped_sign(compiler));
	}
	return !compiler->reason;
}

/* One end of a range inside brackets; *is_class: it was a class instead, and is added. */
static uint32_t bracket_sign(struct compiler *compiler, bool *is_class)
{
	*is_class = false;
	if (*compiler->at != '\\' || !compiler->at[1])
		return next_sign(&compiler->at);
	compiler->at++;
	if (add_class(compiler, *compiler->at)) {
		compiler->at++;
		*is_class = true;
		return 0;
	}
	return escaped_sign(compiler);
}

/* Behind '[': up to its ']'. */
static bool read_brackets(struct compiler *compiler)
{
	uint16_t first = compiler->pattern->range_count;
	bool negated = *compiler->at == '^';
	compiler->at += negated;
	/* A ']' in the first place stands for itself. */
	for (bool begun = false; *compiler->at != ']' || !begun; begun = true) {
		bool is_class;
		if (!*compiler->at)
			return fail(compiler, "a ] is missing");
		uint32_t low = bracket_sign(compiler, &is_class), high = low;
		if (is_class)
			continue;
		if (compiler->at[0] == '-' && compiler->at[1] && compiler->at[1] != ']') {
			compiler->at++;
			high = bracket_sign(compiler, &is_class);
			if (is_class || high < low)
				return fail(compiler, "a range in [] runs backwards");
		}
		add_range(compiler, low, high);
		if (compiler->reason)
			return false;
	}
	compiler->at++;
	emit(compiler, negated ? STEP_UNSET : STEP_SET, first, compiler->pattern->range_count);
	return !compiler->reason;
}

static bool read_ways(struct compiler *compiler);

static bool read_group(struct compiler *compiler)
{
	if (++compiler->depth > MAX_DEPTH)
		return fail(compiler, "too many ( in each other");
	if (compiler->at[0] == '?' && compiler->at[1] == ':')
		compiler->at += 2;
	if (!read_ways(compiler))
		return false;
	if (*compiler->at != ')')
		return fail(compiler, "a ) is missing");
	compiler->at++;
	compiler->depth--;
	return true;
}

/* What a repetition may follow. */
static bool read_atom(struct compiler *compiler)
{
	char sign = *compiler->at;
	if (++compiler->work > MAX_WORK)
		return fail(compiler, "the pattern is too large");
	switch (sign) {
	case '*':
	case '+':
	case '?':
		return fail(compiler, "nothing stands before a * + or ?");
	case '(':
		compiler->at++;
		return read_group(compiler);
	case '[':
		compiler->at++;
		return read_brackets(compiler);
	case '\\':
		compiler->at++;
		return read_escape(compiler);
	case '.':
	case '^':
	case '$':
		compiler->at++;
		emit(compiler, sign == '.' ? STEP_ANY : sign == '^' ? STEP_START : STEP_END, 0, 0);
		return !compiler->reason;
	default:
		emit(compiler, STEP_SIGN, 0, next_sign(&compiler->at));
		return !compiler->reason;
	}
}

static bool read_number(const char **cursor, unsigned *number)
{
	if (**cursor < '0' || **cursor > '9')
		return false;
	for (*number = 0; **cursor >= '0' && **cursor <= '9'; ++*cursor)
		if (*number < NO_BOUND)
			*number = *number * 10 + (unsigned)(**cursor - '0');
	return true;
}

/* A repetition at the cursor, read into *least and *most. A { that begins none is a plain sign. */
static bool read_repeat(struct compiler *compiler, unsigned *least, unsigned *most)
{
	const char *at = compiler->at;
	switch (*at) {
	case '*':
	case '+':
	case '?':
		*least = *at == '+';
		*most = *at == '?' ? 1 : NO_BOUND;
		break;
	case '{':
		at++;
		if (!read_number(&at, least))
			return false;
		*most = *least;
		if (*at == ',') {
			at++;
			if (!read_number(&at, most))
				*most = NO_BOUND;
		}
		if (*at != '}')
			return false;
		break;
	default:
		return false;
	}
	compiler->at = at + 1;
	/* x*? finds the same places as x*. */
	if (*compiler->at == '?')
		compiler->at++;
	return true;
}

/* Reads the atom that begins at `source` once more. */
static bool again(struct compiler *compiler, const char *source)
{
	const char *kept = compiler->at;
	compiler->at = source;
	bool done = read_atom(compiler);
	compiler->at = kept;
	return done;
}

/* Turns the one copy of an atom (steps from `first` on) into `least` to `most` of them. */
static bool repeat(struct compiler *compiler, const char *source, uint16_t first, unsigned least,
		   unsigned most)
{
	struct ma_pattern *pattern = compiler->pattern;
	if ((most != NO_BOUND && most < least) || least > MA_PATTERN_REPEATS ||
	    (most != NO_BOUND && most > MA_PATTERN_REPEATS))
		return fail(compiler, "the numbers in {} are not in order, or too large");
	/* Begin anew: forks have to stand in front of what is optional. */
	pattern->step_count = first;
	uint16_t last = first;
	for (unsigned i = 0; i < least; i++) {
		last = pattern->step_count;
		if (!again(compiler, source))
			return false;
	}
	if (most == NO_BOUND && least) {
		/* The last copy may follow itself. */
		uint16_t fork = emit(compiler, STEP_FORK, last, 0);
		pattern->steps[fork].value = pattern->step_count;
	} else if (most == NO_BOUND) {
		uint16_t fork = emit(compiler, STEP_FORK, (uint16_t)(first + 1), 0);
		if (!again(compiler, source))
			return false;
		emit(compiler, STEP_GO, fork, 0);
		pattern->steps[fork].value = pattern->step_count;
	} else {
		for (unsigned i = least; i < most; i++) {
			uint16_t fork = emit(compiler, STEP_FORK, 0, 0);
			pattern->steps[fork].next = (uint16_t)(fork + 1);
			if (compiler->reason || !again(compiler, source))
				return false;
			pattern->steps[fork].value = pattern->step_count;
		}
	}
	return !compiler->reason;
}

/* Atoms in a row, up to | or ) or the end. */
static bool read_row(struct compiler *compiler)
{
	while (*compiler->at && *compiler->at != '|' && *compiler->at != ')') {
		const char *source = compiler->at;
		uint16_t first = compiler->pattern->step_count;
		unsigned least, most;
		if (!read_atom(compiler))
			return false;
		if (!read_repeat(compiler, &least, &most))
			continue;
		if (!repeat(compiler, source, first, least, most))
			return false;
		if (*compiler->at && strchr("*+?", *compiler->at))
			return fail(compiler, "a * + or ? follows another");
	}
	return true;
}

/* Rows, with | between them. */
static bool read_ways(struct compiler *compiler)
{
	struct ma_pattern *pattern = compiler->pattern;
	uint16_t exits[MAX_DEPTH], exit_count = 0;
	for (;;) {
		/* Every row but the last has a fork in front; which one is the last shows later. */
		uint16_t fork = emit(compiler, STEP_FORK, 0, 0);
		pattern->steps[fork].next = (uint16_t)(fork + 1);
		pattern->steps[fork].value = (uint32_t)(fork + 1);
		if (compiler->reason || !read_row(compiler))
			return false;
		if (*compiler->at != '|')
			break;
		compiler->at++;
		if (exit_count == MAX_DEPTH)
			return fail(compiler, "too many |");
		exits[exit_count++] = emit(compiler, STEP_GO, 0, 0);
		pattern->steps[fork].value = pattern->step_count;
	}
	for (uint16_t i = 0; i < exit_count; i++)
		pattern->steps[exits[i]].next = pattern->step_count;
	return !compiler->reason;
}

static bool has_capital(const char *source)
{
	while (*source) {
		bool escaped = *source == '\\' && source[1];
		source += escaped;
		uint32_t sign = next_sign(&source);
		if (!escaped && small(sign) != sign)
			return true;
	}
	return false;
}

bool ma_pattern_compile(struct ma_pattern *pattern, const char *source, const char **reason)
{
	struct compiler compiler = {.pattern = pattern, .at = source};
	pattern->step_count = 0;
	pattern->range_count = 0;
	pattern->either_case = !has_capital(source);
	if (strlen(source) > MA_PATTERN_BYTES)
		fail(&compiler, "the pattern is too large");
	else if (read_ways(&compiler) && *compiler.at == ')')
		fail(&compiler, "a ( is missing");
	else
		emit(&compiler, STEP_MATCH, 0, 0);
	*reason = compiler.reason;
	return !compiler.reason;
}

/* Steps that wait for the next sign, each once. */
struct ways {
	uint16_t count;
	uint16_t steps[MA_PATTERN_STEPS];
	uint16_t marks[MA_PATTERN_STEPS]; /* round in which a step was last added */
};

/* Where in the text the ways are. */
struct place {
	bool at_start, at_end, at_edge;
};

static bool passes(uint16_t kind, const struct place *place)
{
	switch (kind) {
	case STEP_START:
		return place->at_start;
	case STEP_END:
		return place->at_end;
	case STEP_EDGE:
		return place->at_edge;
	case STEP_NO_EDGE:
		return !place->at_edge;
	default:
		return true;
	}
}

/* Follows forks and conditions from a step on. Returns whether the match was reached. */
static bool add_way(const struct ma_pattern *pattern, struct ways *ways, uint16_t round,
		    uint16_t from, const struct place *place)
{
	/* Each step is marked once, and puts at most two on the stack. */
	uint16_t stack[2 * MA_PATTERN_STEPS + 1];
	unsigned depth = 0;
	stack[depth++] = from;
	while (depth) {
		uint16_t at = stack[--depth];
		if (at >= pattern->step_count || ways->marks[at] == round)
			continue;
		ways->marks[at] = round;
		const struct ma_pattern_step *step = &pattern->steps[at];
		switch (step->kind) {
		case STEP_MATCH:
			return true;
		case STEP_FORK:
			stack[depth++] = (uint16_t)step->value;
			stack[depth++] = step->next;
			break;
		case STEP_GO:
			stack[depth++] = step->next;
			break;
		case STEP_START:
		case STEP_END:
		case STEP_EDGE:
		case STEP_NO_EDGE:
			if (passes(step->kind, place))
				stack[depth++] = (uint16_t)(at + 1);
			break;
		default:
			ways->steps[ways->count++] = at;
		}
	}
	return false;
}

static bool in_ranges(const struct ma_pattern *pattern, const struct ma_pattern_step *step,
		      uint32_t sign)
{
	for (uint32_t i = step->next; i < step->value; i++) {
		const struct ma_pattern_range *range = &pattern->ranges[i];
		if (sign >= range->first && sign <= range->last)
			return true;
	}
	return false;
}

static bool fits(const struct ma_pattern *pattern, const struct ma_pattern_step *step,
		 uint32_t sign)
{
	uint32_t folded = pattern->either_case ? small(sign) : sign;
	switch (step->kind) {
	case STEP_SIGN:
		return folded == step->value;
	case STEP_ANY:
		return true;
	case STEP_SET:
		return in_ranges(pattern, step, sign) || in_ranges(pattern, step, folded);
	case STEP_UNSET:
		return !in_ranges(pattern, step, sign) && !in_ranges(pattern, step, folded);
	default:
		return false;
	}
}

bool ma_pattern_matches(const struct ma_pattern *pattern, const char *text)
{
	struct ways lists[2];
	struct ways *now = &lists[0], *then = &lists[1];
	uint16_t round = 0;
	uint32_t before = 0;
	memset(now->marks, 0, sizeof now->marks);
	memset(then->marks, 0, sizeof then->marks);
	now->count = 0;
	for (const char *at = text;;) {
		const char *next = at;
		uint32_t sign = *at ? next_sign(&next) : 0;
		const struct place place = {at == text, !*at, is_word(before) != is_word(sign)};
		/* Marks are of a round; they are wiped when the rounds have been through. */
		if (++round == UINT16_MAX) {
			memset(lists[0].marks, 0, sizeof lists[0].marks);
			memset(lists[1].marks, 0, sizeof lists[1].marks);
			round = 1;
		}
		then->count = 0;
		for (uint16_t i = 0; i < now->count; i++)
			if (add_way(pattern, then, round, now->steps[i], &place))
				return true;
		if (add_way(pattern, then, round, 0, &place))
			return true;
		if (!*at)
			return false;
		now->count = 0;
		for (uint16_t i = 0; i < then->count; i++)
			if (fits(pattern, &pattern->steps[then->steps[i]], sign))
				now->steps[now->count++] = (uint16_t)(then->steps[i] + 1);
		before = sign;
		at = next;
	}
}
