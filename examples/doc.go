// Package examples holds runnable services, each the smallest that shows its point.
package examples
