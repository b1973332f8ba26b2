//go:build !linux

package platform

import "os"

const openWithoutWaiting = 0

func canExecute(string) error { return unsupported("checking execution") }

func noExec(string) (bool, error) { return false, unsupported("examining a mount") }

func beingWritten(*os.File) (bool, error) { return false, unsupported("asking for writers") }

func fileCapabilities(*os.File) ([]byte, error) { return nil, unsupported("file capabilities") }

func duplicateHigh(*os.File) (int, error) { return -1, unsupported("duplicating a descriptor") }

func privateDir(string) error { return unsupported("private directory") }
