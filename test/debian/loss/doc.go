// Package loss upgrades a service over a network that loses packets. The network is one that the test has made for itself: a namespace
// with nothing in it but a loopback device, where nft drops what comes by chance, and which is gone with the test's process.
package loss
