package admin

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"strconv"

	"github.com/botnode/botnode/cache"
	"github.com/botnode/botnode/fsm"
)

// maxKVList bounds a list of keys for which no limit is asked.
const maxKVList = 10_000

func item(key string, it fsm.KVItem) KVItem {
	if json.Valid(it.Value) {
		return KVItem{Key: key, Value: it.Value, Version: it.Version}
	}
	text, _ := json.Marshal(base64.StdEncoding.EncodeToString(it.Value)) // a string always marshals
	return KVItem{Key: key, Value: text, Base64: true, Version: it.Version}
}

// Bytes returns the value itself.
func (k KVItem) Bytes() ([]byte, error) {
	if !k.Base64 {
		return k.Value, nil
	}
	var text string
	if err := json.Unmarshal(k.Value, &text); err != nil {
		return nil, err
	}
	return base64.StdEncoding.DecodeString(text)
}

func (s *Server) listKV(q *request) error {
	limit, err := q.number("limit")
	if err != nil {
		return err
	}
	if limit == 0 || limit > maxKVList {
		limit = maxKVList
	}
	query := q.URL.Query()
	out := []KVItem{}
	next := ""
	err = q.view(func(b *fsm.Bot, _ *cache.Cache) {
		for key, it := range b.KVScan(query.Get("prefix"), query.Get("cursor")) {
			if uint64(len(out)) == limit {
				next = key
				return
			}
			out = append(out, item(key, it))
		}
	})
	if err != nil {
		return err
	}
	if next != "" {
		q.w.Header().Set("Botnode-Cursor", next)
	}
	return q.json(out)
}

func (s *Server) getKV(q *request) error {
	key := q.PathValue("key")
	var it fsm.KVItem
	var ok bool
	if err := q.view(func(b *fsm.Bot, _ *cache.Cache) { it, ok = b.KVGet(key) }); err != nil {
		return err
	}
	if !ok {
		return WithHint(fmt.Errorf("%w: key %q", ErrNotFound, key), "`botnode kv list` shows the keys")
	}
	q.w.Header().Set("ETag", `"`+strconv.FormatUint(it.Version, 10)+`"`)
	return q.json(item(key, it))
}

func (s *Server) putKV(q *request) error { return q.writeKV(false) }

func (s *Server) deleteKV(q *request) error { return q.writeKV(true) }

// writeKV writes the body as it is, whatever it is, or deletes the key.
func (q *request) writeKV(del bool) error {
	bot, err := q.bot()
	if err != nil {
		return err
	}
	version, err := q.ifMatch()
	if err != nil {
		return err
	}
	var value []byte
	if !del {
		if value, err = io.ReadAll(q.Body); err != nil {
			return fmt.Errorf("%w: %w", ErrBadRequest, err)
		}
	}
	now, err := q.s.o.Backend.WriteKV(q.Context(), bot, q.PathValue("key"), value, del, version)
	if err != nil {
		return err
	}
	return q.json(map[string]any{"key": q.PathValue("key"), "version": now})
}
