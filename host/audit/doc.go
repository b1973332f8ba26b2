// Package audit is a log of who asked for what, and how that ended, in which a later change shows.
//
// A log is a file of JSON lines that is only ever appended to. Each record carries the hash of the one before it and its own,
// so that Verify finds a record that was edited, removed, inserted or put elsewhere. Append returns when the record is on disk.
// What a crash left of a record stays where it is, and the record behind it says so.
//
// What a chain of hashes cannot show: it has no secret, so whoever may write the file can write a whole new chain, or cut
// records off its end together with the head file beside it. That shows only against a head that was noted elsewhere, where he
// cannot write: another host, a printed report, the journal of systemd forwarded. The same holds for what was never recorded, and
// the log believes the clock of its host.
package audit
