// Package node puts a process together: the one package that knows all the
// others. It opens what a node needs, wires it, runs it, and takes it apart in
// the order that lets nothing wait for what is gone already.
//
//	       admin API, proxy
//	             |
//	shard.Manager --- fsm.Machine --- consensus.Raft --- log on disk
//	  |      |                             |
//	gateway  handlers, rest            transport (one port) --- membership
//
// It holds no rules: who may do what is decided in packages shard (ownership),
// membership (joining) and fsm (what a command does).
package node
