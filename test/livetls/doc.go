// Package livetls shows, with clients of many kinds and by faults at every step, that HTTPS connections live on.
package livetls
