// Package parser turns SQL text into facts: what a statement reads, writes,
// calls and sets.
//
// The way is guard, parse, walk, facts:
//
//   - [Guard] bounds a text in one linear pass of Go code: size, encoding,
//     nesting, chains of operators. Nothing that it has not passed reaches C,
//     where a text that is too deep would end the process.
//   - libpg_query, the parser of PostgreSQL 16, parses it into a protobuf
//     message. The number of parses at one time is bounded.
//   - The walker descends into every field of that message. Its schema comes
//     from the descriptors; a message, field or enum value that it does not
//     know makes the statement unclassified, and rules refuse it.
//   - What it meets becomes a [Statement]: facts, never a tree.
//
// The package also knows the server's own names, those of functions, settings
// and relations of PostgreSQL 13 to 18 (see [ClassifyFunction]), and makes
// text fit for logs: [Redact] and [Fingerprint].
package parser
