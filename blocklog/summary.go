package blocklog

import (
	"cmp"
	"slices"
	"time"
)

// Summary is what a reviewer reads first about a log.
type Summary struct {
	Records    int       `json:"records"` // chosen by the filter, those about lost ones left out
	Blocked    int       `json:"blocked"`
	Observed   int       `json:"observed"`
	Lost       uint64    `json:"lost"`
	Unreadable int       `json:"unreadable"` // lines that are no records
	FirstTime  time.Time `json:"first_time"`
	LastTime   time.Time `json:"last_time"`

	Rules      []Count     `json:"rules"`    // most frequent first, as all lists here but Days
	Orgs       []Count     `json:"orgs"`     // at most top
	Subjects   []Count     `json:"subjects"` // at most top
	Days       []Count     `json:"days"`     // in the order of time, UTC
	Statements []Statement `json:"statements"`
}

// Count is how often one name occurs.
type Count struct {
	Name  string    `json:"name"`
	Title string    `json:"title,omitempty"` // of a rule
	Count int       `json:"count"`
	First time.Time `json:"first_time"`
	Last  time.Time `json:"last_time"`
}

// Statement is one form of statement, by fingerprint.
type Statement struct {
	Fingerprint string    `json:"fingerprint"` // "" for what could not be parsed
	Statement   Redacted  `json:"statement"`
	Rule        string    `json:"rule"` // of the newest record
	Count       int       `json:"count"`
	Orgs        int       `json:"orgs"` // how many different ones
	First       time.Time `json:"first_time"`
	Last        time.Time `json:"last_time"`
}

// maxGroups bounds how many names of one kind are counted apart: clients can
// invent subjects and statements without end. The rest is counted as other.
const (
	maxGroups = 10_000
	other     = "(other)"
)

// Summarize reads the log at path and counts what filter chooses; lists are
// cut to the top most frequent entries.
func Summarize(path string, filter Filter, top int) (Summary, error) {
	s := &summarizer{
		rules: map[string]*Count{}, orgs: map[string]*Count{}, subjects: map[string]*Count{}, days: map[string]*Count{},
		statements: map[string]*statementCount{},
	}
	unreadable, err := Scan(path, filter, func(r *Record) error {
		s.add(r)
		return nil
	})
	if err != nil {
		return Summary{}, err
	}
	s.sum.Unreadable = unreadable
	return s.finish(top), nil
}

type summarizer struct {
	sum                         Summary
	rules, orgs, subjects, days map[string]*Count
	statements                  map[string]*statementCount
}

type statementCount struct {
	Statement
	orgs map[string]bool
}

func (s *summarizer) add(r *Record) {
	if r.Decision == Lost {
		s.sum.Lost += r.Lost
		return
	}
	if s.sum.Records == 0 {
		s.sum.FirstTime = r.Time
	}
	s.sum.Records++
	s.sum.LastTime = r.Time
	if r.Decision == Observed {
		s.sum.Observed++
	} else {
		s.sum.Blocked++
	}
	count(s.rules, r.Rule, r).Title = r.Title
	count(s.orgs, r.Org, r)
	count(s.subjects, r.Subject, r)
	count(s.days, r.Time.UTC().Format(time.DateOnly), r)
	s.addStatement(r)
}

// count counts r under name.
func count(m map[string]*Count, name string, r *Record) *Count {
	c := m[name]
	if c == nil {
		if len(m) >= maxGroups {
			name = other
		}
		if c = m[name]; c == nil {
			c = &Count{Name: name, First: r.Time}
			m[name] = c
		}
	}
	c.Count++
	c.Last = r.Time
	return c
}

func (s *summarizer) addStatement(r *Record) {
	key := r.Fingerprint
	if key == "" {
		key = r.Rule + " " + string(r.Statement)
	}
	c := s.statements[key]
	if c == nil {
		if len(s.statements) >= maxGroups {
			return
		}
		c = &statementCount{orgs: map[string]bool{}}
		c.First, c.Fingerprint, c.Statement.Statement = r.Time, r.Fingerprint, r.Statement
		s.statements[key] = c
	}
	c.Count++
	c.Last, c.Rule = r.Time, r.Rule
	if len(c.orgs) < maxGroups {
		c.orgs[r.Org] = true
	}
}

func (s *summarizer) finish(top int) Summary {
	s.sum.Rules = ranked(s.rules, 0)
	s.sum.Orgs = ranked(s.orgs, top)
	s.sum.Subjects = ranked(s.subjects, top)
	s.sum.Days = ranked(s.days, 0)
	slices.SortFunc(s.sum.Days, func(a, b Count) int { return cmp.Compare(a.Name, b.Name) })
	s.sum.Statements = make([]Statement, 0, len(s.statements))
	for _, c := range s.statements {
		c.Orgs = len(c.orgs)
		s.sum.Statements = append(s.sum.Statements, c.Statement)
	}
	slices.SortFunc(s.sum.Statements, func(a, b Statement) int {
		return cmp.Or(cmp.Compare(b.Count, a.Count), cmp.Compare(a.Fingerprint, b.Fingerprint), cmp.Compare(a.Statement, b.Statement))
	})
	if top > 0 && len(s.sum.Statements) > top {
		s.sum.Statements = s.sum.Statements[:top]
	}
	return s.sum
}

// ranked returns the counts, most frequent first, at most top unless it is 0.
func ranked(m map[string]*Count, top int) []Count {
	list := make([]Count, 0, len(m))
	for _, c := range m {
		list = append(list, *c)
	}
	slices.SortFunc(list, func(a, b Count) int {
		return cmp.Or(cmp.Compare(b.Count, a.Count), cmp.Compare(a.Name, b.Name))
	})
	if top > 0 && len(list) > top {
		list = list[:top]
	}
	return list
}
