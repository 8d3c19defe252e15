package botnode

import (
	"strings"
	"testing"
)

type testSettings struct {
	LogChannel string   `yaml:"log_channel"`
	Limit      int      `yaml:"limit"`
	Words      []string `yaml:"words"`
	Quiet      bool
}

func TestSettings(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		app  map[string]any
		env  []string
		want testSettings
		err  string
	}{
		"defaults":    {want: testSettings{Limit: 3}},
		"file":        {app: map[string]any{"limit": 7, "words": []any{"a", "b"}}, want: testSettings{Limit: 7, Words: []string{"a", "b"}}},
		"environment": {app: map[string]any{"limit": 7}, env: []string{"APP_LIMIT=9", "APP_LOG_CHANNEL=123", "APP_QUIET=true", "APP_ENV=production", "LIMIT=1"}, want: testSettings{Limit: 9, LogChannel: "123", Quiet: true}},
		"unknown key": {app: map[string]any{"limits": 7}, err: "limits"},
		"wrong type":  {env: []string{"APP_LIMIT=many"}, err: "app:"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b, got := New(), testSettings{Limit: 3}
			b.Settings(&got)
			err := b.readSettings(c.app, c.env)
			if c.err != "" {
				if err == nil || !strings.Contains(err.Error(), c.err) {
					t.Fatalf("%v, want an error about %q", err, c.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if got.LogChannel != c.want.LogChannel || got.Limit != c.want.Limit || got.Quiet != c.want.Quiet || strings.Join(got.Words, " ") != strings.Join(c.want.Words, " ") {
				t.Errorf("%+v, want %+v", got, c.want)
			}
		})
	}
	if err := New().readSettings(map[string]any{"x": 1}, nil); err == nil {
		t.Error("a section app: that nobody reads is taken")
	}
}
