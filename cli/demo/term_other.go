//go:build !unix

package demo

import "os"

func terminalWidth(*os.File) int { return 0 }
