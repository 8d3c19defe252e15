// Command botnode is the stock binary: a node of a cluster without handlers of
// its own, or with the built-in demonstration bot (`start --builtin ping`),
// and the command line that talks to running nodes.
package main

import "github.com/botnode/botnode"

func main() { botnode.Main(nil) }
