package api

// Maker says how an operation comes to have its caller sign a record of a kind, field by field, so that whoever signs can compare the record with what
// they asked for, and need not believe the node that made it. A field without a Source is the input of the same name; one that is left empty, or whose
// input is not given, is empty in the record.
type Maker struct {
	Operation string   `json:"operation"`
	Sources   []Source `json:"sources,omitempty" doc:"of the fields that are not the input of their name"`
}

// Source says where one field's value comes from.
type Source struct {
	Field string `json:"field,omitempty" doc:"name of the field, target.device in a tuple; none where the origin is topic"`
	From  Origin `json:"from"`
	Input string `json:"input,omitempty" doc:"the input that it comes from"`
	Why   string `json:"why,omitempty" doc:"of what the node fills in: what it is"`
}

// Origin is what kind of source a value has.
type Origin string

// The origins. All but FromNode can be checked by who signs.
const (
	FromInput  Origin = "input"  // the value of an input
	FromNot    Origin = "not"    // true exactly when an input is false
	FromAuthor Origin = "author" // the DID that signs; with an Input, that where it is given
	FromDevice Origin = "device" // the device that signs
	FromTopic  Origin = "topic"  // no field: the input names the record's topic
	FromAuth   Origin = "auth"   // the key event log that certifies the device that signs, or nothing where the record carries it beside the body
	FromBefore Origin = "before" // seq and id of the record before in the same feed
	FromClock  Origin = "clock"  // the time of the record
	FromSet    Origin = "set"    // the values of an input that is a list, in ascending order
	FromRecord Origin = "record" // the same field of the record whose id is an input
	FromSerial Origin = "serial" // a count without gaps: a record with any other number has no effect
	FromNode   Origin = "node"   // the node fills it in: somebody has to look at it
)

// By declares that an operation makes records of the kind. It may be called for several operations.
func (k KindSpec) By(operation string, sources ...Source) KindSpec {
	k.Makers = append(k.Makers[:len(k.Makers):len(k.Makers)], Maker{Operation: operation, Sources: sources})
	return k
}
