package fact

import "github.com/intercooperative/icn/kernel/api"

// SaysClose describes KindClose in one topic of MemberTopics.
func SaysClose(topic string) api.KindSpec {
	return api.Says[closing](topic, KindClose, "End this device's own feed of "+topic+" behind record {at.seq}: nothing later of it counts.")
}
