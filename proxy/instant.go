package proxy

import "time"

// instant is a time of a loop's clock, in nanoseconds since the process began;
// 0 is none. A session keeps several, and a time.Time is three times as large.
type instant int64

var began = time.Now()

// instantOf keeps the monotonic clock's reading, if t has one. The lowest bit
// tells the beginning itself from none.
func instantOf(t time.Time) instant {
	if t.IsZero() {
		return 0
	}
	return instant(t.Sub(began)) | 1
}

func (i instant) time() time.Time {
	if i == 0 {
		return time.Time{}
	}
	return began.Add(time.Duration(i))
}
