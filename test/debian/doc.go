// Package debian holds the tests that need root and Debian's packages; they are built with the tag debian.
package debian
