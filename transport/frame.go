package transport

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// MaxMessage bounds a request and an answer.
const MaxMessage = 16 << 20

// maxErrorText bounds the text of an error answer.
const maxErrorText = 4 << 10

// frameType says what a frame of an rpc connection is.
type frameType byte

const (
	frameRequest  frameType = 1 // aux: the caller's remaining time in ms, 0 for none
	frameResponse frameType = 2
	frameError    frameType = 3 // payload: see appendRemoteError
	framePing     frameType = 4
	framePong     frameType = 5
)

// frameHeader precedes each payload on an rpc connection:
//
//	len[4] type[1] method[1] id[8] aux[4]
//
// len counts the payload alone.
type frameHeader struct {
	len    uint32
	typ    frameType
	method Method
	id     uint64
	aux    uint32
}

const frameHeaderLen = 18

// append encodes f.
func (f frameHeader) append(b []byte) []byte {
	b = binary.BigEndian.AppendUint32(b, f.len)
	b = append(b, byte(f.typ), byte(f.method))
	b = binary.BigEndian.AppendUint64(b, f.id)
	return binary.BigEndian.AppendUint32(b, f.aux)
}

// decodeFrameHeader is the inverse of append. It refuses unknown types and
// lengths above MaxMessage, both signs of a stream out of step.
func decodeFrameHeader(b []byte) (frameHeader, error) {
	if len(b) < frameHeaderLen {
		return frameHeader{}, errTruncated
	}
	f := frameHeader{
		len:    binary.BigEndian.Uint32(b),
		typ:    frameType(b[4]),
		method: Method(b[5]),
		id:     binary.BigEndian.Uint64(b[6:]),
		aux:    binary.BigEndian.Uint32(b[14:]),
	}
	if f.typ < frameRequest || f.typ > framePong {
		return f, fmt.Errorf("unknown frame type %d", f.typ)
	}
	if f.len > MaxMessage {
		return f, fmt.Errorf("frame of %d bytes: %w", f.len, ErrTooLarge)
	}
	return f, nil
}

// readFrame reads one frame. The payload is freshly allocated and belongs to
// the caller: handlers keep it (a proposal lives on in the log's cache).
func readFrame(r *bufio.Reader) (frameHeader, []byte, error) {
	b, err := r.Peek(frameHeaderLen)
	if err != nil {
		if errors.Is(err, io.EOF) && len(b) > 0 {
			err = io.ErrUnexpectedEOF
		}
		return frameHeader{}, nil, err
	}
	f, err := decodeFrameHeader(b)
	if err != nil {
		return f, nil, err
	}
	if _, err := r.Discard(frameHeaderLen); err != nil || f.len == 0 {
		return f, nil, err
	}
	payload := make([]byte, f.len)
	_, err = io.ReadFull(r, payload)
	return f, payload, err
}
