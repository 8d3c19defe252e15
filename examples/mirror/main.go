// Mirror copies a bot's events into a file, a line each, as a model of how to
// keep one's own store in step with a cluster:
//
//	mirror -file events.tsv http://127.0.0.1:7201 http://127.0.0.1:7202 http://127.0.0.1:7203
//
// A line is position, kind (event or gap) and JSON, with tabs between. The last
// line says where to go on, whichever node is read and whatever has died: no
// event is lost or there twice. A gap line says which positions the cluster no
// longer had when they were asked for (retain_bytes): only those are missing.
package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"
)

func main() {
	path := flag.String("file", "events.tsv", "the file that is written, and read to know where to go on")
	bot := flag.String("bot", "", "the bot, where the cluster has several")
	flag.Parse()
	err := errors.New("the admin addresses of the nodes are wanted")
	if flag.NArg() > 0 {
		err = (&mirror{bot: *bot, nodes: flag.Args()}).run(*path)
	}
	fmt.Fprintln(os.Stderr, "mirror:", err) // it never ends by itself
	os.Exit(1)
}

// mirror is the file and how far it is.
type mirror struct {
	bot   string
	nodes []string
	file  *os.File
	last  uint64 // position of the last line
}

// run reads from a node until that ends, then from the next. It may be killed at
// any time.
func (m *mirror) run(path string) (err error) {
	if m.file, err = os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o644); err != nil {
		return err
	}
	if err := m.resume(); err != nil {
		return err
	}
	for i := 0; ; i++ {
		node := m.nodes[i%len(m.nodes)]
		fmt.Fprintf(os.Stderr, "mirror: reading from %s after position %d\n", node, m.last)
		err := m.read(node)
		if failed := (*writeError)(nil); errors.As(err, &failed) {
			return err
		}
		fmt.Fprintf(os.Stderr, "mirror: %s: %v\n", node, err)
		time.Sleep(100 * time.Millisecond)
	}
}

// resume finds the last whole line; what follows it was cut off.
func (m *mirror) resume() error {
	in := bufio.NewReader(m.file)
	whole := int64(0)
	for {
		line, err := in.ReadString('\n')
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		pos, _, _ := strings.Cut(line, "\t")
		if m.last, err = strconv.ParseUint(pos, 10, 64); err != nil {
			return fmt.Errorf("%s: not a line of a mirror: %q", m.file.Name(), line)
		}
		whole += int64(len(line))
	}
	_, err := m.file.Seek(whole, io.SeekStart)
	return errors.Join(err, m.file.Truncate(whole))
}

type writeError struct{ error } // of the mirror's own file

const silence = 40 * time.Second // a node that lives says something sooner

// read copies a node's stream of server-sent events until it breaks off.
func (m *mirror) read(node string) error {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	idle := time.AfterFunc(silence, cancel)
	defer idle.Stop()
	target := node + "/v1/events?from=" + strconv.FormatUint(m.last+1, 10)
	if m.bot != "" {
		target += "&bot=" + url.QueryEscape(m.bot)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, target, nil)
	if err != nil {
		return err
	}
	if token := os.Getenv("BOTNODE_ADMIN_TOKEN"); token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = res.Body.Close() }()
	in := bufio.NewReader(res.Body)
	if res.StatusCode != http.StatusOK {
		text, _ := in.ReadString('\n')
		return fmt.Errorf("%s %s", res.Status, text)
	}
	for id, kind, data := uint64(0), "event", ""; ; {
		line, err := in.ReadBytes('\n')
		if err != nil {
			return err // in the middle of a block perhaps: only a whole one counts
		}
		idle.Reset(silence)
		name, value, _ := strings.Cut(string(bytes.TrimSpace(line)), ": ")
		switch name {
		case "id":
			if id, err = strconv.ParseUint(value, 10, 64); err != nil {
				return err
			}
		case "event":
			kind = value
		case "data":
			data = value
		case "":
			if data != "" { // a block without data only says that the stream lives
				if _, err := fmt.Fprintf(m.file, "%d\t%s\t%s\n", id, kind, data); err != nil {
					return &writeError{err}
				}
				m.last = id
			}
			kind, data = "event", ""
		}
	}
}
