// Package cli is the command line: `botnode start`, which runs a node, and the
// commands that speak to a running node's admin API.
//
// One table of flags (flagtable.go) makes the flags, the BOTNODE_ environment,
// the keys of the configuration file, completion and docs/reference.md, so that
// they can't differ. A flag goes before the environment, the environment before
// the file.
//
// The package decides nothing about clusters and holds no handlers: a program's
// handlers come in through Options. It never takes a Discord token as a flag's
// value, and prints none.
package cli
