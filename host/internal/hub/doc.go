// Package hub fetches checkpoints from the Hugging Face hub, or from whatever speaks its protocol, into the cache that the hub's own
// library keeps: what one has fetched the other finds.
//
//	HUB/models--ORG--NAME/blobs/HASH             a file's bytes, by sha256 where the hub has it in LFS, else by git's sha1
//	                      blobs/HASH.incomplete  as far as it has come
//	                      snapshots/COMMIT/PATH  a link to it
//	                      refs/main              the commit that a name stands for
//	                      trees/COMMIT.json      what the hub lists, of whole snapshots
//	HUB/.locks/models--ORG--NAME/HASH.lock       held by whoever fetches it
//
// A file has its name only when all of its bytes are there and have the hash that the hub lists, so a process may be killed at any byte.
// What is incomplete is gone on with. A name of a revision is written last: it never stands for half a snapshot.
//
// Whatever the server says is bounded and checked: paths stay below the snapshot, hashes are hashes. The token goes to the
// endpoint alone, not to where it redirects. Errors are sentences and name no signed URL.
package hub
