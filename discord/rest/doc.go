// Package rest is an [http.RoundTripper] for Discord's REST API. It keeps the
// limits that Discord publishes before Discord has to: buckets that are learnt
// from the answers' headers, the global limit, and the count of invalid
// requests that ends in a ban of the IP address (topics/rate-limits.mdx).
//
// One request passes, in this order:
//
//	refusals (dead token, too many invalid requests) -> nonce in the body
//	-> the bucket's queue -> the global limit -> the gate -> the wire
//	-> what the answer teaches -> the caller, or once more
//
// The decision "may this request go now" is behind [Limiter], so that a limiter
// for the whole cluster can take the place of the one for this node.
//
// What the package refuses to do: it knows no route by heart (an unknown one
// passes like any other), it decodes no answer for the caller, it repeats no
// request whose repetition could act twice, it sends the bot's token to no
// other host than the API's, and it never shows a token in an error or a log.
package rest
