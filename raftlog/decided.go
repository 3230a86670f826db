package raftlog

// Decided returns a proposal whose outcome is known, for what stands in for a Node.
func Decided(index Index, err error) *Proposal {
	p := failed(err)
	p.index = index
	return p
}
