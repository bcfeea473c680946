package parser

import (
	"strconv"
	"strings"
)

// folder computes the result of a function for constants; ok is false where it
// does not know.
type folder = func(args []string) (result string, ok bool)

// foldOperator computes an operator. The server's || on two constants that are
// not text (arrays, bytes) is not told apart: the result then is no id.
func foldOperator(name string) folder {
	switch name {
	case "||":
		return func(args []string) (string, bool) { return strings.Join(args, ""), true }
	case "+":
		return foldIntegers(func(a, b int64) (int64, bool) { return a + b, true }, 0)
	case "-":
		return foldIntegers(func(a, b int64) (int64, bool) { return a - b, true }, 0)
	case "*":
		return foldIntegers(func(a, b int64) (int64, bool) { return a * b, true }, 1)
	case "/":
		return foldIntegers(func(a, b int64) (int64, bool) {
			if b == 0 {
				return 0, false
			}
			return a / b, true
		}, 1)
	}
	return nil
}

// maxFoldedInteger keeps products of two within an int64.
const maxFoldedInteger = 1 << 31

// foldIntegers computes with two integers; one stands right of neutral.
func foldIntegers(compute func(a, b int64) (int64, bool), neutral int64) folder {
	return func(args []string) (string, bool) {
		values := [2]int64{neutral, neutral}
		for i := range args {
			at := i + 2 - len(args)
			if at < 0 {
				return "", false
			}
			n, err := strconv.ParseInt(strings.TrimSpace(args[i]), 10, 64)
			if err != nil || n > maxFoldedInteger || n < -maxFoldedInteger {
				return "", false
			}
			values[at] = n
		}
		n, ok := compute(values[0], values[1])
		return strconv.FormatInt(n, 10), ok
	}
}

// foldFunction computes those functions of pg_catalog that are likely in an
// expression of constants.
func foldFunction(name string) folder {
	join := func(args []string) (string, bool) { return strings.Join(args, ""), true }
	switch name {
	case "lower", "upper":
		return ofOne(map[string]func(string) string{"lower": lower, "upper": strings.ToUpper}[name])
	case "btrim", "trim":
		return ofOne(func(s string) string { return strings.Trim(s, " ") })
	case "ltrim":
		return ofOne(func(s string) string { return strings.TrimLeft(s, " ") })
	case "rtrim":
		return ofOne(func(s string) string { return strings.TrimRight(s, " ") })
	case "text", "varchar", "uuid", "int2", "int4", "int8", "uuid_in", "textin", "int4in", "int8in":
		return ofOne(func(s string) string { return s })
	case "concat", "textcat":
		return join
	case "replace":
		return func(args []string) (string, bool) {
			if len(args) != 3 || args[1] == "" {
				return "", false
			}
			return strings.ReplaceAll(args[0], args[1], args[2]), true
		}
	case "left", "right", "substr", "substring":
		return foldPart(name)
	case "int4pl", "int8pl":
		return foldOperator("+")
	case "int4mi", "int8mi":
		return foldOperator("-")
	}
	return nil
}

// ofOne folds a function of one argument, for plain ASCII.
func ofOne(f func(string) string) folder {
	return func(args []string) (string, bool) {
		if len(args) != 1 || !isASCII(args[0]) {
			return "", false
		}
		return f(args[0]), true
	}
}

// foldPart takes a part of a text, for plain ASCII.
func foldPart(name string) folder {
	return func(args []string) (string, bool) {
		if len(args) < 2 || !isASCII(args[0]) {
			return "", false
		}
		text := args[0]
		bounds := make([]int, 0, 2)
		for _, a := range args[1:] {
			n, err := strconv.Atoi(a)
			if err != nil || n < 0 || n > len(text)+1 {
				return "", false
			}
			bounds = append(bounds, n)
		}
		switch {
		case name == "left" && len(bounds) == 1:
			return text[:min(bounds[0], len(text))], true
		case name == "right" && len(bounds) == 1:
			return text[len(text)-min(bounds[0], len(text)):], true
		case bounds[0] == 0 || len(bounds) > 2 || name == "left" || name == "right":
			return "", false
		}
		text = text[min(bounds[0]-1, len(text)):]
		if len(bounds) == 2 {
			text = text[:min(bounds[1], len(text))]
		}
		return text, true
	}
}

func isASCII(s string) bool {
	for i := range len(s) {
		if s[i] >= 0x80 {
			return false
		}
	}
	return true
}
