package sim

import (
	"encoding/json"
	"errors"
	"io"
	"mime"
	"mime/multipart"
	"strings"
)

// errBody says that a body can't be read.
var errBody = errors.New("sim: unreadable body")

// maxBody bounds a request; Discord's own limit is 25 MiB for a bot's files.
const maxBody = 32 << 20

// readBody reads a JSON body, or payload_json and files[n] of a multipart one
// (reference.mdx, "Uploading Files").
func (c *call) readBody() error {
	kind, params, _ := mime.ParseMediaType(c.r.Header.Get("Content-Type"))
	in := io.LimitReader(c.r.Body, maxBody)
	if kind == "multipart/form-data" {
		return c.readParts(multipart.NewReader(in, params["boundary"]))
	}
	b, err := io.ReadAll(in)
	if err != nil {
		return errBody
	}
	if len(b) > 0 && !json.Valid(b) {
		return errBody
	}
	c.body = b
	return nil
}

func (c *call) readParts(m *multipart.Reader) error {
	loose := obj{}
	for {
		p, err := m.NextPart()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return errBody
		}
		switch {
		case p.FormName() == "payload_json":
			if c.body, err = io.ReadAll(p); err != nil || !json.Valid(c.body) {
				return errBody
			}
		case p.FileName() != "":
			n, err := io.Copy(io.Discard, p)
			if err != nil {
				return errBody
			}
			c.files = append(c.files, attached{p.FileName(), n, p.Header.Get("Content-Type")})
		default:
			b, err := io.ReadAll(p)
			if err != nil {
				return errBody
			}
			loose[strings.TrimSpace(p.FormName())] = string(b)
		}
	}
	if c.body == nil && len(loose) > 0 {
		c.body = encode(loose)
	}
	return nil
}
