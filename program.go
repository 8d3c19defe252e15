package botnode

import "github.com/botnode/botnode/cli"

// Program makes a bot into what package cli runs, for programs that put their
// command line together themselves, and for package botnodetest. Each node needs
// a Program of its own; Main and Run make theirs.
func Program(b *Bot) cli.Program { return program(b) }
