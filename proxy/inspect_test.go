package proxy

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/pgbulkhead/bulkhead/policy"
)

// The inspection of a large text comes back after the server has failed an
// earlier message of the batch, so that the text is skipped. It must not be
// taken for that of the next text.
func TestSession_InspectionOfSkippedText(t *testing.T) {
	env, _ := newTestEnvironment(t)
	s := newRelaySession(t, env)
	large := "SELECT '" + strings.Repeat("x", 2*inlineInspect) + "'"
	st := step{now: time.Now()}
	s.clientBytes(&st, join(cliMsg('P', "a\x00SELECT 1\x00\x00\x00"), cliMsg('P', "b\x00"+large+"\x00\x00\x00"), cliMsg('S', ""),
		cliMsg('Q', "SET app.org_id = 'x'\x00")))
	if len(st.requests) != 1 || s.wait != waitInspect {
		t.Fatalf("requests %v, wait %v", st.requests, s.wait)
	}
	text := st.requests[0].(inspectText).text
	st.reset()
	s.serverBytes(&st, srvError("42P05"))
	s.inspectionDone(&st, env.opts.Engines["app"].Inspect(t.Context(), text, policy.Extended))
	if sent := st.toServer.bytes(); bytes.Contains(sent, []byte("SET app.org_id")) || !bytes.Contains(sent, []byte("rule G201")) {
		t.Errorf("behind the Sync the server gets %q, want a refusal", sent)
	}
}

// An answer that comes after the session has stopped waiting for it is not
// that to a later question.
func TestSession_InspectionOutlivesLabel(t *testing.T) {
	env, _ := newTestEnvironment(t)
	env.opts.Pool.Transaction = true
	s := newRelaySession(t, env)
	large := "SELECT '" + strings.Repeat("x", 2*inlineInspect) + "'"
	st := step{now: time.Now()}
	s.sendLabel(&st, []string{"BEGIN", "COMMIT"}, false)
	s.clientBytes(&st, join(cliMsg('P', "a\x00SELECT 1\x00\x00\x00"), cliMsg('P', "b\x00"+large+"\x00\x00\x00"), cliMsg('S', ""),
		cliMsg('P', "c\x00SET app.org_id = '"+large[8:]+"\x00\x00\x00"), cliMsg('S', "")))
	first := st.requests[0].(inspectText).text
	st.reset()
	s.serverBytes(&st, srvError("57014"))
	for _, r := range st.requests {
		if _, again := r.(inspectText); again {
			t.Fatal("another inspection is asked for while the first is not answered")
		}
	}
	s.inspectionDone(&st, env.opts.Engines["app"].Inspect(t.Context(), first, policy.Extended))
	if s.inspected != nil {
		t.Error("the inspection of a skipped text is kept")
	}
	last := st.requests[len(st.requests)-1]
	if ask, ok := last.(inspectText); !ok || !strings.HasPrefix(ask.text, "SET") {
		t.Errorf("the last request is %T %v", last, s.wait)
	}
}
