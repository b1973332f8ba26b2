// Package journal is what the agent has begun: each step of an upgrade is on disk before it is done.
//
// It promises that what Begin, Step, End and SetDesired have acknowledged by returning nil is there after the death of the process, or of the
// machine as far as its disk keeps its word (each is one transaction of bbolt, ended by fdatasync), that steps are in the order in which they were
// acknowledged, and that an interrupted one is there whole or not at all.
//
// The file is locked for as long as the agent has it open, so nobody else can read it meanwhile: history is asked for through the agent.
package journal

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"

	"go.etcd.io/bbolt"
)

var (
	// ErrLocked: another process has the journal open.
	ErrLocked = errors.New("in use by another process")
	// ErrDamaged: the file is no journal, or a broken one.
	ErrDamaged = errors.New("damaged")
	// ErrNewer: a newer agent has written the journal.
	ErrNewer = errors.New("written by a newer version")
	// ErrUnfinished: the service has an upgrade that did not end yet.
	ErrUnfinished = errors.New("an upgrade is under way")
	// ErrUnknown: there is no such upgrade; or it has been dropped for newer ones.
	ErrUnknown = errors.New("no such upgrade")
	// ErrEnded: the upgrade has ended.
	ErrEnded = errors.New("the upgrade has ended")
)

// Journal is an open journal. Its methods may be called by several goroutines at a time; writes wait for one another, and each for the disk.
type Journal struct {
	db   *bbolt.DB
	keep int
	boot string // of the machine; empty where the kernel does not tell
}

// Close closes the file, when calls under way have returned.
func (j *Journal) Close() error { return j.db.Close() }

// Begin records an upgrade that is about to begin, gives it the next number of its service, and drops the oldest that are more than is kept. With a
// Key that an upgrade of this service has had, it records nothing, and returns that one and false. While another upgrade of the service is under
// way it fails with ErrUnfinished and returns that one.
func (j *Journal) Begin(u Upgrade) (recorded Upgrade, begun bool, err error) {
	err = j.db.Update(func(tx *bbolt.Tx) error {
		all, err := tx.Bucket(upgrades).CreateBucketIfNotExists([]byte(u.Service))
		if err != nil {
			return err
		}
		if u.Key != "" {
			if number := tx.Bucket(keys).Get(keyOf(u.Service, u.Key)); number != nil {
				return get(all, number, &recorded)
			}
		}
		if number := tx.Bucket(unfinished).Get([]byte(u.Service)); number != nil {
			return errors.Join(get(all, number, &recorded), fmt.Errorf("number %d: %w", binary.BigEndian.Uint64(number), ErrUnfinished))
		}
		if u.Number, err = all.NextSequence(); err != nil {
			return err
		}
		if u.State != "" {
			u.Steps = append(u.Steps, Step{State: u.State, At: u.Began})
		}
		recorded, begun = u, true
		number := ordinal(u.Number)
		if u.Key != "" {
			err = tx.Bucket(keys).Put(keyOf(u.Service, u.Key), number)
		}
		return errors.Join(err, put(all, number, u), tx.Bucket(unfinished).Put([]byte(u.Service), number), j.drop(tx, all))
	})
	if err != nil {
		return recorded, false, fmt.Errorf("journal an upgrade of %q: %w", u.Service, err)
	}
	return recorded, begun, nil
}

// Free lets an upgrade begin with a key that one had which has ended. It is no error if none had it.
func (j *Journal) Free(service, key string) error {
	err := j.db.Update(func(tx *bbolt.Tx) error {
		number := tx.Bucket(keys).Get(keyOf(service, key))
		if number == nil {
			return nil
		}
		if bytes.Equal(number, tx.Bucket(unfinished).Get([]byte(service))) {
			return ErrUnfinished
		}
		return tx.Bucket(keys).Delete(keyOf(service, key))
	})
	return wrap(fmt.Sprintf("free the key %q of %q", key, service), err)
}

// Step records what is about to be done, and with it whatever else change sets; change may be nil. It keeps Service, Number, Key and Steps to itself.
func (j *Journal) Step(service string, number uint64, s Step, change func(*Upgrade)) error {
	err := j.db.Update(func(tx *bbolt.Tx) error { return record(tx, service, number, s, change) })
	if err != nil {
		return fmt.Errorf("journal step %q of upgrade %s/%d: %w", s.State, service, number, err)
	}
	return nil
}

// End records the last step of an upgrade: its state, when it ended, and the reason as detail. Evidence is kept as it is given; nil leaves what
// was there.
func (j *Journal) End(service string, number uint64, s Step, evidence json.RawMessage) error {
	err := j.db.Update(func(tx *bbolt.Tx) error {
		err := record(tx, service, number, s, func(u *Upgrade) {
			u.Ended, u.Reason = s.At, s.Detail
			if evidence != nil {
				u.Evidence = evidence
			}
		})
		return errors.Join(err, tx.Bucket(unfinished).Delete([]byte(service)))
	})
	if err != nil {
		return fmt.Errorf("journal the end of upgrade %s/%d: %w", service, number, err)
	}
	return nil
}

func record(tx *bbolt.Tx, service string, number uint64, s Step, change func(*Upgrade)) error {
	all := tx.Bucket(upgrades).Bucket([]byte(service))
	if all == nil {
		return ErrUnknown
	}
	var u Upgrade
	if err := get(all, ordinal(number), &u); err != nil {
		return err
	}
	if u.over() {
		return ErrEnded
	}
	kept := u
	if change != nil {
		change(&u)
	}
	u.Service, u.Number, u.Key = kept.Service, kept.Number, kept.Key
	u.State, u.Steps = s.State, append(kept.Steps, s)
	return put(all, ordinal(number), u)
}

// Unfinished is what was under way, at most one upgrade of each service, by name.
func (j *Journal) Unfinished() (found []Upgrade, err error) {
	err = j.db.View(func(tx *bbolt.Tx) error {
		return tx.Bucket(unfinished).ForEach(func(service, number []byte) error {
			var u Upgrade
			if err := get(tx.Bucket(upgrades).Bucket(service), number, &u); err != nil {
				return err
			}
			found = append(found, u)
			return nil
		})
	})
	return found, wrap("read what is unfinished", err)
}

// Upgrade is one of a service.
func (j *Journal) Upgrade(service string, number uint64) (u Upgrade, err error) {
	err = j.db.View(func(tx *bbolt.Tx) error {
		all := tx.Bucket(upgrades).Bucket([]byte(service))
		if all == nil {
			return ErrUnknown
		}
		return get(all, ordinal(number), &u)
	})
	return u, wrap(fmt.Sprintf("read upgrade %s/%d", service, number), err)
}

// History is the last upgrades of a service, the newest first; with a limit of 0 all that are kept.
func (j *Journal) History(service string, limit int) (found []Upgrade, err error) {
	err = j.db.View(func(tx *bbolt.Tx) error {
		all := tx.Bucket(upgrades).Bucket([]byte(service))
		if all == nil {
			return nil
		}
		c := all.Cursor()
		for number, value := c.Last(); number != nil && (limit <= 0 || len(found) < limit); number, value = c.Prev() {
			var u Upgrade
			if err := json.Unmarshal(value, &u); err != nil {
				return err
			}
			found = append(found, u)
		}
		return nil
	})
	return found, wrap(fmt.Sprintf("read the history of %q", service), err)
}

// SetDesired records what a service should be, in place of what it should have been.
func (j *Journal) SetDesired(d Desired) error {
	if d.Keeper.PID > 0 && d.Keeper.Boot == "" {
		d.Keeper.Boot = j.boot
	}
	err := j.db.Update(func(tx *bbolt.Tx) error { return put(tx.Bucket(desired), []byte(d.Service), d) })
	return wrap(fmt.Sprintf("journal what %q should be", d.Service), err)
}

// Desired is what each service should be, by name.
func (j *Journal) Desired() (found []Desired, err error) {
	err = j.db.View(func(tx *bbolt.Tx) error {
		return tx.Bucket(desired).ForEach(func(_, value []byte) error {
			var d Desired
			err := json.Unmarshal(value, &d)
			if boot := d.Keeper.Boot; boot != "" && j.boot != "" && boot != j.boot {
				d.Keeper = Process{}
			}
			found = append(found, d)
			return err
		})
	})
	return found, wrap("read what services should be", err)
}

// Forget drops all that is known of a service that is no more. One that comes back under its name begins with number 1.
func (j *Journal) Forget(service string) error {
	name := []byte(service)
	err := j.db.Update(func(tx *bbolt.Tx) error {
		err := tx.Bucket(upgrades).DeleteBucket(name)
		if errors.Is(err, bucketNotFound) {
			err = nil
		}
		return errors.Join(err, tx.Bucket(unfinished).Delete(name), tx.Bucket(desired).Delete(name), dropKeys(tx, service))
	})
	return wrap(fmt.Sprintf("forget %q", service), err)
}

func wrap(what string, err error) error {
	if err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	return nil
}
