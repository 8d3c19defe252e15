package proxy

import (
	"net/url"
	"strings"
)

// apiPath is what a request's path says.
type apiPath struct {
	version string // "v9" or "v10"; "" if the path has none
	rest    string // the escaped path behind it, with the slash
}

// parsePath reads the escaped path of a request to the API. What is passed on is
// put together from its segments, so none may be one that a server takes for the
// way up, or that holds a slash of its own.
func parsePath(escaped string) (p apiPath, problem *apiError) {
	rest, ok := strings.CutPrefix(escaped, "/api")
	if !ok || rest != "" && rest[0] != '/' {
		return p, errNotFound
	}
	segs := strings.Split(strings.TrimPrefix(rest, "/"), "/")
	if v := segs[0]; len(v) > 1 && v[0] == 'v' && strings.Trim(v[1:], "0123456789") == "" {
		if v != "v9" && v != "v10" {
			return p, errVersion
		}
		p.version, segs = v, segs[1:]
	}
	if len(segs) > 1 && segs[len(segs)-1] == "" {
		segs = segs[:len(segs)-1] // a slash at the end
	}
	for _, seg := range segs {
		if !plainSegment(seg) {
			return p, errNotFound
		}
	}
	if len(segs) == 0 {
		return p, errNotFound
	}
	p.rest = "/" + strings.Join(segs, "/")
	return p, nil
}

// plainSegment reports whether a segment names something below the one before,
// as it is and to whoever decodes it once or twice.
func plainSegment(seg string) bool {
	for range 3 {
		if seg == "" || seg == "." || seg == ".." || strings.ContainsFunc(seg, func(r rune) bool { return r < ' ' || r == 0x7f || r == '/' || r == '\\' }) {
			return false
		}
		plain, err := url.PathUnescape(seg)
		if err != nil {
			return true // it has no encoding any more
		}
		seg = plain
	}
	return true
}

// target is where a request goes: below the API's address, in the version that
// the client asked for. It returns nil if that would be elsewhere.
func (p apiPath) target(base string, rawQuery string) *url.URL {
	prefix := strings.TrimSuffix(base, "/")
	if i := strings.LastIndexByte(prefix, '/'); p.version != "" && i >= 0 {
		if v := prefix[i+1:]; len(v) > 1 && v[0] == 'v' && strings.Trim(v[1:], "0123456789") == "" {
			prefix = prefix[:i+1] + p.version
		}
	}
	b, err := url.Parse(prefix)
	if err != nil || strings.ContainsFunc(rawQuery, func(r rune) bool { return r <= ' ' || r == 0x7f || r == '#' }) {
		return nil
	}
	u, err := url.Parse(prefix + p.rest)
	if err != nil || u.Host != b.Host || u.Scheme != b.Scheme || u.User != nil || !strings.HasPrefix(u.EscapedPath(), b.EscapedPath()+"/") || u.Fragment != "" {
		return nil
	}
	u.RawQuery = rawQuery
	return u
}
