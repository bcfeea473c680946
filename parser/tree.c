// Serialises PostgreSQL's raw parse tree as libpg_query's protobuf messages.
//
// libpg_query does that itself, by way of protobuf-c's structs, which costs
// several times what the parse does. This writer goes over the raw tree once,
// from the last field to the first, and writes the bytes from the end of the
// buffer to its beginning: so the length of a message is known when it is
// needed. The bytes are the same; parser/tree_test.go compares them.
//
// The structs' layout is in tree_layout.h, as facts: libpg_query's headers are
// not in reach of another package. Its internal functions are declared weak, so
// that this package links by itself too; without them, or with a node that the
// table lacks, the caller uses libpg_query's own way.

#if defined(__linux__) && defined(__LP64__) && __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "tree.h"

typedef enum {
	F_INT, F_UINT, F_UINT64, F_LONG, F_FLOAT, F_BOOL, F_CHAR, F_STRING, F_ENUM, F_LIST, F_BITMAPSET,
	F_NODE_PTR, F_SPECIFIC_NODE, F_SPECIFIC_NODE_PTR, F_VALUE_PTR,
} field_kind;

typedef enum {
	NODE_NONE, NODE_MESSAGE, NODE_INTEGER, NODE_FLOAT, NODE_BOOLEAN, NODE_STRING, NODE_BITSTRING, NODE_LIST, NODE_A_CONST,
} node_kind;

// field is one field of a message: its number in protobuf, where it is in the
// struct, its size there, and the enum's values or the message's number.
typedef struct {
	uint16_t number;
	uint8_t kind;
	uint16_t offset;
	uint8_t size;
	uint16_t detail;
	const uint8_t *values;
} field;

typedef struct { uint16_t first, count; } message;

// node says what a node of a tag becomes: the field of Node, and the message.
typedef struct { uint16_t number; uint8_t kind; uint16_t message; } node;

#include "tree_layout.h"

typedef struct {
	void *tree;
	char *stderr_buffer;
	void *error;
} raw_parse;

extern raw_parse pg_query_raw_parse(const char *, int) __attribute__((weak));
extern void pg_query_free_error(void *) __attribute__((weak));
extern void *pg_query_enter_memory_context(void) __attribute__((weak));
extern void pg_query_exit_memory_context(void *) __attribute__((weak));

// max_depth bounds the recursion. The guard has bounded the tree before, far
// below.
enum { max_depth = 8000 };

// writer fills a buffer from its end.
typedef struct {
	uint8_t *start, *at, *end;
	bool owned; // start was allocated here
	bool failed;
	int depth;
} writer;

static bool room(writer *w, size_t n) {
	size_t used, size;
	uint8_t *bigger;
	if ((size_t)(w->at - w->start) >= n)
		return true;
	if (w->failed)
		return false;
	used = w->end - w->at;
	size = 2 * (w->end - w->start) + n;
	bigger = malloc(size);
	if (bigger == NULL) {
		w->failed = true;
		return false;
	}
	memcpy(bigger + size - used, w->at, used);
	if (w->owned)
		free(w->start);
	w->owned = true;
	w->start = bigger;
	w->end = bigger + size;
	w->at = w->end - used;
	return true;
}

static void varint(writer *w, uint64_t v) {
	uint8_t b[10];
	int n = 0;
	if (v < 0x80) {
		if (room(w, 1))
			*--w->at = (uint8_t)v;
		return;
	}
	do {
		b[n++] = (uint8_t)(v & 0x7f) | (v > 0x7f ? 0x80 : 0);
		v >>= 7;
	} while (v != 0);
	if (!room(w, n))
		return;
	w->at -= n;
	memcpy(w->at, b, n);
}

enum { wire_varint = 0, wire_bytes = 2 };

static void integer(writer *w, int number, uint64_t v) {
	if (v == 0)
		return; // proto3: the default is left out
	varint(w, v);
	varint(w, (uint64_t)number << 3 | wire_varint);
}

static void bytes(writer *w, int number, const char *s, size_t n) {
	if (!room(w, n))
		return;
	w->at -= n;
	memcpy(w->at, s, n);
	varint(w, n);
	varint(w, (uint64_t)number << 3 | wire_bytes);
}

static void text(writer *w, int number, const char *s) {
	if (s != NULL && *s != 0)
		bytes(w, number, s, strlen(s));
}

// close_message writes the length of a message that ends at end, counted from
// the end of the buffer, and its tag.
static void close_message(writer *w, int number, size_t end) {
	varint(w, (size_t)(w->end - w->at) - end);
	varint(w, (uint64_t)number << 3 | wire_bytes);
}

static size_t mark(writer *w) { return w->end - w->at; }

static void write_fields(writer *w, const message *m, const char *struct_);
static void write_node(writer *w, int number, const char *obj);

static void write_value(writer *w, int kind, const char *obj) {
	switch (kind) {
	case NODE_INTEGER:
		integer(w, 1, (uint64_t)(int64_t) * (const int32_t *)(obj + L_OFFSETOF_INTEGER_IVAL));
		break;
	case NODE_FLOAT:
		text(w, 1, *(char *const *)(obj + L_OFFSETOF_FLOAT_FVAL));
		break;
	case NODE_BOOLEAN:
		integer(w, 1, *(const bool *)(obj + L_OFFSETOF_BOOLEAN_BOOLVAL));
		break;
	case NODE_STRING:
		text(w, 1, *(char *const *)(obj + L_OFFSETOF_STRING_SVAL));
		break;
	case NODE_BITSTRING:
		text(w, 1, *(char *const *)(obj + L_OFFSETOF_BITSTRING_BSVAL));
		break;
	default:
		w->failed = true;
	}
}

static void write_list(writer *w, int number, const char *list) {
	int n = *(const int *)(list + L_OFFSETOF_LIST_LENGTH);
	char *const *elements = *(char *const *const *)(list + L_OFFSETOF_LIST_ELEMENTS);
	if (*(const uint32_t *)list != L_T_LIST) {
		w->failed = true; // a list of integers: the grammar makes none
		return;
	}
	while (n-- > 0)
		write_node(w, number, elements[n]);
}

static void write_constant(writer *w, const char *obj) {
	const char *value = obj + L_OFFSETOF_A_CONST_VAL;
	size_t end;
	integer(w, 11, (uint64_t)(int64_t) * (const int32_t *)(obj + L_OFFSETOF_A_CONST_LOCATION));
	integer(w, 10, *(const bool *)(obj + L_OFFSETOF_A_CONST_ISNULL));
	if (*(const bool *)(obj + L_OFFSETOF_A_CONST_ISNULL))
		return;
	end = mark(w);
	switch (*(const uint32_t *)value) {
	case L_T_INTEGER:
		write_value(w, NODE_INTEGER, value);
		close_message(w, 1, end);
		break;
	case L_T_FLOAT:
		write_value(w, NODE_FLOAT, value);
		close_message(w, 2, end);
		break;
	case L_T_BOOLEAN:
		write_value(w, NODE_BOOLEAN, value);
		close_message(w, 3, end);
		break;
	case L_T_STRING:
		write_value(w, NODE_STRING, value);
		close_message(w, 4, end);
		break;
	case L_T_BITSTRING:
		write_value(w, NODE_BITSTRING, value);
		close_message(w, 5, end);
		break;
	default:
		w->failed = true;
	}
}

// write_node writes a Node as a field of that number.
static void write_node(writer *w, int number, const char *obj) {
	size_t outer = mark(w);
	if (w->failed)
		return;
	if (++w->depth > max_depth) {
		w->failed = true;
		return;
	}
	if (obj != NULL) {
		uint32_t tag = *(const uint32_t *)obj;
		const node *n;
		if (tag >= sizeof nodes / sizeof *nodes || nodes[tag].kind == NODE_NONE) {
			w->failed = true;
			return;
		}
		n = &nodes[tag];
		switch (n->kind) {
		case NODE_MESSAGE:
			write_fields(w, &messages[n->message], obj);
			break;
		case NODE_LIST:
			write_list(w, 1, obj);
			break;
		case NODE_A_CONST:
			write_constant(w, obj);
			break;
		default:
			write_value(w, n->kind, obj);
		}
		close_message(w, n->number, outer);
	}
	close_message(w, number, outer);
	w->depth--;
}

// number_at reads an integer of the struct; enums and int are 4 bytes.
static int64_t number_at(writer *w, const field *f, const char *at) {
	switch (f->size) {
	case 1:
		return *(const int8_t *)at;
	case 2:
		return *(const int16_t *)at;
	case 4:
		return *(const int32_t *)at;
	case 8:
		return *(const int64_t *)at;
	}
	w->failed = true;
	return 0;
}

static uint64_t unsigned_at(writer *w, const field *f, const char *at) {
	int64_t v = number_at(w, f, at);
	return f->size == 8 ? (uint64_t)v : (uint64_t)v & ((1ULL << 8 * f->size) - 1);
}

static void write_fields(writer *w, const message *m, const char *struct_) {
	for (const field *f = &fields[m->first + m->count]; f-- > &fields[m->first] && !w->failed;) {
		const char *at = struct_ + f->offset;
		size_t end = mark(w);
		const char *pointed;
		int64_t v;
		switch (f->kind) {
		case F_INT:
		case F_LONG:
			integer(w, f->number, (uint64_t)number_at(w, f, at));
			break;
		case F_UINT:
			integer(w, f->number, unsigned_at(w, f, at) & 0xffffffff);
			break;
		case F_UINT64:
			integer(w, f->number, unsigned_at(w, f, at));
			break;
		case F_BOOL:
			integer(w, f->number, *(const bool *)at);
			break;
		case F_CHAR:
			if (*at != 0)
				bytes(w, f->number, at, 1);
			break;
		case F_STRING:
			text(w, f->number, *(char *const *)at);
			break;
		case F_ENUM:
			v = number_at(w, f, at);
			if (v < 0 || v >= f->detail || f->values[v] == 255)
				w->failed = true;
			else
				integer(w, f->number, f->values[v]);
			break;
		case F_LIST:
			pointed = *(char *const *)at;
			if (pointed != NULL)
				write_list(w, f->number, pointed);
			break;
		case F_NODE_PTR:
			pointed = *(char *const *)at;
			if (pointed != NULL)
				write_node(w, f->number, pointed);
			break;
		case F_SPECIFIC_NODE_PTR:
		case F_SPECIFIC_NODE:
			pointed = f->kind == F_SPECIFIC_NODE ? at : *(char *const *)at;
			if (pointed == NULL)
				break;
			if (++w->depth > max_depth) {
				w->failed = true;
				break;
			}
			write_fields(w, &messages[f->detail], pointed);
			close_message(w, f->number, end);
			w->depth--;
			break;
		case F_VALUE_PTR:
			pointed = *(char *const *)at;
			if (pointed != NULL) {
				write_value(w, f->detail, pointed);
				close_message(w, f->number, end);
			}
			break;
		case F_FLOAT: // of the planner
		case F_BITMAPSET:
			if (number_at(w, f, at) != 0)
				w->failed = true;
			break;
		}
	}
}

bulkhead_tree bulkhead_parse(const char *sql, size_t size, uint8_t *buffer, size_t room_) {
	bulkhead_tree result = {NULL, 0, false};
	writer w = {buffer, buffer + room_, buffer + room_, false, false, 0};
	raw_parse parsed;
	void *context;
	char *copy;
	if (!pg_query_raw_parse || !pg_query_free_error || !pg_query_enter_memory_context || !pg_query_exit_memory_context)
		return result;
	copy = malloc(size + 1);
	if (copy == NULL)
		return result;
	memcpy(copy, sql, size);
	copy[size] = 0;
	context = pg_query_enter_memory_context();
	parsed = pg_query_raw_parse(copy, 0);
	if (parsed.error != NULL) {
		pg_query_free_error(parsed.error);
		w.failed = true;
	} else if (parsed.tree != NULL) {
		const char *list = parsed.tree;
		char *const *statements = *(char *const *const *)(list + L_OFFSETOF_LIST_ELEMENTS);
		for (int n = *(const int *)(list + L_OFFSETOF_LIST_LENGTH); n-- > 0 && !w.failed;) {
			size_t end = mark(&w);
			write_fields(&w, &messages[L_RAW_STMT], statements[n]);
			close_message(&w, 2, end);
		}
	}
	if (!w.failed)
		integer(&w, 1, L_PG_VERSION_NUM);
	free(parsed.stderr_buffer);
	pg_query_exit_memory_context(context);
	free(copy);
	if (w.failed) {
		if (w.owned)
			free(w.start);
		return result;
	}
	result.size = w.end - w.at;
	result.ok = true;
	if (w.owned) {
		result.allocated = malloc(result.size);
		if (result.allocated == NULL)
			result.ok = false;
		else
			memcpy(result.allocated, w.at, result.size);
		free(w.start);
	}
	return result;
}

#else

#include "tree.h"

bulkhead_tree bulkhead_parse(const char *sql, size_t size, uint8_t *buffer, size_t room) {
	bulkhead_tree result = {0};
	return result;
}

#endif
