package transport

import (
	"errors"
	"testing"

	"github.com/botnode/botnode/internal/golden"
)

// TestGoldenHandshake: nodes of two versions speak to each other, or tell each
// other why not.
func TestGoldenHandshake(t *testing.T) {
	var l golden.Lines
	for _, k := range []kind{kindRPC, kindRaft, kindGossip, kindStranger} {
		l.Add(k.String(), header{version: protocolVersion, kind: k, incarnation: 1 << 50, cluster: "c1", id: "joe", addr: "10.0.0.1:7101"}.append(nil))
	}
	for _, k := range []kind{answerOK, answerVersion, answerCluster, answerDuplicate, answerStale, answerRefused, answerUntrusted} {
		l.Add(k.reason().Error(), header{version: protocolVersion, kind: k, incarnation: 2, cluster: "c1", id: "mike", addr: "10.0.0.2:7101", note: "why"}.append(nil))
	}
	for _, f := range []frameType{frameRequest, frameResponse, frameError, framePing, framePong} {
		l.Add("frame", frameHeader{len: 5, typ: f, method: 4, id: 1 << 40, aux: 300}.append(nil))
	}
	l.Add("error", appendRemoteError(nil, &RemoteError{Code: "busy", Message: "later"}))
	l.Add("error", appendRemoteError(nil, errors.New("plain")))
	golden.Check(t, "handshake.txt", l.String())
}
