package command

import "fmt"

// IntegrityStep says what an Integrity command is for (rule M5).
type IntegrityStep uint8

// The steps.
const (
	// DigestMarker has every node note its running digest after the entry. Index
	// and Digest are of an earlier marker, at the node that proposed it; Index is
	// zero if there was none.
	DigestMarker IntegrityStep = 1
	// DigestEqual says that Node had the same digest at Index.
	DigestEqual IntegrityStep = 2
	// DigestDiffers says that Node had this other one.
	DigestDiffers IntegrityStep = 3
	// ScanSound says that a scan of Node's copy found the records to be those that
	// its apply wrote; ScanDamaged, that they are not.
	ScanSound   IntegrityStep = 4
	ScanDamaged IntegrityStep = 5
	// ReplaySound says that Node's log led to the digest that it had at Index once
	// more; ReplayDamaged, that it led to another one; ReplayNone, that Node has
	// not what it takes to tell.
	ReplaySound      IntegrityStep = 6
	ReplayDamaged    IntegrityStep = 7
	ReplayNone       IntegrityStep = 8
	integrityStepEnd IntegrityStep = 9
)

// Integrity is what data nodes tell one another of their digests. It changes
// nothing of the volume.
type Integrity struct {
	Step   IntegrityStep
	Node   string
	Index  uint64
	Digest [16]byte
}

func appendIntegrity(b []byte, o *Integrity) ([]byte, error) {
	if o.Step == 0 || o.Step >= integrityStepEnd {
		return b, fmt.Errorf("%w: integrity step %d", ErrUnknown, o.Step)
	}
	b = appendString(append(b, byte(o.Step)), o.Node, MaxNode)
	return append(be.AppendUint64(b, o.Index), o.Digest[:]...), nil
}

func decodeIntegrity(r *cursor) *Integrity {
	o := &Integrity{Step: IntegrityStep(r.u8())}
	if r.err == nil && (o.Step == 0 || o.Step >= integrityStepEnd) {
		r.fail(fmt.Errorf("%w: integrity step %d", ErrUnknown, o.Step))
	}
	o.Node, o.Index = r.str(MaxNode), r.u64()
	copy(o.Digest[:], r.take(len(o.Digest)))
	return o
}
