package journal

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"
	"syscall"
	"time"

	"go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"
)

const (
	// Kept is how many upgrades of each service are kept, the newest; one that is under way is always kept.
	Kept = 200
	// patience is how long another process may still hold the file: an agent that ends has closed it by then.
	patience = 2 * time.Second
)

// Open opens the journal at a path, or makes one, with mode 0600, in a directory that is there. It reads every record once, and brings older schemas to
// this one. Its errors say what to do; errors.Is knows ErrLocked, ErrDamaged and ErrNewer.
func Open(path string) (*Journal, error) { return open(path, Kept, migrations) }

func open(path string, keep int, steps []migration) (*Journal, error) {
	_, err := os.Lstat(path)
	fresh := errors.Is(err, os.ErrNotExist)
	db, err := sound(path, steps)
	switch {
	case err == nil:
	case errors.Is(err, berrors.ErrTimeout):
		return nil, fmt.Errorf("open journal %s: %w: stop the other agent, or give this one another state directory", path, ErrLocked)
	case errors.Is(err, ErrNewer):
		return nil, fmt.Errorf("open journal %s: %w: start the agent that wrote it, or move the file away to begin without history", path, err)
	case errors.Is(err, ErrDamaged):
		return nil, fmt.Errorf("open journal %s: %w: move the file away to begin without history; services run on and are found by their takeover sockets", path, err)
	default:
		return nil, fmt.Errorf("open journal %s: %w", path, err)
	}
	if fresh {
		// The name of a new file is on disk when its directory is.
		if err := syncDir(filepath.Dir(path)); err != nil {
			return nil, errors.Join(fmt.Errorf("open journal %s: %w", path, err), db.Close())
		}
	}
	return &Journal{db: db, keep: keep, boot: bootID()}, nil
}

// sound opens the file, migrates it, and reads all of it: bbolt trusts the pages that it has mapped, so a damaged one shows as a panic, or as a
// fault of memory where the file is too short. Here that is an error, and later, in the midst of an upgrade, it would be a death.
func sound(path string, steps []migration) (db *bbolt.DB, err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if r := recover(); r != nil {
			// The file may stay open and locked by what panicked. Whoever cannot have its journal ends.
			db, err = nil, fmt.Errorf("%w: %v", ErrDamaged, r)
		}
	}()
	db, err = bbolt.Open(path, 0o600, &bbolt.Options{Timeout: patience, FreelistType: bbolt.FreelistMapType})
	var refused syscall.Errno
	switch {
	case err == nil:
	case errors.Is(err, berrors.ErrTimeout), errors.As(err, &refused):
		return nil, err
	default: // what bbolt finds wrong with a file, not all of which has an error of its own
		return nil, fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	if err = migrate(db, steps); err == nil {
		err = db.View(readAll)
	}
	if err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return db, nil
}

// migration leads from the schema before to its own: migrations[0] from an empty file to schema 1.
type migration func(*bbolt.Tx) error

var migrations = []migration{
	func(tx *bbolt.Tx) error {
		for _, name := range [][]byte{meta, upgrades, unfinished, keys, desired} {
			if _, err := tx.CreateBucketIfNotExists(name); err != nil {
				return err
			}
		}
		return nil
	},
}

var schemaKey = []byte("schema")

// migrate does all that is missing in one transaction: the file is of one schema or of the other.
func migrate(db *bbolt.DB, steps []migration) error {
	is, err := schemaOf(db)
	if err != nil || is == len(steps) {
		return err
	}
	if is > len(steps) {
		return fmt.Errorf("schema %d, this is %d: %w", is, len(steps), ErrNewer)
	}
	return db.Update(func(tx *bbolt.Tx) error {
		for i, step := range steps[is:] {
			if err := step(tx); err != nil {
				return fmt.Errorf("migrate to schema %d: %w", is+i+1, err)
			}
		}
		return tx.Bucket(meta).Put(schemaKey, binary.BigEndian.AppendUint32(nil, uint32(len(steps))))
	})
}

func schemaOf(db *bbolt.DB) (schema int, err error) {
	err = db.View(func(tx *bbolt.Tx) error {
		b := tx.Bucket(meta)
		if b == nil {
			if first, _ := tx.Cursor().First(); first != nil {
				return fmt.Errorf("%w: a database of something else", ErrDamaged)
			}
			return nil
		}
		value := b.Get(schemaKey)
		if len(value) != 4 {
			return fmt.Errorf("%w: no schema", ErrDamaged)
		}
		schema = int(binary.BigEndian.Uint32(value))
		return nil
	})
	return schema, err
}

// readAll reads every record, and finds each that one speaks of.
func readAll(tx *bbolt.Tx) error {
	all := tx.Bucket(upgrades)
	err := all.ForEachBucket(func(service []byte) error {
		return all.Bucket(service).ForEach(func(number, value []byte) error {
			var u Upgrade
			if err := json.Unmarshal(value, &u); err != nil || string(ordinal(u.Number)) != string(number) || u.Service != string(service) {
				return fmt.Errorf("%w: upgrade %x of %q", ErrDamaged, number, service)
			}
			return nil
		})
	})
	if err != nil {
		return err
	}
	err = tx.Bucket(unfinished).ForEach(func(service, number []byte) error {
		var u Upgrade
		if b := all.Bucket(service); b == nil || get(b, number, &u) != nil || u.over() {
			return fmt.Errorf("%w: what is unfinished of %q", ErrDamaged, service)
		}
		return nil
	})
	if err != nil {
		return err
	}
	return tx.Bucket(desired).ForEach(func(service, value []byte) error {
		var d Desired
		if err := json.Unmarshal(value, &d); err != nil {
			return fmt.Errorf("%w: what %q should be", ErrDamaged, service)
		}
		return nil
	})
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// bootID is the kernel's name for this boot (random(4)).
func bootID() string {
	id, _ := os.ReadFile("/proc/sys/kernel/random/boot_id") // where there is no /proc, processes have no start time either
	return strings.TrimSpace(string(id))
}
