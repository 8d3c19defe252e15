package consensus

// The rule of the fast election, without time and network.
//
// A follower that sends itself Raft's TimeoutNow leads within milliseconds. Two that do it at once split the vote and
// take longer than if none had done it; a leader or a non-voter that does it does harm. So the voters that lost the
// leader tell each other how far their logs go, and only the one that is bound to win stands.

// report says that a voter lost its leader, and how far the voter's log goes.
type report struct {
	// Leader is the leader that was lost, in Term.
	Leader string
	Term   uint64
	// Voter is who lost it.
	Voter               string
	LastTerm, LastIndex uint64
}

// above orders reports as votes do, and by id where votes don't care. It is a total order of voters.
func (a report) above(b report) bool {
	switch {
	case a.LastTerm != b.LastTerm:
		return a.LastTerm > b.LastTerm
	case a.LastIndex != b.LastIndex:
		return a.LastIndex > b.LastIndex
	default:
		return a.Voter > b.Voter
	}
}

// view is what one node knows of a leader's death.
type view struct {
	// Self is the node; Leader and Term are the leader that it knows now, "" for none.
	Self, Leader string
	Term         uint64
	// Follower is true if the node is in the follower state, neither candidate nor leader.
	Follower bool
	// Voters are the voters of the newest configuration, each once.
	Voters []string
	// Reports holds the newest report of each voter, the node's own included if it lost the leader.
	Reports map[string]report
	// Down holds the nodes whose death is known and which are not back: no report comes of them.
	Down map[string]bool
	// Fired is the highest term in which this node stood already.
	Fired uint64
}

// verdict is what the rule says.
type verdict int

const (
	// wait: do nothing, more may come.
	wait verdict = iota
	// fire: stand for election now.
	fire
	// hold: this node would stand, but a voter that may live has not reported yet. Stand after a grace.
	hold
)

// decide says whether the node of v should stand for election.
func decide(v view) verdict {
	if v.Leader == "" || v.Leader == v.Self || !v.Follower || v.Term <= v.Fired {
		return wait
	}
	own, lost := v.lost(v.Self)
	if !lost {
		return wait
	}
	count, isVoter, complete := 0, false, true
	for _, id := range v.Voters {
		isVoter = isVoter || id == v.Self
		r, ok := v.lost(id)
		switch {
		case ok && r.above(own):
			return wait
		case ok:
			count++
		case id != v.Leader && !v.Down[id]:
			complete = false
		}
	}
	switch {
	case !isVoter || count < len(v.Voters)/2+1:
		return wait
	case complete:
		return fire
	default:
		return hold
	}
}

// lost returns a voter's report if it is about the leader and term at hand.
func (v view) lost(id string) (report, bool) {
	r, ok := v.Reports[id]
	return r, ok && id != v.Leader && r.Leader == v.Leader && r.Term == v.Term
}
