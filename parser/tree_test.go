package parser

import (
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	cparser "github.com/pganalyze/pg_query_go/v5/parser"
)

// compareTree checks that both writers give the same bytes for a text.
func compareTree(t *testing.T, text string) {
	t.Helper()
	want, err := cparser.ParseToProtobuf(text)
	tree, ok, free := ownTree(text, make([]byte, 512))
	if !ok {
		if err == nil {
			t.Errorf("%q: the writer gives up", text)
		}
		return
	}
	defer free()
	if err != nil {
		t.Errorf("%q: the writer has a tree, libpg_query says %v", text, err)
		return
	}
	if !bytes.Equal(tree, want) {
		t.Errorf("%q:\ngot  %x\nwant %x", text, tree, want)
	}
}

func ownTreesHere() bool {
	return runtime.GOOS == "linux" && (runtime.GOARCH == "amd64" || runtime.GOARCH == "arm64")
}

// If this fails after another version of pg_query_go has come in, run go
// generate ./parser.
func TestOwnTrees(t *testing.T) {
	if !ownTreesHere() {
		t.Skip("libpg_query's own writer is used here")
	}
	for _, text := range treeSamples {
		compareTree(t, text)
	}
	if !ownTrees() {
		t.Error("the package does not use its own writer")
	}
}

// eachTestText calls visit for the statements of all test data.
func eachTestText(t testing.TB, visit func(text string)) {
	t.Helper()
	for text := range factCases() {
		visit(text)
	}
	for _, k := range killers() {
		visit(k.text(20))
	}
	err := filepath.WalkDir("..", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.Contains(path, "testdata") && !strings.HasSuffix(path, ".sql") {
			return err
		}
		b, err := os.ReadFile(path)
		if err != nil || len(b) > 1<<20 {
			return err
		}
		visit(string(b))
		for line := range strings.Lines(string(b)) {
			visit(strings.TrimSpace(line))
			if _, after, ok := strings.Cut(line, "|"); ok {
				visit(strings.TrimSpace(after))
			}
			if _, after, ok := strings.Cut(line, "\t"); ok {
				visit(strings.TrimSpace(after))
			}
		}
		for statement := range strings.SplitSeq(string(b), ";") {
			visit(statement)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestOwnTree_SameBytes(t *testing.T) {
	if !ownTreesHere() {
		t.Skip("libpg_query's own writer is used here")
	}
	n := 0
	eachTestText(t, func(text string) {
		if Guard(text, Options{}) == nil {
			compareTree(t, text)
			n++
		}
	})
	if n < 1000 {
		t.Errorf("compared %d texts only", n)
	}
}

// The writer's buffer may be any size.
func TestOwnTree_SmallBuffer(t *testing.T) {
	if !ownTreesHere() {
		t.Skip("libpg_query's own writer is used here")
	}
	text := "SELECT " + strings.Repeat("a, ", 5000) + "b"
	want, err := cparser.ParseToProtobuf(text)
	if err != nil {
		t.Fatal(err)
	}
	for _, size := range []int{0, 1, 100, treeBuffer} {
		tree, ok, free := ownTree(text, make([]byte, size))
		if !ok || !bytes.Equal(tree, want) {
			t.Fatalf("with a buffer of %d bytes the tree is another", size)
		}
		free()
	}
}

func FuzzOwnTree(f *testing.F) {
	seed(f)
	for _, text := range treeSamples {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if Guard(text, Options{}) == nil && ownTreesHere() {
			compareTree(t, text)
		}
	})
}

func BenchmarkTree(b *testing.B) {
	buffer := make([]byte, treeBuffer)
	for name, text := range map[string]string{
		"begin": "BEGIN",
		"short": "SELECT id, name FROM accounts WHERE org_id = $1 AND id = $2",
	} {
		b.Run(name+"/own", func(b *testing.B) {
			for b.Loop() {
				ownTree(text, buffer)
			}
		})
		b.Run(name+"/libpg_query", func(b *testing.B) {
			for b.Loop() {
				cparser.ParseToProtobuf(text)
			}
		})
	}
}
