#ifndef BULKHEAD_TREE_H
#define BULKHEAD_TREE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// bulkhead_tree is the outcome of bulkhead_parse: the tree is at the end of the
// caller's buffer, or in memory that the caller must free.
typedef struct {
	uint8_t *allocated;
	size_t size;
	bool ok; // false: libpg_query's own way must be used
} bulkhead_tree;

bulkhead_tree bulkhead_parse(const char *sql, size_t size, uint8_t *buffer, size_t room);

#endif
