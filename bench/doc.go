// Package bench measures handover side by side with its peers.
package bench
