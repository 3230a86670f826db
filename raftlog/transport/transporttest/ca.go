package transporttest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"time"

	"twofold/raftlog/transport"
)

// Lifetime is how long the certificates are good.
const Lifetime = 30 * 24 * time.Hour

// CA is an authority.
type CA struct {
	dir    string
	cert   *x509.Certificate
	key    *ecdsa.PrivateKey
	serial int64
}

// NewCA makes an authority whose certificate is dir/ca.pem.
func NewCA(dir string) (*CA, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	ca := &CA{dir: dir, key: key}
	tmpl := ca.template("twofold trial authority")
	tmpl.IsCA, tmpl.BasicConstraintsValid = true, true
	tmpl.KeyUsage = x509.KeyUsageCertSign
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, &key.PublicKey, key)
	if err != nil {
		return nil, err
	}
	if ca.cert, err = x509.ParseCertificate(der); err != nil {
		return nil, err
	}
	return ca, writePEM(ca.path("ca"), "CERTIFICATE", der)
}

// Issue makes the certificate of a member: dir/NAME.pem and dir/NAME-key.pem.
func (ca *CA) Issue(name string) (transport.TLS, error) {
	return ca.IssueWith(name, func(*x509.Certificate) {})
}

// IssueWith is Issue with a change to the certificate before it is signed.
func (ca *CA) IssueWith(name string, change func(*x509.Certificate)) (transport.TLS, error) {
	files := transport.TLS{Cert: ca.path(name), Key: ca.path(name + "-key"), CA: ca.path("ca")}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return files, err
	}
	tmpl := ca.template(name)
	tmpl.DNSNames = []string{name}
	tmpl.KeyUsage = x509.KeyUsageDigitalSignature
	tmpl.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}
	change(tmpl)
	der, err := x509.CreateCertificate(rand.Reader, tmpl, ca.cert, &key.PublicKey, ca.key)
	if err != nil {
		return files, err
	}
	if err := writePEM(files.Cert, "CERTIFICATE", der); err != nil {
		return files, err
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return files, err
	}
	return files, writePEM(files.Key, "PRIVATE KEY", secret)
}

func (ca *CA) path(name string) string { return filepath.Join(ca.dir, name+".pem") }

// template begins an hour ago, for machines whose clocks differ a little.
func (ca *CA) template(name string) *x509.Certificate {
	ca.serial++
	now := time.Now()
	return &x509.Certificate{
		SerialNumber: big.NewInt(ca.serial),
		Subject:      pkix.Name{CommonName: name},
		NotBefore:    now.Add(-time.Hour),
		NotAfter:     now.Add(Lifetime),
	}
}

func writePEM(path, kind string, der []byte) error {
	return os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600)
}
