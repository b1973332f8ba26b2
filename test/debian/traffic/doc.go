// Package traffic has clients that are not ours ask a service that is upgraded under them: curl, h2load and OpenSSL, as Debian
// packages them.
package traffic
