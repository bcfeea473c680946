package proxy

import (
	"testing"
	"time"
	"unsafe"
)

func TestInstant(t *testing.T) {
	if got := instantOf(time.Time{}).time(); !got.IsZero() {
		t.Errorf("none became %v", got)
	}
	now := time.Now()
	for _, at := range []time.Time{began, now, now.Add(-time.Hour), now.Add(time.Hour), now.Round(0)} {
		got := instantOf(at).time()
		if got.IsZero() || got.Sub(at).Abs() > time.Millisecond {
			t.Errorf("%v became %v", at, got)
		}
	}
}

// TestSession_Size: ten thousand idle clients are ten thousand sessions. The
// next size that Go's allocator has is 704 bytes.
func TestSession_Size(t *testing.T) {
	if size := unsafe.Sizeof(Session{}); unsafe.Sizeof(uintptr(0)) == 8 && size > 640 {
		t.Errorf("a Session has %d bytes: let what is rare be behind a pointer", size)
	}
}
