package guards

// storeGuards are those between raft and the disk: what was answered for is there,
// or the node takes no part.
func storeGuards() []guard {
	return []guard{
		{
			name: "store/failed", protects: "After a write that failed nothing is written, and nothing acknowledged, by this process.",
			file: "consensus/guard.go",
			cut:  "func (g *guard) write(op string, f func() error) error {\n\tif err := g.failed.Load(); err != nil {",
			with: "func (g *guard) write(op string, f func() error) error {\n\tif err := g.failed.Load(); err != nil && f == nil {",
			test: "TestGuardFailsOnceAndForEver",
		},
		{
			name: "store/hang", protects: "A node whose disk hangs ends, so that another leads.",
			file: "consensus/guard.go",
			cut:  "_ = g.fail(op, fmt.Errorf(\"%w: in flight for more than %v\", errStuck, g.limit))",
			with: "_ = errStuck",
			test: "TestStalledDiskEndsTheLeader",
		},
		{
			name: "store/late", protects: "A write that comes back after its time isn't acknowledged: the node has been given up for it.",
			file: "consensus/guard.go",
			cut:  "return *err // it came back after all, but too late: the decision was made",
			with: "return nil",
			test: "TestGuardEndsAHungWrite",
		},
		{
			name: "store/entry-sum", protects: "An entry of the log that was damaged is never applied nor sent to another node.",
			file: "consensus/walsum.go",
			cut:  "if n < 0 || walOrder.Uint64(l.Extensions[n:]) != entrySum(l, l.Extensions[:n]) {",
			with: "if n < 0 {",
			test: "TestEntriesKeepTheirSum",
		},
		{
			name: "store/extent", protects: "A log that is shorter than what was answered for isn't taken for one that a crash cut off.",
			file: "consensus/walrecord.go",
			cut:  "case max(last, snapshot) < e.Last:",
			with: "case max(last, snapshot) < e.Base:",
			test: "TestLastAppendIsMissed",
		},
		{
			name: "store/vote", protects: "A node that has lost its vote doesn't vote a second time.",
			file: "consensus/stable.go",
			cut:  "if errors.Is(err, os.ErrNotExist) && !known {",
			with: "if errors.Is(err, os.ErrNotExist) {",
			test: "TestVoteIsMissed",
		},
		{
			name: "store/checksum", protects: "A damaged file of the term and the vote isn't believed.",
			file: "internal/durable/checked.go",
			cut:  "if string(rest) != sum(payload)+\"\\n\" {",
			with: "if len(rest) != len(sum(payload)+\"\\n\") {",
			test: "TestChecked", cheap: true,
		},
		{
			name: "store/snapshot-meta", protects: "A snapshot whose index or configuration was damaged isn't used.",
			file: "consensus/snapsum.go",
			cut:  "if err == nil && got != string(want) {",
			with: "if err == nil && len(got) != len(want) {",
			test: "TestSnapshotWithAnotherIndexIsLeftOut",
		},
	}
}

// restoreGuards are those of what replaces or compares a whole state.
func restoreGuards() []guard {
	return []guard{
		{
			name: "restore/mark", protects: "A node that led a restore which was cut off doesn't start on a state that no majority may have.",
			file: "consensus/restore.go",
			cut:  "return ErrRestoreUnfinished\n",
			with: "_ = ErrRestoreUnfinished\n",
			test: "TestRestoreOfADeposedLeader",
		},
		{
			name: "restore/bomb", protects: "A small backup that unpacks without end takes no node's memory.",
			file: "fsm/snapshot_read.go",
			cut:  "m.err = m.room(m.read)",
			with: "",
			test: "TestRoomForASnapshot",
		},
		{
			name: "restore/recover", protects: "No node starts on a directory whose recovery was cut off.",
			file: "node/recover.go",
			cut:  "if f, err = readRecovery(o.DataDir); err == nil && f.begun() && !f.Done {",
			with: "if f, err = readRecovery(o.DataDir); err == nil && !f.begun() && f.Done {",
			test: "TestRecoveryIsCutOffAnywhere/in_clear",
		},
		{
			name: "restore/backup", protects: "No part of a damaged backup is read as if it were whole.",
			file: "internal/backupfile/reader.go",
			cut:  "if order.Uint64(sum) != chunkSum(c.number, c.chunk) {",
			with: "if order.Uint64(sum) == 0 {",
			test: "TestChunksKeepTheirPlaces", cheap: true,
		},
		{
			name: "diverged/compare", protects: "A node compares what a majority has with what it has itself.",
			file: "fsm/statehash.go",
			cut:  "if own, ok := m.hashes.at(agreed.Index); ok && own.Digest != agreed.Digest {",
			with: "if own, ok := m.hashes.at(agreed.Index); ok && own.Index != agreed.Index {",
			test: "TestAMachineThatDiffersStops",
		},
		{
			name: "diverged/mark", protects: "A node that has stopped for its state can't be started on it again.",
			file: "membership/identity.go",
			cut:  "if rec.Diverged != \"\" {",
			with: "if rec.Diverged == id {",
			test: "TestADirectoryThatDivergedStaysShut",
		},
	}
}
