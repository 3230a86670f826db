package rpcbind

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// ForeignError says that rpcbind has entries of our programs that lead elsewhere.
type ForeignError struct {
	Entries []string // described, e.g. "100003 version 4 (tcp 0.0.0.0.8.1, owner superuser)"
	remove  string
}

// Error names the entries and says what to do.
func (e *ForeignError) Error() string {
	return fmt.Sprintf("rpcbind: another NFS server is registered on this host: %s; stop it (the kernel's own, or another node), "+
		"or remove what it left behind with: %s", strings.Join(e.Entries, ", "), e.remove)
}

// registration keeps our entries at the host's rpcbind. It belongs to one
// goroutine at a time.
type registration struct {
	cfg  *Config
	want []entry
	mine []entry // what we have registered, or may have
}

func newRegistration(cfg *Config) *registration {
	r := &registration{cfg: cfg}
	for _, s := range cfg.Services {
		r.want = append(r.want, s.entries("")...)
	}
	return r
}

// check registers whatever of ours is missing.
func (r *registration) check(ctx context.Context) error {
	h, err := dialHost(ctx, r.cfg)
	if err != nil {
		return err
	}
	defer h.close()
	there, err := h.dump(ctx)
	if err != nil {
		return err
	}
	if foreign := r.foreign(there); foreign != nil {
		return foreign
	}
	for _, e := range r.want {
		if err := r.ensure(ctx, h, e, there); err != nil {
			return err
		}
	}
	return nil
}

// ensure registers e unless it is there. What is there in its place is ours:
// check would have refused it otherwise.
func (r *registration) ensure(ctx context.Context, h *host, e entry, there []entry) error {
	if !slices.Contains(r.mine, e) {
		r.mine = append(r.mine, e) // before the call, whose outcome we may never learn
	}
	if i := slices.IndexFunc(there, e.sameKey); i >= 0 {
		if there[i].addr == e.addr {
			return nil
		}
		if err := h.unset(ctx, there[i]); err != nil {
			return err
		}
	}
	return h.set(ctx, e)
}

// withdraw removes what we have registered, and nothing that took its place. A
// rpcbind that has ended took its entries along.
func (r *registration) withdraw(ctx context.Context) error {
	if len(r.mine) == 0 {
		return nil
	}
	h, err := dialHost(ctx, r.cfg)
	if errors.Is(err, errNoRpcbind) {
		return nil
	}
	if err != nil {
		return err
	}
	defer h.close()
	there, err := h.dump(ctx)
	if err != nil {
		return err
	}
	var errs []error
	for _, e := range r.mine {
		if slices.ContainsFunc(there, func(t entry) bool { return t.sameKey(e) && t.addr == e.addr }) {
			errs = append(errs, h.unset(ctx, e))
		}
	}
	r.mine = nil
	return errors.Join(errs...)
}

// foreign returns an error for the entries of our programs that do not lead to
// our listeners, in whatever version: a client falls back to them. It returns nil
// if there are none.
func (r *registration) foreign(there []entry) error {
	var e ForeignError
	var remove []string
	for _, t := range there {
		if r.isOurs(t) {
			continue
		}
		e.Entries = append(e.Entries, fmt.Sprintf("%d version %d (%s %s, owner %s)", t.program, t.version, t.netid, t.addr, t.owner))
		if cmd := fmt.Sprintf("rpcinfo -d %d %d", t.program, t.version); !slices.Contains(remove, cmd) {
			remove = append(remove, cmd)
		}
	}
	if len(e.Entries) == 0 {
		return nil
	}
	e.remove = strings.Join(remove, "; ")
	return &e
}

// isOurs reports whether t leads to us, or is of no concern to us. What a node
// left that was killed is among the former.
func (r *registration) isOurs(t entry) bool {
	concerns := false
	for _, s := range r.cfg.Services {
		if s.Program != t.program {
			continue
		}
		if s.holds(t.netid, t.addr) {
			return true
		}
		concerns = true
	}
	return !concerns
}
