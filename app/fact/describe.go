package fact

import "github.com/intercooperative/icn/kernel/api"

// SaysClose describes KindClose in one topic of MemberTopics.
func SaysClose(topic string) api.KindSpec {
	return api.Says[closing](topic, KindClose, "End this device's own feed of "+topic+" behind record {at.seq}: nothing later of it counts.").
		By("feed.close", api.Source{From: api.FromTopic, Input: "topic"}, api.Source{Field: "at", From: api.FromBefore})
}
