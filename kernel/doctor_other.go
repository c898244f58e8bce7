//go:build !linux && !darwin

package kernel

func checkSpace(string) Check {
	return Check{Name: "disk-space", State: CheckSkip, Value: "not known on this system"}
}

func checkFiles() Check {
	return Check{Name: "open-files", State: CheckSkip, Value: "not known on this system"}
}
