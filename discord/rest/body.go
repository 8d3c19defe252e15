package rest

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"mime/multipart"
	"net/http"

	"github.com/tidwall/gjson"
)

// maxBody bounds what is read of a message to put a nonce in: ten files of 10 MiB
// and more (reference.mdx, "Uploading Files"). A larger one passes without.
const maxBody = 128 << 20

// maxField bounds the fields of a form that are read into memory by themselves.
const maxField = 8 << 20

// enforced is what became of a message's nonce.
type enforced struct {
	body []byte
	safe bool // the body has a nonce that Discord enforces, so it may be sent twice
}

// addNonce puts nonce() and enforce_nonce into the body of a Create Message
// request, unless it has a nonce, and makes the body repeatable. A body that it
// can't read passes as it is: the API answers for it.
func addNonce(req *http.Request, nonce func() string) (safe bool, err error) {
	if req.Body == nil || req.Body == http.NoBody {
		return false, nil
	}
	raw, err := io.ReadAll(io.LimitReader(req.Body, maxBody+1))
	if err != nil {
		return false, errors.Join(err, req.Body.Close())
	}
	if len(raw) > maxBody {
		req.Body = prefixed{io.MultiReader(bytes.NewReader(raw), req.Body), req.Body}
		return false, nil
	}
	if err := req.Body.Close(); err != nil {
		return false, err
	}
	done := enforced{body: raw}
	kind, params, perr := mime.ParseMediaType(req.Header.Get("Content-Type"))
	switch {
	case perr != nil:
	case kind == "application/json":
		done = addNonceJSON(raw, nonce)
	case kind == "multipart/form-data":
		if d, err := addNonceForm(raw, params["boundary"], nonce); err == nil {
			done = d
		}
	}
	setBody(req, done.body)
	return done.safe, nil
}

// prefixed is a body of which the beginning was read already.
type prefixed struct {
	io.Reader
	io.Closer
}

// setBody gives a request a body that can be sent again.
func setBody(req *http.Request, body []byte) {
	req.ContentLength = int64(len(body))
	req.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(body)), nil }
	req.Body = io.NopCloser(bytes.NewReader(body))
	req.Header.Del("Content-Length")
}

// addNonceJSON adds the two fields to a JSON object.
func addNonceJSON(raw []byte, nonce func() string) enforced {
	body := bytes.TrimSpace(raw)
	if len(body) < 2 || body[0] != '{' || !gjson.ValidBytes(body) {
		return enforced{body: raw}
	}
	own, enforce := gjson.GetBytes(body, "nonce"), gjson.GetBytes(body, "enforce_nonce")
	if own.Exists() && own.Type != gjson.Null && own.String() != "" {
		return enforced{body: raw, safe: enforce.Bool()}
	}
	if enforce.Type == gjson.False && enforce.Exists() {
		return enforced{body: raw} // the author says no
	}
	if own.Exists() || enforce.Exists() {
		return replaceNonce(body, nonce())
	}
	sep := ","
	if len(bytes.TrimSpace(body[1:len(body)-1])) == 0 {
		sep = ""
	}
	out := make([]byte, 0, len(body)+64)
	out = append(out, body[:len(body)-1]...)
	out = append(out, sep+`"nonce":"`+nonce()+`","enforce_nonce":true}`...)
	return enforced{body: out, safe: true}
}

// replaceNonce sets the two fields where one of them is there already, empty.
func replaceNonce(body []byte, nonce string) enforced {
	fields := map[string]json.RawMessage{}
	if err := json.Unmarshal(body, &fields); err != nil {
		return enforced{body: body}
	}
	fields["nonce"] = json.RawMessage(`"` + nonce + `"`)
	fields["enforce_nonce"] = json.RawMessage("true")
	out, err := json.Marshal(fields)
	if err != nil {
		return enforced{body: body}
	}
	return enforced{body: out, safe: true}
}

// addNonceForm adds the nonce to payload_json of a form or, if it has none, as fields of the form.
func addNonceForm(raw []byte, boundary string, nonce func() string) (enforced, error) {
	var out bytes.Buffer
	out.Grow(len(raw) + 256)
	safe, err := copyForm(&out, bytes.NewReader(raw), boundary, nonce)
	if err != nil {
		return enforced{}, err
	}
	return enforced{body: out.Bytes(), safe: safe}, nil
}

// copyForm copies a form with a nonce added. Of its parts it holds in memory
// those that may have one, up to maxField bytes.
func copyForm(dst io.Writer, src io.Reader, boundary string, nonce func() string) (safe bool, err error) {
	f := formNonce{w: multipart.NewWriter(dst), nonce: nonce}
	if err := f.w.SetBoundary(boundary); err != nil {
		return false, err
	}
	r := multipart.NewReader(src, boundary)
	for {
		part, err := r.NextRawPart()
		if err == io.EOF {
			break
		}
		if err != nil {
			return false, err
		}
		if err := f.copy(part); err != nil {
			return false, err
		}
	}
	if err := f.finish(); err != nil {
		return false, err
	}
	return f.safe, nil
}

// formNonce copies a form part by part.
type formNonce struct {
	w             *multipart.Writer
	nonce         func() string
	payload       bool // payload_json was seen
	own, enforced bool // the form has a nonce, and enforces it
	safe          bool
}

// copy copies one part, payload_json with its nonce.
func (f *formNonce) copy(part *multipart.Part) error {
	dst, err := f.w.CreatePart(part.Header)
	if err != nil {
		return err
	}
	name := part.FormName()
	if part.FileName() != "" || name != "payload_json" && name != "nonce" && name != "enforce_nonce" {
		_, err = io.Copy(dst, part)
		return err
	}
	value, err := io.ReadAll(io.LimitReader(part, maxField+1))
	if err != nil {
		return err
	}
	if len(value) > maxField {
		return errors.New("a field of the form is too long")
	}
	switch name {
	case "payload_json":
		done := addNonceJSON(value, f.nonce)
		f.payload, f.safe, value = true, done.safe, done.body
	case "nonce":
		f.own = true
	case "enforce_nonce":
		f.enforced = string(value) == "true"
	}
	_, err = dst.Write(value)
	return err
}

// finish adds the two fields to a form without payload_json, and ends it.
func (f *formNonce) finish() error {
	switch {
	case f.payload:
	case f.own:
		f.safe = f.enforced
	default:
		if err := f.w.WriteField("nonce", f.nonce()); err != nil {
			return err
		}
		if err := f.w.WriteField("enforce_nonce", "true"); err != nil {
			return err
		}
		f.safe = true
	}
	return f.w.Close()
}
