package sim

import "context"

// Wait blocks until cond is true, which it tries after every record. cond may
// use the Ledger.
func (l *Ledger) Wait(ctx context.Context, cond func() bool) error {
	for {
		l.mu.Lock()
		l.watched = true
		changed := l.changed
		l.mu.Unlock()
		if cond() {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// WaitPosted blocks until the bot has posted a message that match accepts,
// looking at those from number from on.
func (l *Ledger) WaitPosted(ctx context.Context, from int, match func(Posted) bool) (Posted, error) {
	var hit Posted
	err := l.Wait(ctx, func() bool {
		l.mu.Lock()
		defer l.mu.Unlock()
		for ; from < len(l.posted); from++ {
			if match(l.posted[from]) {
				hit = l.posted[from]
				return true
			}
		}
		return false
	})
	return hit, err
}

// WaitSessions blocks until n sessions have begun.
func (l *Ledger) WaitSessions(ctx context.Context, n int) error {
	return l.Wait(ctx, func() bool { return l.Summary().IdentifiesOK >= n })
}

// WaitAnswered blocks until every ping sent so far has an answer.
func (l *Ledger) WaitAnswered(ctx context.Context) error {
	return l.Wait(ctx, func() bool { return len(l.Summary().Unanswered) == 0 })
}
