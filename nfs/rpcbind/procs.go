package rpcbind

import (
	"net/netip"
	"time"

	"twofold/nfs/rpc"
	"twofold/nfs/xdr"
)

// maxDatagram bounds a UDP reply. It is what clients have room for (UDPMSGSIZE of
// the Sun RPC library).
const maxDatagram = 8800

// origin is where a call came from.
type origin struct {
	peer  netip.AddrPort
	local netip.Addr // the address that the caller used, invalid if unknown
	netid string
}

// mayChange reports whether the caller may register and remove entries: root of
// this host, who calls from a reserved port over loopback. The kernel lets no
// other host use a loopback address.
func (o origin) mayChange() bool {
	return o.peer.Addr().IsLoopback() && o.peer.Port() < endReserved
}

// isHost reports whether the caller is a program of this host.
func (o origin) isHost() bool { return o.peer.Addr().IsLoopback() || o.peer.Addr() == o.local }

func (o origin) isUDP() bool { return o.netid == netUDP || o.netid == netUDP6 }

// reach returns the address of e for the caller. An entry at the wildcard address
// is reached at whatever address the caller reached us.
func (o origin) reach(e entry) string {
	a, ok := parseAddr(e.addr)
	if !ok || !a.Addr().IsUnspecified() || a.Addr().Is4() != o.local.Is4() || !o.local.IsValid() {
		return e.addr
	}
	return formatAddr(netip.AddrPortFrom(o.local, a.Port()))
}

// answer appends the reply to a call message to w, and reports whether there is
// one. What is no call at all gets none, nor does a datagram whose header is bad.
func (t *table) answer(rec []byte, from origin, w *xdr.Writer) bool {
	var call rpc.Call
	if err := rpc.ParseCall(rec, &call, nil); err != nil {
		return !from.isUDP() && rpc.AppendError(w, call.XID, err)
	}
	begin := w.Len()
	switch {
	case call.Prog != program:
		rpc.AppendProgUnavail(w, call.XID)
		return true
	case call.Vers < version2 || call.Vers > version4:
		rpc.AppendProgMismatch(w, call.XID, version2, version4)
		return true
	}
	rpc.BeginReply(w, call.XID)
	err := t.serve(&call, from, w)
	if err == nil && from.isUDP() && w.Len()-begin > maxDatagram {
		err = rpc.ErrSystem
	}
	if err != nil {
		w.Truncate(begin)
		return rpc.AppendError(w, call.XID, err)
	}
	return true
}

// serve appends the results of one call. Procedures that make this server call
// others (CALLIT, BCAST, INDIRECT) are not there: they would let anybody speak
// under our address.
func (t *table) serve(call *rpc.Call, from origin, w *xdr.Writer) error {
	if call.Proc == procNull {
		return nil
	}
	r := xdr.NewReader(call.Args)
	if call.Vers == version2 {
		return t.serve2(call.Proc, r, from, w)
	}
	switch call.Proc {
	case procSet, procUnset, procGetAddr:
	case procDump:
		t.dump(w)
		return nil
	case procGetTime:
		w.Uint32(uint32(time.Now().Unix()))
		return nil
	case procGetVersAddr, procGetAddrList:
		if call.Vers == version3 {
			return rpc.ErrProcUnavail
		}
	default:
		return rpc.ErrProcUnavail
	}
	e := readEntry(r)
	if r.Err() != nil {
		return rpc.ErrGarbageArgs
	}
	t.serveEntry(call.Proc, e, from, w)
	return nil
}

// serveEntry serves the procedures of versions 3 and 4 whose argument is an entry.
func (t *table) serveEntry(proc uint32, e entry, from origin, w *xdr.Writer) {
	switch proc {
	case procSet:
		w.Bool(from.mayChange() && t.register(e))
	case procUnset:
		w.Bool(from.mayChange() && t.remove(e.program, e.version, e.netid))
	case procGetAddrList:
		t.addrList(e, from, w)
	default:
		// The transport of the call counts, not e.netid (RFC 1833 section 2.2.1).
		addr := ""
		if found, ok := t.find(e.program, e.version, from.netid, proc == procGetVersAddr, from.isHost()); ok {
			addr = from.reach(found)
		}
		w.String(addr)
	}
}

// serve2 serves the procedures of version 2.
func (t *table) serve2(proc uint32, r *xdr.Reader, from origin, w *xdr.Writer) error {
	switch proc {
	case procSet, procUnset, procGetAddr:
	case procDump:
		t.dump2(w)
		return nil
	default:
		return rpc.ErrProcUnavail
	}
	m := readMapping(r)
	if r.Err() != nil {
		return rpc.ErrGarbageArgs
	}
	netid, known := netid4(m.proto)
	switch proc {
	case procSet:
		addr := formatAddr(netip.AddrPortFrom(netip.IPv4Unspecified(), m.port))
		w.Bool(from.mayChange() && known &&
			t.register(entry{program: m.program, version: m.version, netid: netid, addr: addr}))
	case procUnset:
		// Protocol and port of the argument are ignored (RFC 1833 section 3.2).
		w.Bool(from.mayChange() &&
			t.remove(m.program, m.version, netTCP) && t.remove(m.program, m.version, netUDP))
	default:
		e, _ := t.find(m.program, m.version, netid, false, from.isHost())
		a, _ := parseAddr(e.addr) // the zero port says that there is none
		w.Uint32(uint32(a.Port()))
	}
	return nil
}

// dump appends the rpcblist of all entries.
func (t *table) dump(w *xdr.Writer) {
	for _, e := range t.all() {
		w.Bool(true)
		e.append(w)
	}
	w.Bool(false)
}

// dump2 appends the list of version 2: what IPv4 has.
func (t *table) dump2(w *xdr.Writer) {
	for _, e := range t.all() {
		tr, _ := transportOf(e.netid)
		a, ok := parseAddr(e.addr)
		if !ok || tr.family != "inet" {
			continue
		}
		w.Bool(true)
		mapping{e.program, e.version, tr.number, a.Port()}.append(w)
	}
	w.Bool(false)
}

// addrList appends the rpcb_entry_list of a version on all transports of the
// caller's family (RFC 1833 section 2.2.1).
func (t *table) addrList(want entry, from origin, w *xdr.Writer) {
	family, _ := transportOf(from.netid)
	for _, e := range t.all() {
		tr, _ := transportOf(e.netid)
		if e.program != want.program || e.version != want.version || tr.family != family.family {
			continue
		}
		w.Bool(true)
		w.String(from.reach(e))
		w.String(e.netid)
		w.Uint32(tr.semantics)
		w.String(tr.family)
		w.String(tr.proto)
	}
	w.Bool(false)
}
