package parser

/*
#cgo noescape bulkhead_parse
#cgo nocallback bulkhead_parse
#include <stdlib.h>
#include "tree.h"
*/
import "C"

import (
	"bytes"
	"sync"
	"unsafe"

	cparser "github.com/pganalyze/pg_query_go/v5/parser"
)

//go:generate go run treelayout_gen.go

// treeBuffer is the size of a buffer for a tree; one that does not fit costs a
// copy.
const treeBuffer = 64 << 10

var treeBuffers = sync.Pool{New: func() any { return new([treeBuffer]byte) }}

// withTree parses a text that the guard has passed and calls use with the tree:
// a ParseResult message, valid during the call.
func withTree[T any](text string, use func(tree []byte) (T, error)) (result T, err error) {
	buffer := treeBuffers.Get().(*[treeBuffer]byte)
	defer treeBuffers.Put(buffer)
	if ownTrees() {
		if tree, ok, free := ownTree(text, buffer[:]); ok {
			defer free()
			return use(tree)
		}
	}
	tree, err := cparser.ParseToProtobuf(text)
	if err != nil {
		return result, err
	}
	return use(tree)
}

// ownTree parses a text; the tree is in buffer or in memory that free frees.
// ok is false for what must be left to libpg_query: errors, and whatever the
// writer does not know.
func ownTree(text string, buffer []byte) (tree []byte, ok bool, free func()) {
	r := C.bulkhead_parse((*C.char)(unsafe.Pointer(unsafe.StringData(text))), C.size_t(len(text)),
		(*C.uint8_t)(unsafe.Pointer(unsafe.SliceData(buffer))), C.size_t(len(buffer)))
	if !bool(r.ok) {
		return nil, false, nil
	}
	if r.allocated != nil {
		return unsafe.Slice((*byte)(unsafe.Pointer(r.allocated)), int(r.size)), true, func() { C.free(unsafe.Pointer(r.allocated)) }
	}
	return buffer[len(buffer)-int(r.size):], true, func() {}
}

// ownTrees reports whether the package's own writer gives the trees that
// libpg_query does. It is asked of a few statements, once: should another
// version of libpg_query lay out its structs in another way, the package goes
// on with libpg_query's writer.
var ownTrees = sync.OnceValue(func() bool {
	buffer := make([]byte, treeBuffer)
	for _, text := range treeSamples {
		want, err := cparser.ParseToProtobuf(text)
		if err != nil {
			return false
		}
		tree, ok, free := ownTree(text, buffer)
		if !ok {
			return false
		}
		same := bytes.Equal(tree, want)
		free()
		if !same {
			return false
		}
	}
	return true
})

// treeSamples hold the nodes of ordinary statements.
var treeSamples = []string{
	"SELECT a.b, *, -1, 1.5, 'x', true, NULL, B'1', $1, count(DISTINCT c) FILTER (WHERE d) OVER w, ARRAY[1, 2], (e)[1].f, CASE WHEN a THEN 1 ELSE 2 END " +
		"FROM ONLY s.t AS a (b, c) LEFT JOIN LATERAL (SELECT 1) x ON a.b = x.c, generate_series(1, 2) WITH ORDINALITY WHERE a IS NOT NULL AND NOT b OR c IN (1, 2) " +
		"AND d BETWEEN 1 AND 2 AND e::int8 LIKE 'f' COLLATE \"C\" AND EXISTS (SELECT 1) GROUP BY ROLLUP (a, b) HAVING count(*) > 1 WINDOW w AS (PARTITION BY a ORDER BY b DESC NULLS LAST) " +
		"ORDER BY 1 LIMIT 2 OFFSET 3 FOR UPDATE OF a SKIP LOCKED",
	"WITH RECURSIVE r AS (SELECT 1 UNION ALL SELECT 2) INSERT INTO s.t (a, b) VALUES (1, DEFAULT), ($1, now()) ON CONFLICT (a) WHERE b DO UPDATE SET a = excluded.a RETURNING *",
	"UPDATE t SET (a, b) = (SELECT 1, 2), c = 3 FROM u WHERE CURRENT OF d", "DELETE FROM t USING u WHERE t.a = u.a RETURNING t.a",
	"MERGE INTO t USING u ON t.a = u.a WHEN MATCHED THEN UPDATE SET b = 1 WHEN NOT MATCHED THEN INSERT (a) VALUES (1)",
	"BEGIN ISOLATION LEVEL SERIALIZABLE; SAVEPOINT a; COMMIT AND CHAIN", "SET LOCAL a.b = 'c', d", "RESET ALL", "COPY t (a) FROM STDIN WITH (FORMAT csv, HEADER)",
	"CREATE TABLE t (a int PRIMARY KEY DEFAULT 1, b text REFERENCES u (c) ON DELETE CASCADE, CHECK (a > 0)) PARTITION BY RANGE (a)",
	"ALTER TABLE t ADD COLUMN a int, ENABLE ROW LEVEL SECURITY", "CREATE POLICY p ON t FOR ALL TO public USING (a = 1)", "GRANT SELECT (a) ON t TO u WITH GRANT OPTION",
	"CREATE FUNCTION f(a int DEFAULT 1) RETURNS SETOF t LANGUAGE sql AS 'SELECT 1'", "DO $$ BEGIN END $$", "FETCH BACKWARD 5 FROM c", "EXPLAIN (ANALYZE, COSTS off) SELECT 1", "",
}
