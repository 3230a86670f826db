package transport_test

import (
	"crypto/tls"
	"crypto/x509"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"twofold/raftlog"
	"twofold/raftlog/transport"
	"twofold/raftlog/transport/transporttest"
)

func newCA(t *testing.T) *transporttest.CA {
	t.Helper()
	ca, err := transporttest.NewCA(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	return ca
}

func issue(t *testing.T, ca *transporttest.CA, name string, change func(*x509.Certificate)) *transport.TLS {
	t.Helper()
	if change == nil {
		change = func(*x509.Certificate) {}
	}
	files, err := ca.IssueWith(name, change)
	if err != nil {
		t.Fatal(err)
	}
	return &files
}

// tlsCluster returns a cluster that is bound, with good certificates, and not
// started.
func tlsCluster(t *testing.T) (map[string]*node, *transporttest.CA) {
	nodes := newCluster(t)
	bindAll(t, nodes)
	ca := newCA(t)
	for name, n := range nodes {
		n.cfg.TLS = issue(t, ca, name, nil)
	}
	return nodes, ca
}

func TestTLS_Good(t *testing.T) {
	nodes, _ := tlsCluster(t)
	for _, n := range nodes {
		n.binding = nil
	}
	startAll(nodes)
	ctx := testContext(t)
	a, b, w := nodes["a"].meet(ctx), nodes["b"].meet(ctx), nodes["w"].meet(ctx)
	wantMet(t, nodes["a"], a)
	wantMet(t, nodes["b"], b)
	wantMet(t, nodes["w"], w)
	roundTrip(t, nodes["a"], nodes["b"], raftlog.StreamRaft)
	roundTrip(t, nodes["b"], nodes["w"], raftlog.StreamPeer)
	if info, _ := nodes["a"].mux.PeerInfo("b"); info.Insecure {
		t.Errorf("%+v", info)
	}
}

// A common name does, without any DNS name.
func TestTLS_CommonNameOnly(t *testing.T) {
	nodes, ca := tlsCluster(t)
	nodes["b"].cfg.TLS = issue(t, ca, "b", func(c *x509.Certificate) { c.DNSNames = nil })
	startAll(nodes)
	roundTrip(t, nodes["a"], nodes["b"], raftlog.StreamRaft)
	roundTrip(t, nodes["b"], nodes["a"], raftlog.StreamRaft)
}

// Close of a stream is the end of the stream at the other end, not an error.
func TestTLS_CloseIsEOF(t *testing.T) {
	nodes, _ := tlsCluster(t)
	startAll(nodes)
	l := nodes["b"].mux.Listener(raftlog.StreamRaft)
	c, err := nodes["a"].mux.Dial(testContext(t), "b", raftlog.StreamRaft)
	if err != nil {
		t.Fatal(err)
	}
	in, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	c.Close()
	in.SetReadDeadline(time.Now().Add(patience))
	if n, err := in.Read(make([]byte, 1)); n != 0 || err != io.EOF {
		t.Errorf("read %d, %v", n, err)
	}
}

// A node of another CA, or without TLS, gets in neither by dialling nor by being
// dialled.
func TestTLS_OutsidersAreRefused(t *testing.T) {
	tests := map[string]struct {
		outsider func(t *testing.T) *transport.TLS
		says     string // part of the error at the dialling good node
	}{
		"wrong CA": {func(t *testing.T) *transport.TLS { return issue(t, newCA(t), "b", nil) }, "unknown authority"},
		"no TLS":   {func(*testing.T) *transport.TLS { return nil }, "configure tls on all members or on none"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			nodes, _ := tlsCluster(t)
			a, b := nodes["a"], nodes["b"]
			b.cfg.TLS = tt.outsider(t)
			a.start()
			b.start()
			a.mux.Listener(raftlog.StreamRaft)
			b.mux.Listener(raftlog.StreamRaft)
			if _, err := a.mux.Dial(testContext(t), "b", raftlog.StreamRaft); err == nil || !strings.Contains(err.Error(), tt.says) {
				t.Errorf("dialled an outsider: %v", err)
			}
			if _, err := b.mux.Dial(testContext(t), "a", raftlog.StreamRaft); err == nil {
				t.Error("an outsider dialled in")
			}
			if info, _ := a.mux.PeerInfo("b"); info.Connected {
				t.Error("connected with an outsider")
			}
			eventually(t, "a log line", func() bool {
				return strings.Contains(a.log.String(), "inbound peer connection ended in its hello")
			})
		})
	}
}

// dialTLS connects as a client that does not care who answers.
func dialTLS(t *testing.T, to *node, files *transport.TLS) net.Conn {
	t.Helper()
	pair, err := tls.LoadX509KeyPair(files.Cert, files.Key)
	if err != nil {
		t.Fatal(err)
	}
	conn, err := tls.Dial("tcp", to.cfg.Listen, &tls.Config{Certificates: []tls.Certificate{pair}, InsecureSkipVerify: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

// A certificate with the right name from another CA, shown by a client that does
// not itself mind whom it speaks to, and one that is for servers only.
func TestTLS_ClientCertificateIsVerified(t *testing.T) {
	nodes, ca := tlsCluster(t)
	a := nodes["a"]
	a.start()
	a.mux.Listener(raftlog.StreamRaft)
	bad := map[string]*transport.TLS{
		"other CA": issue(t, newCA(t), "b", nil),
		"server only": issue(t, ca, "b", func(c *x509.Certificate) {
			c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
		}),
	}
	for name, files := range bad {
		if answer := sayHello(t, dialTLS(t, a, files), rawHello(nodes["b"], raftlog.StreamRaft, "a")); answer != "" {
			t.Errorf("%s: answer %s", name, answer)
		}
	}
	good := issue(t, ca, "b", nil)
	if answer := sayHello(t, dialTLS(t, a, good), rawHello(nodes["b"], raftlog.StreamRaft, "a")); answer == "" || strings.Contains(answer, "refused") {
		t.Errorf("good: answer %q", answer)
	}
}

// A client that shows no certificate at all does not get to its hello.
func TestTLS_NoClientCertificate(t *testing.T) {
	nodes, _ := tlsCluster(t)
	nodes["a"].start()
	conn, err := tls.Dial("tcp", nodes["a"].cfg.Listen, &tls.Config{InsecureSkipVerify: true})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.SetReadDeadline(time.Now().Add(patience))
	_, err = conn.Read(make([]byte, 1))
	if err == nil || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("read without a certificate: %v", err)
	}
	if old, err := tls.Dial("tcp", nodes["a"].cfg.Listen, &tls.Config{InsecureSkipVerify: true, MaxVersion: tls.VersionTLS12}); err == nil {
		old.Close()
		t.Error("TLS 1.2 was accepted")
	}
}

// A member cannot speak for another: its certificate has its own name.
func TestTLS_WrongName(t *testing.T) {
	nodes, ca := tlsCluster(t)
	a, b := nodes["a"], nodes["b"]
	// An honest node notices at its own start.
	b.cfg.TLS = issue(t, ca, "w", func(c *x509.Certificate) { c.DNSNames = []string{"w"} })
	if _, err := transport.Listen(b.cfg); err == nil || !strings.Contains(err.Error(), `made out to "w"`) {
		t.Fatalf("a node started with another's certificate: %v", err)
	}
	b.cfg.TLS = issue(t, ca, "b", nil)
	a.start()
	b.start()
	a.mux.Listener(raftlog.StreamRaft)

	// What a liar would do: b's certificate, and a hello that says w.
	answer := sayHello(t, dialTLS(t, a, b.cfg.TLS), rawHello(nodes["w"], raftlog.StreamRaft, "a"))
	if !strings.Contains(answer, `"certificate"`) {
		t.Errorf("answer %s", answer)
	}
	// And b at w's address does not pass for w.
	a.stop()
	a.cfg.Members = append([]transport.Member(nil), a.cfg.Members...)
	a.cfg.Members[2].Addr, a.cfg.Members[1].Addr = a.cfg.Members[1].Addr, a.cfg.Members[2].Addr
	a.start()
	if _, err := a.mux.Dial(testContext(t), "w", raftlog.StreamRaft); err == nil || !strings.Contains(err.Error(), `made out to "b"`) {
		t.Errorf("took b for w: %v", err)
	}
}

func TestTLS_BadFiles(t *testing.T) {
	nodes, ca := tlsCluster(t)
	good := *nodes["a"].cfg.TLS
	tests := map[string]transport.TLS{
		"no certificate": {Cert: good.Cert + "x", Key: good.Key, CA: good.CA},
		"no CA":          {Cert: good.Cert, Key: good.Key, CA: good.CA + "x"},
		"CA is a key":    {Cert: good.Cert, Key: good.Key, CA: good.Key},
		"other's key":    {Cert: good.Cert, Key: nodes["b"].cfg.TLS.Key, CA: good.CA},
		"other CA":       {Cert: good.Cert, Key: good.Key, CA: issue(t, newCA(t), "a", nil).CA},
		"expired": *issue(t, ca, "a", func(c *x509.Certificate) {
			c.NotAfter = time.Now().Add(-time.Minute)
		}),
	}
	// The certificate of the same name was written over: the good one is now
	// the last that was issued.
	nodes["a"].cfg.TLS = nil
	for name, files := range tests {
		t.Run(name, func(t *testing.T) {
			cfg := nodes["a"].cfg
			cfg.TLS = &files
			mux, err := transport.Listen(cfg)
			if err == nil {
				mux.Close()
				t.Fatal("accepted")
			}
		})
	}
	for name, change := range map[string]func(*x509.Certificate){
		"server only": func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth} },
		"client only": func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth} },
	} {
		cfg := nodes["a"].cfg
		cfg.TLS = issue(t, ca, "a", change)
		if mux, err := transport.Listen(cfg); err == nil || !strings.Contains(err.Error(), "both ends") {
			t.Errorf("%s: %v", name, err)
			if err == nil {
				mux.Close()
			}
		}
	}
}
