// Package guards shows that the guards on which the promises of docs/guarantees.md
// rest are tested: for each there is a test that fails once the guard is taken
// out of the real code.
//
// Its tests are a table of guards. An entry names a piece of source, what stands
// in its place when the guard is gone, and the test that must notice. The source
// isn't touched: the tests are built once from files with a switch for each guard,
// which the go command reads in place of the tree's by its option -overlay.
//
// test/model does the same within its simulation, by the flags of internal/mutant,
// over many histories. This package reaches all that is outside: disks, sockets,
// certificates, limits, the clients' proxy. It says nothing of a guard that isn't in
// the table, nor of one that is whole and stands in the wrong place.
package guards
