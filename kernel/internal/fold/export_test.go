package fold

// Size is what the memory counts.
func (m *Memory) Size() int { return m.size }
