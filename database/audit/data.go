package audit

// Counts are the results of the data checks: numbers of rows.
type Counts struct {
	Findings map[string][]Counted // by check id
}

// Counted is a number of rows that a data check found.
type Counted struct {
	Object string
	Rows   int64
}
