package parser

// The C file beside this one keeps libpg_query from redirecting standard
// error; it is compiled because of this import.

import "C"
