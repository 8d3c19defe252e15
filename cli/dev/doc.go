// Package dev is `botnode dev`: a bot at a prompt. What is typed, a user of a
// simulated Discord writes; what the bot writes is printed. The node and the
// Discord are in memory (package node/lab): there is no token, no network and no
// file.
//
// It is as good a tool for scripts as for people. Where the input is a pipe there
// is no prompt; each line waits until the bot has handled it, so that answers
// come in the order of the lines, and the end of the input waits for the rest.
package dev
