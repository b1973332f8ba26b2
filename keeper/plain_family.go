package keeper

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
)

// parent is the parent of a process, as proc_pid_stat(5) has it; 0 if there is none, or no such process.
func parent(pid int) int {
	text, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return 0
	}
	// The name, in parentheses, may hold anything.
	_, rest, _ := strings.Cut(string(text[max(0, bytes.LastIndexByte(text, ')')):]), " ")
	fields := strings.Fields(rest)
	if len(fields) < 2 {
		return 0
	}
	ppid, _ := strconv.Atoi(fields[1])
	return ppid
}

// maxDescent bounds how many generations of processes are looked at.
const maxDescent = 64

// descends reports whether process pid is root, or descends from it by parents that live.
func descends(pid, root int) bool {
	for range maxDescent {
		if pid == root || pid <= 1 {
			return pid == root && pid > 0
		}
		pid = parent(pid)
	}
	return false
}

// holder tells which of roots holds a socket, itself or by a process that descends from it; 0 if none does.
func holder(inode string, roots []int) (root int, err error) {
	for _, root := range roots { // most programs accept in their first process
		held, err := sockets(root)
		if err != nil {
			return 0, err
		}
		if held[inode] {
			return root, nil
		}
	}
	all, err := processes()
	if err != nil {
		return 0, err
	}
	for _, pid := range all {
		for _, root := range roots {
			if pid == root || !descends(pid, root) {
				continue
			}
			held, err := sockets(pid)
			if err != nil {
				return 0, err
			}
			if held[inode] {
				return root, nil
			}
		}
	}
	return 0, nil
}

func processes() (pids []int, err error) {
	entries, err := os.ReadDir("/proc")
	for _, e := range entries {
		if pid, err := strconv.Atoi(e.Name()); err == nil {
			pids = append(pids, pid)
		}
	}
	return pids, err
}

// sockets are the inodes of the sockets that a process holds; of one that has ended, none.
func sockets(pid int) (map[string]bool, error) {
	dir := "/proc/" + strconv.Itoa(pid) + "/fd/"
	descriptors, err := os.ReadDir(dir)
	if errors.Is(err, os.ErrPermission) {
		return nil, fmt.Errorf("see the descriptors of process %d: %w", pid, err)
	}
	held := make(map[string]bool)
	for _, d := range descriptors {
		target, _ := os.Readlink(dir + d.Name())
		if inode, ok := strings.CutPrefix(target, "socket:["); ok {
			held[strings.TrimSuffix(inode, "]")] = true
		}
	}
	return held, nil
}
