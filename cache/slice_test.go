package cache

import (
	"bytes"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// TestSliceFindsWhatScanFinds compares the two ways to slice an event, in data
// with names that come twice, escapes, other types and white space.
func TestSliceFindsWhatScanFinds(t *testing.T) {
	for _, d := range []string{
		`{}`, `{"id":"1"}`, `{ "id" : "1" , "author" : { "x" : [ ] , "id" : "2" } , "guild_id" : 3 }`,
		`{"author":{"id":"1"},"author":{}}`, `{"author":null,"id":null}`, `{"\u0069d":"7","channel_id":"8"}`,
		`{"id":"1","id":"2","member":{},"mentions":[{"id":"3"}]}`, `[]`, `"x"`, `{"id":"1"`, ``,
	} {
		data := []byte("padding" + d)[len("padding"):]
		var want, got event
		ok := want.scan(data)
		found := Slice(data)
		if ok != (found.Slices != nil) {
			t.Errorf("%s: slices %v, an object: %v", d, found.Slices, ok)
		}
		if !ok {
			continue
		}
		if !got.take(data, found.Slices) {
			t.Errorf("%s: its own slices are refused", d)
		}
		if want.author != nil {
			want.authorID = idOf(want.author)
		}
		for i, f := range fields[1:] {
			switch {
			case f.id != nil:
				if *f.id(&want) != *f.id(&got) {
					t.Errorf("%s: %s is %d, want %d", d, f.name, *f.id(&got), *f.id(&want))
				}
			case !bytes.Equal(*f.val(&want), *f.val(&got)):
				t.Errorf("%s: field %d is %s, want %s", d, i, *f.val(&got), *f.val(&want))
			}
		}
		if found.ID != want.id || found.Guild != want.guild || found.Channel != want.channel {
			t.Errorf("%s: found %+v", d, found)
		}
	}
}

// TestFieldsKeepTheirPlaces: places are in the log. New fields go to the end.
func TestFieldsKeepTheirPlaces(t *testing.T) {
	want := strings.Fields(`author.id id guild_id channel_id message_id user_id user author member role role_id sound_id
		emoji unavailable burst member_count last_pin_timestamp chunk_index chunk_count nonce status thread_metadata
		guild_scheduled_event_id mentions ids guilds channels threads roles emojis stickers members presences voice_states
		stage_instances guild_scheduled_events soundboard_sounds channel_ids added_members removed_member_ids`)
	for i, name := range want {
		if i+1 >= len(fields) || fields[i+1].name != name {
			t.Fatalf("place %d is not %s any more: logs on disk say that it is", i+1, name)
		}
	}
	if len(fields) != len(want)+1 {
		t.Errorf("%d fields, want %d: enter the new ones here", len(fields)-1, len(want))
	}
}

// Slices of anything else do no harm: they are refused, or name parts of d.
func TestForeignSlices(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		d := rapid.SliceOfN(rapid.Byte(), 0, 40).Draw(t, "d")
		foreign := rapid.SliceOfN(rapid.ByteRange(0, 60), 0, 20).Draw(t, "slices")
		c := New(everything())
		c.ApplySliced(0, 1, "GUILD_CREATE", []byte(fullGuild), foreign)
		c.ApplySliced(0, 1, rapid.SampledFrom([]string{"MESSAGE_CREATE", "GUILD_CREATE", "READY"}).Draw(t, "event"), d, foreign)
		check(t, c)
	})
}
