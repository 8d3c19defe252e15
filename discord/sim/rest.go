package sim

import (
	"bytes"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// rest is the REST API: a table of routes behind authentication, the faults,
// the global limit, the limit of the route's bucket, and the ban of addresses
// that make too many invalid requests.
type rest struct {
	srv    *Server
	routes map[string][]*route // by method and number of segments
	limits *limits
}

// route is one line of the table.
type route struct {
	method string
	path   []string // a segment "{x}" matches anything
	bucket string
	open   bool // needs no Authorization
	exempt bool // not under the global limit: interaction endpoints
	handle func(*call) reply
}

// call is one request on its way through a handler.
type call struct {
	srv  *Server
	r    *http.Request
	p    []string // what the "{x}" matched
	body []byte   // the JSON body, or payload_json of a multipart one
	// files are the names of the attached files.
	files []attached
	// after is what must happen once the answer was written.
	after []func()
}

// attached is one uploaded file.
type attached struct {
	name string
	size int64
	kind string
}

// id is parameter i as a snowflake.
func (c *call) id(i int) ID { return ParseID(c.p[i]) }

// json reads the body into v; an empty body is an empty object.
func (c *call) json(v any) bool { return len(c.body) == 0 || json.Unmarshal(c.body, v) == nil }

// fields is the body as an object.
func (c *call) fields() obj {
	if len(c.body) == 0 {
		return obj{}
	}
	return decode(c.body)
}

// reply is the answer of a handler.
type reply struct {
	status int
	body   any // nil is no body
	scope  string
	header map[string]string
}

func ok(body any) reply      { return reply{status: http.StatusOK, body: body} }
func created(body any) reply { return reply{status: http.StatusCreated, body: body} }
func noContent() reply       { return reply{status: http.StatusNoContent} }

// apiError is an error as Discord writes it (topics/opcodes-and-status-codes.mdx, "JSON").
func apiError(status, code int, message string) reply {
	return reply{status: status, body: obj{"code": code, "message": message}}
}

func unknown(code int, what string) reply {
	return apiError(http.StatusNotFound, code, "Unknown "+what)
}

func newREST(s *Server) *rest {
	x := &rest{srv: s, routes: map[string][]*route{}, limits: newLimits(&s.opts)}
	for _, table := range [][]route{
		gatewayRoutes(), userRoutes(), messageRoutes(), channelRoutes(), threadRoutes(), guildRoutes(), memberRoutes(),
		commandRoutes(), interactionRoutes(), miscRoutes(),
	} {
		for i := range table {
			r := &table[i]
			k := routeKey(r.method, len(r.path))
			x.routes[k] = append(x.routes[k], r)
		}
	}
	return x
}

func routeKey(method string, n int) string { return method + string(rune('0'+n)) }

// on makes a route; the path is written as in Discord's documents.
func on(method, path, bucket string, h func(*call) reply) route {
	return route{method: method, path: strings.Split(strings.Trim(path, "/"), "/"), bucket: bucket, handle: h}
}

// find matches a path. Literal segments win over parameters by standing first.
func (x *rest) find(method string, segs []string) (*route, []string) {
	for _, r := range x.routes[routeKey(method, len(segs))] {
		if p, ok := r.match(segs); ok {
			return r, p
		}
	}
	return &route{method: method, path: segs, bucket: "other", handle: plausible}, segs
}

func (r *route) match(segs []string) ([]string, bool) {
	var p []string
	for i, s := range r.path {
		switch {
		case s[0] == '{':
			p = append(p, segs[i])
		case s != segs[i]:
			return nil, false
		}
	}
	return p, true
}

// segments is the path below /api/vN, unescaped, or nil for another version.
func segments(u *url.URL) []string {
	parts := strings.Split(strings.Trim(u.EscapedPath(), "/"), "/")
	if len(parts) < 3 || parts[1] != "v10" && parts[1] != "v9" {
		return nil
	}
	parts = parts[2:]
	for i, p := range parts {
		if q, err := url.PathUnescape(p); err == nil {
			parts[i] = q
		}
	}
	return parts
}

// ServeHTTP answers one request.
func (x *rest) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s := x.srv
	s.wg.Add(1)
	defer s.wg.Done()
	if s.faults.inOutage() {
		http.Error(w, "upstream connect error", http.StatusServiceUnavailable)
		return
	}
	ip, _, _ := net.SplitHostPort(r.RemoteAddr)
	segs := segments(r.URL)
	if segs == nil {
		x.write(w, r, &route{bucket: "other"}, apiError(http.StatusBadRequest, 50041, "Invalid API version"))
		return
	}
	if x.limits.banned(ip) {
		s.ledger.request(Request{Remote: r.RemoteAddr, Method: r.Method, Path: r.URL.Path, Status: 429, Scope: "ban"})
		w.Header().Set("Content-Type", "text/plain; charset=UTF-8")
		w.WriteHeader(http.StatusTooManyRequests)
		_, _ = io.WriteString(w, "error code: 1015")
		return
	}
	rt, p := x.find(r.Method, segs)
	c := &call{srv: s, r: r, p: p}
	rep, alive := x.answer(c, rt, segs, ip)
	if !alive {
		panic(http.ErrAbortHandler)
	}
	x.write(w, r, rt, rep)
	for _, f := range c.after {
		f()
	}
}

// answer is everything between the request and its answer; false drops the
// connection instead.
func (x *rest) answer(c *call, rt *route, segs []string, ip string) (reply, bool) {
	s := x.srv
	if d := s.faults.answerDelay(); d > 0 {
		s.sleep(d)
	}
	if !rt.open && !s.hub.authentic(strings.TrimPrefix(c.r.Header.Get("Authorization"), "Bot ")) {
		x.limits.invalid(ip)
		return apiError(http.StatusUnauthorized, 0, "401: Unauthorized"), true
	}
	fault, hit := s.faults.forRequest(rt.bucket)
	if hit && fault.Kind == "rest_429" {
		return x.faulty429(fault, rt, ip), true
	}
	if hit && !fault.After {
		return x.faulty(fault, rt)
	}
	if rep, limited := x.limits.take(rt, segs, ip); limited {
		x.limits.invalid(ip)
		return rep, true
	}
	rep := reply{}
	if err := c.readBody(); err != nil {
		rep = apiError(http.StatusBadRequest, 50109, "The request body contains invalid JSON.")
	} else {
		rep = rt.handle(c)
	}
	if rep.status == http.StatusForbidden || rep.status == http.StatusUnauthorized {
		x.limits.invalid(ip)
	}
	if hit {
		return x.faulty(fault, rt)
	}
	rep.header = x.limits.headers(rt, segs)
	return rep, true
}

func (x *rest) faulty(f Fault, _ *route) (reply, bool) {
	if f.Kind == "rest_cut" {
		return reply{}, false
	}
	status := f.Status
	if status == 0 {
		status = http.StatusBadGateway
	}
	return apiError(status, 0, http.StatusText(status)), true
}

func (x *rest) faulty429(f Fault, rt *route, ip string) reply {
	d := time.Duration(max(f.MS, 50)) * time.Millisecond
	if f.Scope != "shared" {
		x.limits.invalid(ip)
	}
	return tooMany(rt, f.Scope, d, Limit{5, d})
}

// write sends the answer and records it.
func (x *rest) write(w http.ResponseWriter, r *http.Request, rt *route, rep reply) {
	x.srv.ledger.request(Request{
		Remote: r.RemoteAddr, Method: r.Method, Path: r.URL.Path, Bucket: rt.bucket, Status: rep.status, Scope: rep.scope,
	})
	for k, v := range rep.header {
		w.Header().Set(k, v)
	}
	if rep.body == nil {
		w.WriteHeader(rep.status)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(rep.status)
	b, isRaw := rep.body.(raw)
	if !isRaw {
		b = encode(rep.body)
	}
	_, _ = io.Copy(w, bytes.NewReader(b))
}
