package membership

import (
	"errors"
	"fmt"
	"net"
)

// Reasons to refuse a join. They are stable; the hint beside them says what to do.
var (
	// ErrJoinSelf refuses a node that joins itself.
	ErrJoinSelf = errors.New("a node can't join itself")
	// ErrIDInUse refuses a node whose id another live node has.
	ErrIDInUse = errors.New("the node id is already in use")
	// ErrJoinerElsewhere refuses a node that belongs to another cluster.
	ErrJoinerElsewhere = errors.New("the joining node belongs to another cluster")
	// ErrCrossedJoin refuses while the asked node is itself joining.
	ErrCrossedJoin = errors.New("the asked node is itself joining another")
	// ErrJoinNoLeader refuses for now: there is nobody who could admit.
	ErrJoinNoLeader = errors.New("the cluster has no leader at the moment")
)

// JoinState is all that the answer to a request to join depends on.
type JoinState struct {
	// The asked node.
	SelfID, SelfAddr string
	ClusterID        string // "" while it belongs to none
	Joining          string // the address under its "joining" mark, or ""
	Leads            bool   // it is the established leader
	LeaderAddr       string // the leader's address, "" while unknown

	// The joining node.
	JoinerID, JoinerAddr string
	JoinerIncarnation    uint64
	JoinerClusterID      string // "" unless it was admitted before

	// The living member that has the joiner's id, as the asked node knows it.
	Twin            bool
	TwinAddr        string
	TwinIncarnation uint64
}

// Action is what to do about a request to join.
type Action int

// The actions.
const (
	Refuse             Action = iota // see Reason and Hint
	AdmitSelfAsLeader                // add the joiner
	BootstrapThenAdmit               // found a cluster, then add the joiner
	ForwardToLeader                  // pass the request on to Addr
)

// Decision is the answer to a request to join.
type Decision struct {
	Action    Action
	Addr      string // of the leader, for ForwardToLeader
	Reason    error  // for Refuse: one of the sentinels
	Hint      string // for Refuse: what to do
	Retryable bool   // for Refuse: the same request may succeed later
}

// DecideJoinRequest decides on a request to join. It is pure; what it says must
// be carried out without another decision in between.
func DecideJoinRequest(s JoinState) Decision {
	switch {
	case s.JoinerID == s.SelfID && SameAddr(s.JoinerAddr, s.SelfAddr):
		return refuse(ErrJoinSelf, "name the address of another node: `botnode join PEER`")
	case s.JoinerID == s.SelfID:
		return refuse(ErrIDInUse, fmt.Sprintf("%s is the id of the node at %s: start the joining node with another --id and an empty --data-dir", s.SelfID, s.SelfAddr))
	case s.Twin && s.TwinIncarnation > s.JoinerIncarnation,
		s.Twin && s.TwinIncarnation != s.JoinerIncarnation && !SameAddr(s.TwinAddr, s.JoinerAddr):
		return refuse(ErrIDInUse, fmt.Sprintf("%s runs at %s: start the joining node with another --id and an empty --data-dir", s.JoinerID, s.TwinAddr))
	case s.JoinerClusterID != "" && s.JoinerClusterID != s.ClusterID:
		return refuseElsewhere(s)
	case s.ClusterID == "" && s.Joining != "":
		d := refuse(ErrCrossedJoin, fmt.Sprintf("%s is joining %s: wait for it, or join %s as well", s.SelfID, s.Joining, s.Joining))
		d.Retryable = true
		return d
	case s.ClusterID == "":
		return Decision{Action: BootstrapThenAdmit}
	case s.Leads:
		return Decision{Action: AdmitSelfAsLeader}
	case s.LeaderAddr != "" && !SameAddr(s.LeaderAddr, s.SelfAddr):
		return Decision{Action: ForwardToLeader, Addr: s.LeaderAddr}
	}
	d := refuse(ErrJoinNoLeader, "try again in a moment; `botnode status` shows what is missing")
	d.Retryable = true
	return d
}

func refuseElsewhere(s JoinState) Decision {
	if s.ClusterID == "" {
		return refuse(ErrJoinerElsewhere, fmt.Sprintf("%s is in no cluster yet: run the join on that node instead, towards %s", s.SelfID, s.JoinerAddr))
	}
	return refuse(ErrJoinerElsewhere, fmt.Sprintf("%s is in cluster %s, this is cluster %s: `botnode leave` there first, and start it with an empty --data-dir", s.JoinerID, s.JoinerClusterID, s.ClusterID))
}

func refuse(reason error, hint string) Decision {
	return Decision{Action: Refuse, Reason: reason, Hint: hint}
}

// CheckJoinTarget refuses, before anything is sent or marked, what can't work.
func CheckJoinTarget(selfAddr, peer string) error {
	if _, err := joinTarget(peer); err != nil {
		return err
	}
	if SameAddr(selfAddr, peer) {
		return fmt.Errorf("%s is this node's own address: %w", peer, ErrJoinSelf)
	}
	return nil
}

// SameAddr reports whether two host:port surely mean the same socket. It asks no
// DNS, so that it may miss an alias: the handshake finds those.
func SameAddr(a, b string) bool {
	hostA, portA, errA := net.SplitHostPort(a)
	hostB, portB, errB := net.SplitHostPort(b)
	if errA != nil || errB != nil || portA != portB {
		return false
	}
	return normalHost(hostA) == normalHost(hostB)
}

// normalHost maps spellings of one address to one.
func normalHost(h string) string {
	if h == "localhost" {
		return "127.0.0.1"
	}
	if ip := net.ParseIP(h); ip != nil {
		return ip.String()
	}
	return h
}
