package fact

import (
	"fmt"

	"github.com/intercooperative/icn/codec"
	"github.com/intercooperative/icn/kernel/api"
)

// KindClose is the kind of record by which the owner of a feed ends it, in each topic of MemberTopics.
const KindClose = "close"

// closing is the body of a close: the place of the record before it, the last that counts.
type closing struct {
	_  struct{} `cbor:",toarray"`
	At Place
}

// CloseBody makes the body of a close that follows on the record at.
func CloseBody(at Place) []byte { return codec.MustMarshal(&closing{At: at}) }

// Close applies a close, for the app that owns its topic and in that app's domain. It needs nobody's promise because it takes nothing back: it names the
// record right before it. A close that names anything else, an earlier place or one of another feed, would undo what others have seen: that takes the
// witnesses, so it is void.
func Close(tx api.Tx, rec *api.Record, domain api.Domain) api.Outcome {
	var c closing
	if err := codec.Unmarshal(rec.Body, &c); err != nil {
		return api.Voided(domain, "malformed", err.Error())
	}
	if c.At.Seq != rec.Seq-1 || c.At.ID != rec.Prev {
		out := api.Voided(domain, "close-elsewhere", "a close names the record right before it; to end a feed anywhere else takes the promises of the witnesses")
		out.Void.Inputs = map[string]string{"names": fmt.Sprint(c.At.Seq), "follows": fmt.Sprint(rec.Seq - 1)}
		out.Void.Remedy = "close the feed where it is (icnctl feed close), or ask the registrar to cut it (icnctl feed cut)"
		return out
	}
	tx.Publish(nameClosed, nil, api.Seq8(rec.Seq))
	tx.Cut(api.Cut{Feed: rec.Feed, At: rec.Position()})
	return api.Accepted
}

// Closed returns the record by which the owner of a feed has closed it, if so.
func Closed(r api.Reader, feed api.Hash) (api.Position, bool) {
	_, by, ok := r.Fact(feed, nameClosed, nil)
	return by, ok
}

// Closing is the data of the event that a feed has ended by its owner's word.
type Closing struct {
	Device api.Key `json:"device" doc:"whose feed has ended"`
}

// CloseEvent is the type of the event that a close makes in an app's topic.
func CloseEvent(app, scope, topic string) api.EventType {
	return api.Tell(api.EventType{
		Name: app + ".closed", Scope: scope, Summary: "A device's feed in " + topic + " has ended by its owner's word", Topic: topic, Kinds: []string{KindClose},
	}, func(_ api.Past, rec *api.Record) *Closing { return &Closing{Device: rec.Device} })
}
