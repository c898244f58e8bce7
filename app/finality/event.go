package finality

import (
	"github.com/intercooperative/icn/app/fact"
	"github.com/intercooperative/icn/kernel/api"
)

var _ api.EventSource = (*App)(nil)

// Turned is the data of finality.sealed and finality.started.
type Turned struct {
	Epoch   uint64  `json:"epoch" doc:"that follows, or has begun for this witness"`
	Witness api.Key `json:"witness" doc:"device"`
}

// Ended is the data of finality.drafted and finality.cut.
type Ended struct {
	Topic  string   `json:"topic" doc:"name of the topic"`
	Device api.Key  `json:"device" doc:"whose feed ends"`
	Feed   api.Hash `json:"feed"`
	Number uint64   `json:"number" doc:"of the cut of this feed"`
	Seq    uint64   `json:"seq,omitempty" doc:"of a cut: the last place that stands"`
	Next   api.Key  `json:"next,omitzero" doc:"of a draft: the device that goes on; that of the feed: nobody; none: the feed itself"`
}

// Named is the data of finality.named.
type Named struct {
	Epoch     uint64    `json:"epoch"`
	Witnesses []api.Key `json:"witnesses" doc:"devices"`
	Threshold uint16    `json:"threshold" doc:"how many make something final"`
	Faulty    uint16    `json:"faulty" doc:"how many may lie without harm"`
}

// Registrar is the data of finality.handed and finality.replaced.
type Registrar struct {
	DID    api.DID `json:"did" doc:"the registrar from now on"`
	Number uint64  `json:"number" doc:"how many there have been, this one included"`
	Before api.Key `json:"before,omitzero" doc:"the device that has fallen silent"`
}

// Checked is the data of finality.checkpoint and finality.checked.
type Checked struct {
	Number  uint64   `json:"number" doc:"of the checkpoint"`
	Digest  api.Hash `json:"digest" doc:"of the state"`
	Records uint64   `json:"records,omitempty" doc:"of a checkpoint: how many are below"`
	Agrees  bool     `json:"agrees,omitempty" doc:"of a check: the witness has found what the checkpoint says"`
}

// Events implements api.EventSource. Statements and promises make none: the kernel tells what they come to, as record.final and feed.cut. Votes make none:
// the replacement that enough of them make does.
func (*App) Events() []api.EventType {
	of := func(name, summary, topic, kind string) api.EventType {
		return api.EventType{Name: "finality." + name, Scope: "space:read", Summary: summary, Topic: topic, Kinds: []string{kind}}
	}
	return []api.EventType{
		api.Tell(of("sealed", "A witness says nothing more in its epoch", fact.FinalityTopic, kindSeal), turned),
		api.Tell(of("started", "A witness speaks in a new epoch", fact.FinalityTopic, kindStart), turned),
		api.Tell(of("drafted", "The registrar wants to end a feed and asks the witnesses", fact.CutTopic, kindDraft), func(_ api.Past, rec *api.Record) *Ended {
			var d draft
			if read(rec.Body, &d) != nil {
				return nil
			}
			return &Ended{Topic: d.Target.Topic, Device: d.Target.Device, Feed: d.Target.feed(rec.Topic.Space), Number: d.Number, Next: d.Next}
		}),
		api.Tell(of("cut", "The registrar has ended a feed; for everybody once that is final, see feed.cut", fact.CutTopic, kindCut), func(_ api.Past, rec *api.Record) *Ended {
			var c cut
			if read(rec.Body, &c) != nil {
				return nil
			}
			return &Ended{Topic: c.Target.Topic, Device: c.Target.Device, Feed: c.Target.feed(rec.Topic.Space), Number: c.Number, Seq: c.At.Seq}
		}),
		api.Tell(of("named", "The registrar has named the next witnesses", fact.CutTopic, kindEpoch), func(_ api.Past, rec *api.Record) *Named {
			var e epoch
			if read(rec.Body, &e) != nil {
				return nil
			}
			return &Named{Epoch: e.Number, Witnesses: e.Witnesses, Threshold: e.Threshold, Faulty: e.Faulty}
		}),
		api.Tell(of("handed", "The registrar has handed its work over", fact.CutTopic, kindHand), func(_ api.Past, rec *api.Record) *Registrar {
			var h hand
			if read(rec.Body, &h) != nil {
				return nil
			}
			return &Registrar{DID: h.DID, Number: h.Number}
		}),
		api.Tell(of("replaced", "The witnesses have put somebody in the place of a silent registrar", fact.OfficeTopic, kindReplace), func(_ api.Past, rec *api.Record) *Registrar {
			var r replace
			if read(rec.Body, &r) != nil {
				return nil
			}
			return &Registrar{DID: r.DID, Number: r.Number, Before: r.Before}
		}),
		api.Tell(of("checkpoint", "The registrar has said to what state the final records come", fact.CutTopic, kindCheckpoint), func(_ api.Past, rec *api.Record) *Checked {
			var c checkpoint
			if read(rec.Body, &c) != nil {
				return nil
			}
			return &Checked{Number: c.Number, Digest: c.Digest, Records: c.Records}
		}),
		api.Tell(of("checked", "A witness has folded a checkpoint's records anew", fact.FinalityTopic, kindCheck), func(_ api.Past, rec *api.Record) *Checked {
			var c check
			if read(rec.Body, &c) != nil {
				return nil
			}
			return &Checked{Number: c.Number, Digest: c.Digest, Agrees: len(c.Apps) == 0}
		}),
	}
}

func turned(_ api.Past, rec *api.Record) *Turned {
	var t turn
	if read(rec.Body, &t) != nil {
		return nil
	}
	return &Turned{Epoch: t.Number, Witness: rec.Device}
}
