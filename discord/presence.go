package discord

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

// statuses are those that a presence may have (events/gateway-events.mdx,
// "Status Types").
var statuses = []string{"online", "dnd", "idle", "invisible", "offline"}

// CheckPresence looks at the d of an op 3 (events/gateway-events.mdx, "Update
// Presence"): one that Discord would not take ends the connection that it is sent
// on.
func CheckPresence(raw []byte) error {
	var p struct {
		Status     string            `json:"status"`
		Activities []json.RawMessage `json:"activities"`
	}
	if err := json.Unmarshal(raw, &p); err != nil {
		return fmt.Errorf("the presence: %w", err)
	}
	if !slices.Contains(statuses, p.Status) {
		return fmt.Errorf("the presence: %q is no status: it is one of %s", p.Status, strings.Join(statuses, ", "))
	}
	return nil
}
