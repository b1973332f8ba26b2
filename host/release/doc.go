// Package release keeps the verified releases of one service on disk.
//
// An artifact, which is a file, a directory or an archive, has a manifest beside it that names every file with its digest, and a
// signature of the manifest in the format of minisign. Store.Add fetches an artifact, refuses it with the reason, or unpacks it below
// releases/VERSION-DIGEST, where it never changes again. Store.Activate makes it the current one by one rename.
//
// What is written is on disk before it is named. A crash at any instant leaves the release before or the new one current, never neither;
// what a crash left half done is removed when the store is opened next. What is refused leaves nothing behind.
//
// A Store holds no descriptor. Several processes may use one directory: what changes it is done under a lock (flock(2)), which is
// never held while something is fetched or unpacked.
package release
