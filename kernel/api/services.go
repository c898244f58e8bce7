package api

import (
	"fmt"
	"reflect"
	"sync"
)

// Services holds what apps offer to each other, found by type. Each type is provided once, before the kernel runs;
// whoever looks one up declares the small interface it needs.
type Services struct {
	mu sync.RWMutex
	m  map[reflect.Type]any
}

// Provide offers v as a T. It panics when a T has been provided already: two owners of one service are a wiring mistake.
func Provide[T any](s *Services, v T) {
	t := reflect.TypeFor[T]()
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, dup := s.m[t]; dup {
		panic(fmt.Sprintf("api.Provide: %v is provided twice", t))
	}
	if s.m == nil {
		s.m = map[reflect.Type]any{}
	}
	s.m[t] = v
}

// Lookup returns the service provided as a T.
func Lookup[T any](s *Services) (T, bool) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	v, ok := s.m[reflect.TypeFor[T]()].(T)
	return v, ok
}
