//go:build unix

package chaos

import (
	"testing"
	"time"
)

// TestSoakFindsGrowth: goroutines that grow without end are found, a spike or
// another process's use is not.
func TestSoakFindsGrowth(t *testing.T) {
	for name, tt := range map[string]struct {
		found bool
		at    func(i int) use
	}{
		"flat":    {false, func(int) use { return use{goroutines: 100} }},
		"growing": {true, func(i int) use { return use{goroutines: float64(100 + 10*i)} }},
		"spikes":  {false, func(i int) use { return use{goroutines: float64(100 + 1000*(i%2))} }},
		"restarted": {false, func(i int) use {
			if i < 8 {
				return use{goroutines: 10}
			}
			return use{goroutines: 100, life: 1}
		}},
	} {
		t.Run(name, func(t *testing.T) {
			r := &run{o: options{length: 32 * time.Minute, logf: t.Logf}, started: time.Now()}
			s := &soak{r: r, uses: map[string][]use{}}
			for i := range 32 {
				u := tt.at(i)
				u.at = time.Duration(i) * time.Minute
				s.uses["joe"] = append(s.uses["joe"], u)
			}
			s.judge()
			if found := len(r.violations) > 0; found != tt.found {
				t.Errorf("%q", r.violations)
			}
		})
	}
}
