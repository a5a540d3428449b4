/* SPDX-License-Identifier: MIT */
#include "inject/stack_merge.h"

#include <string.h>

/* Functions by the names of CPython's sources; what compilers append (.cold, .isra.0) is cut off.
 */
static const struct {
	const char *name;
	enum ma_native_role role;
} functions[] = {
	{"_PyEval_EvalFrameDefault", MA_NATIVE_LOOP},
	{"_PyEval_EvalFrame", MA_NATIVE_GLUE},
	{"PyEval_EvalFrame", MA_NATIVE_GLUE},
	{"PyEval_EvalFrameEx", MA_NATIVE_GLUE},
	{"_PyEval_EvalCode", MA_NATIVE_GLUE},
	{"_PyEval_EvalCodeWithName", MA_NATIVE_GLUE},
	{"PyEval_EvalCode", MA_NATIVE_GLUE},
	{"PyEval_EvalCodeEx", MA_NATIVE_GLUE},
	{"_PyEval_Vector", MA_NATIVE_GLUE},
	{"_PyFunction_Vectorcall", MA_NATIVE_GLUE},
	{"_PyFunction_FastCallDict", MA_NATIVE_GLUE},
	{"function_code_fastcall", MA_NATIVE_GLUE},
	{"call_function", MA_NATIVE_GLUE},
	{"do_call_core", MA_NATIVE_GLUE},
	{"_PyObject_Vectorcall", MA_NATIVE_GLUE},
	{"_PyObject_VectorcallTstate", MA_NATIVE_GLUE},
	{"PyObject_Vectorcall", MA_NATIVE_GLUE},
	{"PyObject_VectorcallMethod", MA_NATIVE_GLUE},
	{"_PyObject_MakeTpCall", MA_NATIVE_GLUE},
	{"_PyObject_Call", MA_NATIVE_GLUE},
	{"_PyObject_FastCall", MA_NATIVE_GLUE},
	{"_PyObject_FastCallDict", MA_NATIVE_GLUE},
	{"_PyObject_FastCallDictTstate", MA_NATIVE_GLUE},
	{"_PyObject_Call_Prepend", MA_NATIVE_GLUE},
	{"_PyObject_CallFunctionVa", MA_NATIVE_GLUE},
	{"_PyObject_CallMethodId", MA_NATIVE_GLUE},
	{"_PyVectorcall_Call", MA_NATIVE_GLUE},
	{"PyVectorcall_Call", MA_NATIVE_GLUE},
	{"PyObject_Call", MA_NATIVE_GLUE},
	{"PyObject_CallObject", MA_NATIVE_GLUE},
	{"PyObject_CallOneArg", MA_NATIVE_GLUE},
	{"PyObject_CallNoArgs", MA_NATIVE_GLUE},
	{"PyObject_CallFunction", MA_NATIVE_GLUE},
	{"PyObject_CallFunctionObjArgs", MA_NATIVE_GLUE},
	{"PyObject_CallMethod", MA_NATIVE_GLUE},
	{"PyObject_CallMethodObjArgs", MA_NATIVE_GLUE},
	{"object_vacall", MA_NATIVE_GLUE},
	{"method_vectorcall", MA_NATIVE_GLUE},
	{"method_call", MA_NATIVE_GLUE},
	{"method_vectorcall_NOARGS", MA_NATIVE_GLUE},
	{"method_vectorcall_O", MA_NATIVE_GLUE},
	{"method_vectorcall_VARARGS", MA_NATIVE_GLUE},
	{"method_vectorcall_VARARGS_KEYWORDS", MA_NATIVE_GLUE},
	{"method_vectorcall_FASTCALL", MA_NATIVE_GLUE},
	{"method_vectorcall_FASTCALL_KEYWORDS", MA_NATIVE_GLUE},
	{"cfunction_call", MA_NATIVE_GLUE},
	{"cfunction_call_varargs", MA_NATIVE_GLUE},
	{"cfunction_vectorcall_NOARGS", MA_NATIVE_GLUE},
	{"cfunction_vectorcall_O", MA_NATIVE_GLUE},
	{"cfunction_vectorcall_FASTCALL", MA_NATIVE_GLUE},
	{"cfunction_vectorcall_FASTCALL_KEYWORDS", MA_NATIVE_GLUE},
	{"_PyMethodDef_RawFastCallKeywords", MA_NATIVE_GLUE},
	{"_PyMethodDef_RawFastCallDict", MA_NATIVE_GLUE},
	{"_PyCFunction_FastCallDict", MA_NATIVE_GLUE},
	{"PyCFunction_Call", MA_NATIVE_GLUE},
};

/* The loop of 3.14 on may be built as one function for each instruction. */
static const char tail_call[] = "_TAIL_CALL_";

enum ma_native_role ma_stack_role(const char *function)
{
	size_t length;

	if (!function)
		return MA_NATIVE_NAMELESS;
	length = strcspn(function, ".");
	for (size_t i = 0; i < sizeof(functions) / sizeof(functions[0]); i++)
		if (strlen(functions[i].name) == length &&
		    !memcmp(functions[i].name, function, length))
			return functions[i].role;
	/* They are called by the loop's own function, which is the one that counts. */
	return strncmp(function, tail_call, sizeof(tail_call) - 1) ? MA_NATIVE_OTHER
								   : MA_NATIVE_GLUE;
}

/* A merge under way. */
struct merging {
	const struct ma_py_place *place;
	uint32_t places;
	uint32_t next; /* place */
	struct ma_merged *merged;
	struct ma_merge result;
};

static void add(struct merging *merging, bool python, uint32_t index)
{
	merging->merged[merging->result.count++] = (struct ma_merged){python, index};
}

/* Adds the frames of one call of the loop. */
static void add_call(struct merging *merging)
{
	bool last = false;

	while (merging->next < merging->places && !last) {
		const struct ma_py_place *place = &merging->place[merging->next];

		last = place->flags & MA_PY_PLACE_ENTRY;
		if (!(place->flags & MA_PY_PLACE_HIDDEN))
			add(merging, true, merging->next);
		merging->next++;
	}
}

static void add_rest(struct merging *merging)
{
	while (merging->next < merging->places)
		add_call(merging);
}

struct ma_merge ma_stack_merge(const enum ma_native_role *role, uint32_t natives, bool complete,
			       const struct ma_py_place *place, uint32_t places,
			       struct ma_merged *merged)
{
	struct merging merging = {.place = place, .places = places, .merged = merged};
	uint32_t loops = 0, calls = 0, empty, seen = 0;
	bool lost;

	for (uint32_t i = 0; i < natives; i++)
		loops += role[i] == MA_NATIVE_LOOP;
	for (uint32_t i = 0; i < places; i++)
		calls += place[i].flags & MA_PY_PLACE_ENTRY ? 1 : 0;
	/* A call that has just begun or is about to end has no frame: the innermost. */
	empty = complete && loops > calls ? loops - calls : 0;
	lost = complete && !loops && calls;
	merging.result.exact = complete ? loops == calls || empty == 1 : loops <= calls;
	for (uint32_t i = 0; i < natives; i++) {
		bool shown = role[i] == MA_NATIVE_OTHER ||
			     (role[i] == MA_NATIVE_NAMELESS && !lost && (!seen || seen == loops)) ||
			     (role[i] == MA_NATIVE_GLUE && !calls);

		/* The loop is one of the nameless ones, nobody knows which. */
		if (lost && role[i] != MA_NATIVE_OTHER)
			add_rest(&merging);
		if (role[i] == MA_NATIVE_LOOP && ++seen > empty)
			add_call(&merging);
		if (role[i] == MA_NATIVE_LOOP && seen == loops && complete)
			add_rest(&merging);
		if (shown)
			add(&merging, false, i);
		else
			merging.result.folded++;
	}
	add_rest(&merging);
	return merging.result;
}
