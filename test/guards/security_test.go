package guards

// securityGuards are those of who may ask for what, and of what a stranger may cost.
func securityGuards() []guard {
	return []guard{
		{
			name: "security/rights", protects: "A token of the admin API does no more than its right.",
			file: "admin/auth.go",
			cut:  "case !has.Covers(right):",
			with: "case !has.Covers(fsm.AdminRead):",
			test: "TestRights",
		},
		{
			name: "security/token-needed", protects: "Once the cluster has an admin token, no node answers without one.",
			file: "admin/auth.go",
			cut:  "if s.o.Token == \"\" && !s.o.Backend.HasAdminTokens() {\n\t\t\treturn fsm.AdminAll, false, nil\n\t\t}\n\t\treturn 0,",
			with: "if s.o.Token == \"\" {\n\t\t\treturn fsm.AdminAll, false, nil\n\t\t}\n\t\treturn 0,",
			test: "TestWhoNeedsAToken",
		},
		{
			name: "security/bind", protects: "The admin API isn't open beyond loopback without a token, unless --insecure says so.",
			file: "admin/server.go",
			cut:  "if !open && !Loopback(host) {",
			with: "if !open && host == \"\" {",
			test: "TestBindRules",
		},
		{
			name: "security/join-token-expiry", protects: "A join token that has expired admits nobody.",
			file: "fsm/trustcmds.go",
			cut:  "case !known || token.Expires <= c.Now:",
			with: "case !known:",
			test: "TestGuards/trust/enrol_too_late",
		},
		{
			name: "security/join-token-cluster", protects: "A machine shows its join token's secret to the cluster that made it, and to nobody else.",
			file: "trust/token.go",
			cut:  "if Fingerprint(root.Raw) == t.Fingerprint {",
			with: "if len(Fingerprint(root.Raw)) == len(t.Fingerprint) {",
			test: "TestJoinTokens", cheap: true,
		},
		{
			name: "security/removed", protects: "The certificate of a node that was removed is refused.",
			file: "trust/keychain.go",
			cut:  "case k.Refuse != nil:",
			with: "case k.Refuse != nil && h.ID == \"\":",
			test: "TestWhoIsBelieved",
		},
		{
			name: "security/removed-connections", protects: "The connections that a removed node has are closed.",
			file: "transport/tls.go",
			cut:  "if refused(leaf) {",
			with: "if leaf == nil && refused(leaf) {",
			test: "TestConnectionsOfARemovedNodeAreClosed",
		},
		{
			name: "security/proven", protects: "A node speaks in no other's name.",
			file: "transport/tls.go",
			cut:  "case id != h.id:",
			with: "case id == \"\":",
			test: "TestNodesProveWhoTheyAre",
		},
		{
			name: "security/snapshots", protects: "No snapshot is on a disk in clear where the nodes have keys.",
			file: "node/wiring.go",
			cut:  "return sealed(c, m.keys), err",
			with: "return c, err",
			test: "TestSnapshotsAreEncrypted",
		},
		{
			name: "security/api-host", protects: "The bot's token goes to the API's own host alone, whatever a redirect says.",
			file: "discord/rest/roundtrip.go",
			cut:  "if isBotAuth(req.Header) {",
			with: "if isBotAuth(req.Header) && req.Body != nil && req.Body != http.NoBody {",
			test: "TestOverHTTP",
		},
		{
			name: "limits/admin-body", protects: "A request to the admin API takes no more memory than its bound.",
			file: "admin/request.go",
			cut:  "r.Body = http.MaxBytesReader(w, r.Body, maxBody)",
			with: "r.Body = http.MaxBytesReader(w, r.Body, 8*maxBody)",
			test: "TestBodyIsBounded",
		},
		{
			name: "limits/frame", protects: "A peer's length is believed up to a bound only.",
			file: "transport/frame.go",
			cut:  "if f.len > MaxMessage {",
			with: "if f.len == 0xffffffff {",
			test: "TestFramesAreBounded",
		},
	}
}
