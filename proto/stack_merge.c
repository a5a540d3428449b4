/* SPDX-License-Identifier: MIT */
#include "proto/stack_merge.h"

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

/* Names up to the first '(' or '.', as a demangler or a compiler writes them. */
static const char *const allocators[] = {
	"malloc",
	"calloc",
	"realloc",
	"reallocarray",
	"posix_memalign",
	"aligned_alloc",
	"memalign",
	"operator new",
	"operator new[]",
	"PyMem_RawMalloc",
	"PyMem_RawCalloc",
	"PyMem_RawRealloc",
	"PyMem_Malloc",
	"PyMem_Calloc",
	"PyMem_Realloc",
	"PyObject_Malloc",
	"PyObject_Calloc",
	"PyObject_Realloc",
	"_PyMem_RawMalloc",
	"_PyMem_RawCalloc",
	"_PyMem_RawRealloc",
	"_PyObject_Malloc",
	"_PyObject_Calloc",
	"_PyObject_Realloc",
	"_PyMem_DebugRawMalloc",
	"_PyMem_DebugRawCalloc",
	"_PyMem_DebugRawRealloc",
	"_PyMem_DebugRawAlloc",
	"_PyMem_DebugMalloc",
	"_PyMem_DebugCalloc",
	"_PyMem_DebugRealloc",
	"__rust_alloc",
	"__rust_alloc_zeroed",
	"__rust_realloc",
	"__rdl_alloc",
	"__rdl_alloc_zeroed",
	"__rdl_realloc",
};

bool ma_stack_is_allocator(const char *function)
{
	size_t length = function ? strcspn(function, "(.@") : 0;

	for (size_t i = 0; length && i < sizeof(allocators) / sizeof(allocators[0]); i++)
		if (strlen(allocators[i]) == length && !memcmp(allocators[i], function, length))
			return true;
	return false;
}

/* A merge under way. */
struct merging {
	const uint8_t *mark; /* of the Python frames */
	uint32_t pythons;
	uint32_t next; /* Python frame */
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

	while (merging->next < merging->pythons && !last) {
		last = merging->mark[merging->next] & MA_PYTHON_ENTRY;
		if (!(merging->mark[merging->next] & MA_PYTHON_HIDDEN))
			add(merging, true, merging->next);
		merging->next++;
	}
}

static void add_rest(struct merging *merging)
{
	while (merging->next < merging->pythons)
		add_call(merging);
}

struct ma_merge ma_stack_merge(const enum ma_native_role *role, uint32_t natives, bool complete,
			       const uint8_t *mark, uint32_t pythons, struct ma_merged *merged)
{
	struct merging merging = {.mark = mark, .pythons = pythons, .merged = merged};
	uint32_t loops = 0, calls = 0, empty, seen = 0;
	bool lost;

	for (uint32_t i = 0; i < natives; i++)
		loops += role[i] == MA_NATIVE_LOOP;
	for (uint32_t i = 0; i < pythons; i++)
		calls += mark[i] & MA_PYTHON_ENTRY ? 1 : 0;
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
