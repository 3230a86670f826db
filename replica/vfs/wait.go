package vfs

import "context"

// A Waiter is told that an operation is about to wait: for other machines, for the
// log, or for another operation. An operation says so with WillWait, on the goroutine
// of its caller and before it waits; a look into the store is no wait. The Waiter is
// the value of WaiterKey in the operation's context.
type Waiter interface{ WillWait() }

type waiterKey struct{}

// WaiterKey is the key of a Waiter in a context.
var WaiterKey any = waiterKey{}

// WillWait tells the Waiter of ctx, if there is one.
func WillWait(ctx context.Context) {
	if w, ok := ctx.Value(WaiterKey).(Waiter); ok {
		w.WillWait()
	}
}
