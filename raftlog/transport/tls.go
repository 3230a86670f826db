package transport

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"strings"
	"syscall"
)

// tlsSetup is what the files of TLS gave.
type tlsSetup struct {
	pair  tls.Certificate
	roots *x509.CertPool
}

// loadTLS reads the files and checks that they can work: the certificate names
// this node and is good for both ends of a connection.
func loadTLS(t TLS, self string) (*tlsSetup, error) {
	pair, err := tls.LoadX509KeyPair(t.Cert, t.Key)
	if err != nil {
		return nil, fmt.Errorf("certificate %s with key %s: %w", t.Cert, t.Key, err)
	}
	pem, err := os.ReadFile(t.CA)
	if err != nil {
		return nil, fmt.Errorf("tls ca: %w", err)
	}
	s := &tlsSetup{pair: pair, roots: x509.NewCertPool()}
	if !s.roots.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("tls ca: %s holds no certificate", t.CA)
	}
	chain, err := parseChain(pair.Certificate)
	if err != nil {
		return nil, fmt.Errorf("certificate %s: %w", t.Cert, err)
	}
	if cert := (certificate{chain[0]}); !cert.names(self) {
		return nil, fmt.Errorf("certificate %s is made out to %s, not to this node: it needs the DNS name or the common name %q", t.Cert, cert, self)
	}
	for _, usage := range []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth} {
		if err := s.verify(chain, usage); err != nil {
			return nil, fmt.Errorf("certificate %s is not good for both ends of a connection under ca %s: %w", t.Cert, t.CA, err)
		}
	}
	return s, nil
}

func parseChain(raw [][]byte) ([]*x509.Certificate, error) {
	chain := make([]*x509.Certificate, 0, len(raw))
	for _, r := range raw {
		cert, err := x509.ParseCertificate(r)
		if err != nil {
			return nil, err
		}
		chain = append(chain, cert)
	}
	if len(chain) == 0 {
		return nil, errors.New("no certificate")
	}
	return chain, nil
}

// verify checks a chain, leaf first, up to the CA.
func (s *tlsSetup) verify(chain []*x509.Certificate, usage x509.ExtKeyUsage) error {
	if len(chain) == 0 {
		return errors.New("no certificate")
	}
	inter := x509.NewCertPool()
	for _, c := range chain[1:] {
		inter.AddCert(c)
	}
	_, err := chain[0].Verify(x509.VerifyOptions{
		Roots:         s.roots,
		Intermediates: inter,
		KeyUsages:     []x509.ExtKeyUsage{usage},
	})
	return err
}

// base is what both ends have in common. Tickets are off: a resumed session
// would carry the verification of an earlier day.
func (s *tlsSetup) base() *tls.Config {
	return &tls.Config{
		Certificates:           []tls.Certificate{s.pair},
		MinVersion:             tls.VersionTLS13,
		SessionTicketsDisabled: true,
	}
}

// server returns the acceptor's configuration. The name in the certificate is
// checked once the hello says whose it should be.
func (s *tlsSetup) server() *tls.Config {
	cfg := s.base()
	cfg.ClientAuth = tls.RequireAnyClientCert
	cfg.VerifyConnection = func(cs tls.ConnectionState) error {
		return s.verify(cs.PeerCertificates, x509.ExtKeyUsageClientAuth)
	}
	return cfg
}

// client returns the configuration for dialling a member. crypto/tls itself
// would compare the name dialled with DNS names only and has no way to accept a
// common name; so its check is off and VerifyConnection does all of it.
func (s *tlsSetup) client(member string) *tls.Config {
	cfg := s.base()
	cfg.ServerName = member
	cfg.InsecureSkipVerify = true
	cfg.VerifyConnection = func(cs tls.ConnectionState) error {
		if err := s.verify(cs.PeerCertificates, x509.ExtKeyUsageServerAuth); err != nil {
			return err
		}
		if cert := (certificate{cs.PeerCertificates[0]}); !cert.names(member) {
			return fmt.Errorf("its certificate is made out to %s, not to %q", cert, member)
		}
		return nil
	}
	return cfg
}

// certificate is what a peer showed; the leaf is nil on a plain connection.
type certificate struct{ leaf *x509.Certificate }

// names reports that the certificate is the member's, or that none is used. Names
// are compared exactly: a wildcard would let one member speak for all.
func (c certificate) names(member string) bool {
	return c.leaf == nil || c.leaf.Subject.CommonName == member || slices.Contains(c.leaf.DNSNames, member)
}

// String lists the names.
func (c certificate) String() string {
	if c.leaf == nil {
		return "nobody"
	}
	names := slices.Clone(c.leaf.DNSNames)
	if cn := c.leaf.Subject.CommonName; cn != "" && !slices.Contains(names, cn) {
		names = append(names, cn)
	}
	return fmt.Sprintf("%q", strings.Join(names, ", "))
}

// explainTLS adds what to do to an error of a connection that is being set up.
// A dialler of TLS 1.3 learns only by its first read that the other end did not
// like its certificate, and then as an alert.
func explainTLS(err error, handshake bool) error {
	var record tls.RecordHeaderError
	if errors.As(err, &record) {
		return fmt.Errorf("%w (the other end does not speak TLS: configure tls on all members or on none)", err)
	}
	// A plain node closes on the first bytes of a handshake, with more unread.
	if handshake && (errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET)) {
		return fmt.Errorf("%w (the other end broke off the TLS handshake: configure tls on all members or on none)", err)
	}
	var op *net.OpError
	if errors.As(err, &op) && op.Op == "remote error" {
		return fmt.Errorf("%w (the other end does not accept this node's certificate: both need certificates under the same ca)", err)
	}
	return err
}
