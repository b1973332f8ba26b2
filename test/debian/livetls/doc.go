// Package livetls has programs that are not ours keep one HTTPS connection each while the service is upgraded under them: Go's net/http, curl,
// Python, openssl s_client and Chromium, as Debian packages them.
package livetls
