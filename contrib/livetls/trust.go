package livetls

import (
	"crypto/fips140"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"time"
)

// trust decides whether this build would have let in who is at the other end of a connection that another has shaken hands with. It goes by this
// build's configuration alone: that the client has the key of its certificate is proven, whether that certificate is good is not.
type trust struct{ config *tls.Config }

// verify sets the chains that the client's certificate has here. What the program has in its configuration, and may not expect to be asked without a
// connection, declines by a panic as by an error.
func (t trust) verify(e *established) (err error) {
	defer func() {
		if said := recover(); said != nil {
			err = fmt.Errorf("%w: %v", errPanicked, said)
		}
	}()
	if fips140.Enabled() {
		return errors.New("FIPS 140-3 mode: the record layer is not one of its own")
	}
	config, err := t.configFor(e)
	if err != nil {
		return err
	}
	given := e.tls.PeerCertificates
	switch {
	case len(given) == 0 && (config.ClientAuth == tls.RequireAnyClientCert || config.ClientAuth == tls.RequireAndVerifyClientCert):
		return errors.New("this build wants a certificate of its clients, and none was given")
	case len(given) > 0 && config.ClientAuth == tls.NoClientCert:
		return errors.New("this build wants no certificate of its clients, and one was given")
	case len(given) > 0 && config.ClientAuth >= tls.VerifyClientCertIfGiven:
		if e.tls.VerifiedChains, err = chains(config, given); err != nil {
			return err
		}
	}
	if config.VerifyPeerCertificate != nil && len(given) > 0 {
		raw := make([][]byte, 0, len(given))
		for _, c := range given {
			raw = append(raw, c.Raw)
		}
		if err := config.VerifyPeerCertificate(raw, e.tls.VerifiedChains); err != nil {
			return err
		}
	}
	if config.VerifyConnection != nil {
		return config.VerifyConnection(e.tls)
	}
	return nil
}

// configFor is the configuration under which the client would shake hands, as far as what was negotiated tells.
func (t trust) configFor(e *established) (*tls.Config, error) {
	if t.config.GetConfigForClient == nil {
		return t.config, nil
	}
	hello := &tls.ClientHelloInfo{
		CipherSuites: []uint16{e.tls.CipherSuite}, ServerName: e.tls.ServerName, SupportedVersions: []uint16{tls.VersionTLS13},
		SupportedCurves: []tls.CurveID{e.tls.CurveID},
	}
	if e.tls.NegotiatedProtocol != "" {
		hello.SupportedProtos = []string{e.tls.NegotiatedProtocol}
	}
	config, err := t.config.GetConfigForClient(hello)
	if config == nil && err == nil {
		config = t.config
	}
	return config, err
}

// chains verifies a client's certificate as crypto/tls does.
func chains(config *tls.Config, given []*x509.Certificate) ([][]*x509.Certificate, error) {
	options := x509.VerifyOptions{
		Roots: config.ClientCAs, CurrentTime: time.Now(), Intermediates: x509.NewCertPool(), KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	if config.Time != nil {
		options.CurrentTime = config.Time()
	}
	for _, c := range given[1:] {
		options.Intermediates.AddCert(c)
	}
	found, err := given[0].Verify(options)
	if err != nil {
		return nil, fmt.Errorf("verify client certificate: %w", err)
	}
	return found, nil
}
