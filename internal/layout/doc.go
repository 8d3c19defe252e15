// Package layout holds no code: its test keeps the repository's shape, the
// direction of imports above all, from being a wish only.
package layout
