package proxy

import (
	"bytes"
	"errors"
	"testing"
)

// frame helpers: messages as the server sends them.

func srvMsg(typ byte, body string) []byte {
	b, at := begin(nil, typ)
	return finish(append(b, body...), at)
}

func srvError(code string) []byte {
	return clientError{severity: "ERROR", code: code, message: "m"}.appendTo(nil)
}

func srvReady(tx byte) []byte { return readyForQuery(nil, tx) }

func join(parts ...[]byte) []byte { return bytes.Join(parts, nil) }

// recordingReplies notes what a server connection tells its session.
type recordingReplies struct {
	sc      *serverConn
	readied []owedKind
	done    int
	codes   []string
}

func (r *recordingReplies) ready(_ *step, o *owed)               { r.readied = append(r.readied, o.kind) }
func (r *recordingReplies) executed(*step, *owed)                { r.done++ }
func (r *recordingReplies) survives() bool                       { return false }
func (r *recordingReplies) clientPID() uint32                    { return 0 }
func (r *recordingReplies) failed(_ *step, _ *owed, c string)    { r.codes = append(r.codes, c) }
func (r *recordingReplies) undo(*change, bool)                   {}
func (r *recordingReplies) parameter(_ *step, n, v string) error { return r.sc.setParameter(n, v) }

// play feeds b to a new server connection that owes what is given, cut into
// chunks of the given size, and returns what the client sees.
func play(t *testing.T, owing []owed, b []byte, chunk int) ([]byte, *serverConn, *recordingReplies, error) {
	t.Helper()
	sc := &serverConn{tx: txIdle, params: map[string]string{}}
	for _, o := range owing {
		sc.owed.push(o)
	}
	r := &recordingReplies{sc: sc}
	var st step
	var out []byte
	for len(b) > 0 {
		n := min(chunk, len(b))
		// The loop's buffer is used again for each chunk.
		buf := append([]byte(nil), b[:n]...)
		err := sc.receive(&st, buf, r)
		out = append(out, st.toClient.bytes()...)
		st.reset()
		clear(buf)
		if err != nil {
			return out, sc, r, err
		}
		b = b[n:]
	}
	return out, sc, r, nil
}

func TestServerConn_Replies(t *testing.T) {
	refusal := clientError{severity: severityError, code: "42501", message: "refused"}
	row := srvMsg('D', "\x00\x01\x00\x00\x00\x01x")
	done := srvMsg('C', "SELECT 1\x00")
	tests := []struct {
		name  string
		owing []owed
		in    []byte
		want  []byte // nil: as in
		left  int    // replies still owed
	}{
		{
			name:  "simple query",
			owing: []owed{{kind: owedQuery}},
			in:    join(srvMsg('T', "\x00\x00"), row, done, srvReady('I')),
		},
		{
			name:  "two queries, the first fails",
			owing: []owed{{kind: owedQuery}, {kind: owedQuery}},
			in:    join(srvError("22012"), srvReady('I'), done, srvReady('I')),
		},
		{
			name:  "refused query",
			owing: []owed{{kind: owedQuery}, {kind: owedQuery, refusal: &refusal}, {kind: owedQuery}},
			in:    join(done, srvReady('T'), srvError("42601"), srvReady('E'), srvError("25P02"), srvReady('E')),
			want:  join(done, srvReady('T'), refusal.appendTo(nil), srvReady('E'), srvError("25P02"), srvReady('E')),
		},
		{
			name: "refused parse skips to sync",
			owing: []owed{
				{kind: owedParse},
				{kind: owedBind},
				{kind: owedExecute},
				{kind: owedParse, refusal: &refusal},
				{kind: owedBind},
				{kind: owedExecute},
				{kind: owedSync},
				{kind: owedParse},
				{kind: owedSync},
			},
			in: join(srvMsg('1', ""), srvMsg('2', ""), done, srvError("42601"), srvReady('I'),
				srvMsg('1', ""), srvReady('I')),
			want: join(srvMsg('1', ""), srvMsg('2', ""), done, refusal.appendTo(nil), srvReady('I'),
				srvMsg('1', ""), srvReady('I')),
		},
		{
			name:  "refused parse behind a failed one is never answered",
			owing: []owed{{kind: owedParse}, {kind: owedParse, refusal: &refusal}, {kind: owedSync}},
			in:    join(srvError("42601"), srvReady('I')),
		},
		{
			name:  "own statement is swallowed, a notice in it too, a notification not",
			owing: []owed{{kind: owedQuery, own: true}, {kind: owedQuery}},
			in:    join(srvMsg('N', "\x00"), srvMsg('A', "\x00\x00\x00\x01c\x00p\x00"), done, srvReady('I'), done, srvReady('I')),
			want:  join(srvMsg('A', "\x00\x00\x00\x01c\x00p\x00"), done, srvReady('I')),
		},
		{
			name: "copy in by the extended protocol: the sync behind Execute is the copy's",
			owing: []owed{
				{kind: owedParse},
				{kind: owedBind},
				{kind: owedDescribe},
				{kind: owedExecute},
				{kind: owedSync},
				{kind: owedCopyEnd},
				{kind: owedSync},
			},
			in: join(srvMsg('1', ""), srvMsg('2', ""), srvMsg('n', ""), srvMsg('G', "\x00\x00\x00"),
				srvMsg('C', "COPY 1\x00"), srvReady('I')),
		},
		{
			name:  "a Query behind COPY FROM STDIN is taken for its data, and only that",
			owing: []owed{{kind: owedQuery}, {kind: owedQuery}, {kind: owedQuery, refusal: &refusal}},
			in:    join(srvMsg('G', "\x00\x00\x00"), srvError("08P01"), srvReady('I'), srvError("42601"), srvReady('I')),
			want:  join(srvMsg('G', "\x00\x00\x00"), srvError("08P01"), srvReady('I'), refusal.appendTo(nil), srvReady('I')),
		},
		{
			name:  "describe of a statement",
			owing: []owed{{kind: owedDescribe}, {kind: owedSync}},
			in:    join(srvMsg('t', "\x00\x00"), srvMsg('T', "\x00\x00"), srvReady('I')),
		},
		{
			name:  "portal suspended",
			owing: []owed{{kind: owedExecute}, {kind: owedExecute}, {kind: owedSync}},
			in:    join(row, srvMsg('s', ""), row, done, srvReady('T')),
		},
		{
			name:  "deferred constraint fails at the sync",
			owing: []owed{{kind: owedExecute}, {kind: owedSync}},
			in:    join(done, srvError("23503"), srvReady('I')),
		},
		{
			name:  "fatal error is the server's even where a refusal is due",
			owing: []owed{{kind: owedQuery, refusal: &refusal}},
			in:    clientError{severity: "FATAL", code: "57P01", message: "m"}.appendTo(nil),
			left:  1,
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			want := tt.want
			if want == nil {
				want = tt.in
			}
			for _, chunk := range []int{1, 2, 3, 5, 7, 1 << 20} {
				got, sc, _, err := play(t, tt.owing, tt.in, chunk)
				if err != nil {
					t.Fatalf("chunk %d: %v", chunk, err)
				}
				if !bytes.Equal(got, want) {
					t.Errorf("chunk %d:\ngot  %q\nwant %q", chunk, got, want)
				}
				if sc.owed.len() != tt.left {
					t.Errorf("chunk %d: %d replies still owed, want %d", chunk, sc.owed.len(), tt.left)
				}
			}
		})
	}
}

func TestServerConn_OutOfStep(t *testing.T) {
	refusal := clientError{severity: severityError, code: "42501", message: "refused"}
	tests := []struct {
		name  string
		owing []owed
		in    []byte
		want  error
	}{
		{"reply that nobody asked for", nil, srvReady('I'), errUnexpected},
		{"BindComplete for a Parse", []owed{{kind: owedParse}}, srvMsg('2', ""), errUnexpected},
		{"success of what had to fail", []owed{{kind: owedQuery, refusal: &refusal}}, join(srvMsg('C', "SET\x00"), srvReady('I')), errUnexpected},
		{"success of a Parse that had to fail", []owed{{kind: owedParse, refusal: &refusal}}, srvMsg('1', ""), errUnexpected},
		{"length too small", []owed{{kind: owedQuery}}, []byte{'C', 0, 0, 0, 3}, errFrame},
		{"endless ParameterStatus", []owed{{kind: owedQuery}}, []byte{'S', 0x7f, 0, 0, 0}, errFrame},
		{"unsafe encoding", []owed{{kind: owedQuery}}, srvMsg('S', "client_encoding\x00SJIS\x00"), errUnsafeParameter},
		{"unsafe strings", []owed{{kind: owedQuery}}, srvMsg('S', "standard_conforming_strings\x00off\x00"), errUnsafeParameter},
		{"CopyBothResponse", []owed{{kind: owedQuery}}, srvMsg('W', "\x00\x00\x00"), errUnexpected},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, _, _, err := play(t, tt.owing, tt.in, 1<<20)
			if !errors.Is(err, tt.want) {
				t.Errorf("got error %v, want %v", err, tt.want)
			}
		})
	}
}

func TestServerConn_NothingOwedAfterErrorWithoutSync(t *testing.T) {
	_, sc, _, err := play(t, []owed{{kind: owedParse}, {kind: owedBind}}, srvError("42601"), 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	sc.owed.push(owed{kind: owedExecute}) // the server discards it
	if got := sc.owed.len(); got != 0 {
		t.Errorf("%d replies owed while the server skips, want 0", got)
	}
	if sc.idle() {
		t.Error("connection that skips to Sync counts as idle")
	}
	sc.owed.push(owed{kind: owedSync})
	if got := sc.owed.len(); got != 1 {
		t.Errorf("%d replies owed after Sync, want 1", got)
	}
}

func FuzzServerConn(f *testing.F) {
	f.Add([]byte{1, 2, 5, 7}, join(srvMsg('1', ""), srvMsg('2', ""), srvMsg('C', "X\x00"), srvReady('I')))
	f.Add([]byte{1}, join(srvError("42601"), srvReady('I')))
	f.Fuzz(func(t *testing.T, kinds, in []byte) {
		var owing []owed
		for _, k := range kinds {
			owing = append(owing, owed{kind: owedKind(k%9) + 1, own: k&0x40 != 0})
		}
		whole, _, _, errWhole := play(t, owing, in, 1<<20)
		cut, _, _, errCut := play(t, owing, in, 1)
		// However the bytes are cut, the client sees the same.
		if (errWhole == nil) != (errCut == nil) {
			t.Fatalf("whole: %v, cut: %v", errWhole, errCut)
		}
		if errWhole == nil && !bytes.Equal(whole, cut) {
			t.Errorf("got %q cut, %q whole", cut, whole)
		}
	})
}
