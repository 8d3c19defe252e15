//go:build unix && !linux

package integration

import (
	"errors"
	"testing"
)

func mountSmall(*testing.T, string, int) error { return errors.New("only on Linux") }
