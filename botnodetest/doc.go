// Package botnodetest runs a bot on a whole cluster inside a unit test: nodes,
// a simulated Discord, users who write messages, and nodes that die.
//
//	func TestCountsGreetings(t *testing.T) {
//		tb := botnodetest.Start(t, newBot, botnodetest.Nodes(3))
//		tb.Say("hello").Expect("greeting number 1")
//		tb.KillLeader()
//		tb.Say("hello").Expect("greeting number 2")
//		if n := tb.KV("greetings"); n != "2" {
//			t.Errorf("%s greetings are counted", n)
//		}
//	}
//
// Nothing is mocked: the nodes are those that run in production, with their
// log, their elections and their take-overs, and the simulated Discord numbers,
// replays and forgets events as Discord does. Only sockets and disks are in
// memory, so that three nodes take some tens of milliseconds to start and no
// port of the machine. Tests may run in parallel.
//
// Every step waits for what it is about to say, by looking and not by sleeping,
// and fails the test with a description of the cluster when it doesn't come.
// Everything that was started ends with the test.
//
// A killed node is cut off from its peers and from Discord in one instant, like
// a process under kill -9. But it shares the process of the test: a handler that
// is running there sees its context end, and is not stopped if it ignores that.
package botnodetest
