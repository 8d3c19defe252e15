package main

import (
	"errors"
	"flag"
	"testing"
	"time"
)

func TestOptions(t *testing.T) {
	t.Setenv("DISCORDSIM_TOKEN", "a.b.c")
	o, jsonLog, err := options([]string{"-guilds=7", "-identify-window=1s", "-no-route-limits", "-seq-holes=5", "-log"})
	if err != nil {
		t.Fatal(err)
	}
	if o.Guilds != 7 || o.IdentifyWindow != time.Second || !o.NoRouteLimits || o.SeqHoles != 5 || !jsonLog || o.Token != "a.b.c" {
		t.Errorf("%+v", o)
	}
	if _, _, err := options([]string{"stray"}); !errors.Is(err, errArgs) {
		t.Errorf("stray argument: %v", err)
	}
	if code := run([]string{"-no-such-flag"}); code != 2 {
		t.Errorf("usage: exit code %d", code)
	}
	if _, _, err := options([]string{"-help"}); !errors.Is(err, flag.ErrHelp) {
		t.Errorf("help: %v", err)
	}
}
