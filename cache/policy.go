package cache

// Mode says whether objects of a kind are kept.
type Mode uint8

// The modes.
const (
	Off     Mode = iota // nothing is kept
	On                  // everything is kept
	Bounded             // the objects written last are kept, within the bounds
)

// String returns the mode's name.
func (m Mode) String() string {
	switch m {
	case Off:
		return "off"
	case On:
		return "on"
	case Bounded:
		return "bounded"
	}
	return "unknown"
}

// Policy says how much of a kind is kept. It is replicated configuration: it
// acts inside Apply, so nodes must not differ.
type Policy struct {
	Mode     Mode
	MaxCount int   // with Bounded: the most objects; 0 is no bound
	MaxBytes int64 // with Bounded: the most bytes, as Stats counts them; 0 is no bound
	// Filter says which objects are kept; nil is all.
	Filter *Filter
}

// Policies holds the policy of each kind.
type Policies [kindCount]Policy

// DefaultMembers is the default bound of Members: about a gigabyte. A bot that
// sees more says so in its configuration, and its operator knows.
const DefaultMembers = 2_000_000

// DefaultPolicies returns the policies of a bot that configured none: members
// bounded, presences and messages off (the first are most of a big bot's
// traffic, the second are unbounded in number), the rest on.
func DefaultPolicies() Policies {
	var p Policies
	for i := range p {
		p[i].Mode = On
	}
	p[Members] = Policy{Mode: Bounded, MaxCount: DefaultMembers}
	p[Presences].Mode = Off
	p[Messages].Mode = Off
	return p
}

// exceeded reports whether so much is more than the policy allows.
func (p Policy) exceeded(count int, bytes int64) bool {
	return p.Mode == Bounded && (p.MaxCount > 0 && count > p.MaxCount || p.MaxBytes > 0 && bytes > p.MaxBytes)
}

// equal reports whether two policies keep the same.
func (p Policy) equal(o Policy) bool {
	return p.Mode == o.Mode && p.MaxCount == o.MaxCount && p.MaxBytes == o.MaxBytes && p.Filter.String() == o.Filter.String()
}
