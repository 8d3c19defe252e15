package sim

import "net/http"

func miscRoutes() []route {
	return []route{
		on("GET", "/voice/regions", "voice.regions", voiceRegions),
		on("GET", "/sticker-packs", "stickers.packs", func(*call) reply { return ok(obj{"sticker_packs": []any{}}) }),
		on("GET", "/soundboard-default-sounds", "sounds", emptyList),
	}
}

// roots are the first segments of Discord's API. A route that the table doesn't
// know answers something plausible below them, and 404 elsewhere.
var roots = map[string]bool{
	"applications": true, "channels": true, "guilds": true, "users": true, "webhooks": true, "invites": true,
	"stickers": true, "stage-instances": true, "soundboard-default-sounds": true, "sticker-packs": true, "skus": true,
	"voice": true, "lobbies": true, "oauth2": true, "gateway": true, "interactions": true,
}

// lists are the last segments whose GET is a list.
var lists = map[string]bool{
	"invites": true, "integrations": true, "webhooks": true, "scheduled-events": true, "stickers": true, "templates": true,
	"bans": true, "rules": true, "entitlements": true, "skus": true, "subscriptions": true, "connections": true,
	"metadata": true, "users": true, "soundboard-sounds": true, "pins": true, "regions": true,
}

// plausible answers a route of the API that the world has no model of.
func plausible(c *call) reply {
	segs := c.p
	if len(segs) == 0 || !roots[segs[0]] {
		return apiError(http.StatusNotFound, 0, "404: Not Found")
	}
	last := segs[len(segs)-1]
	switch c.r.Method {
	case http.MethodDelete:
		return noContent()
	case http.MethodGet:
		if lists[last] {
			return ok(raw("[]"))
		}
		if ParseID(last) != 0 {
			return ok(obj{"id": last})
		}
		return ok(obj{})
	case http.MethodPost, http.MethodPut, http.MethodPatch:
		o := c.fields()
		if ParseID(last) != 0 {
			o["id"] = last
		} else if _, has := o["id"]; !has {
			o["id"] = c.srv.world.ids.next()
		}
		return ok(o)
	}
	return apiError(http.StatusMethodNotAllowed, 0, "405: Method Not Allowed")
}
