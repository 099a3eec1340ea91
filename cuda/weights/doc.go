// Package weights reads checkpoints: the tensors of a model as files hold them, mapped.
//
// [Open] maps a Hugging Face directory (model.safetensors, or model.safetensors.index.json and its shards), [OpenFile] a
// single file; [ReadHeaders] reads only names and shapes; [Dummy] invents weights of whatever shape it is asked for. What
// loads a model meets all of them as a [Source].
//
// Pages of a mapped file are read when they are first touched; [Checkpoint.Ahead] maps those that lie in memory before that, and
// [Checkpoint.Hold] puts copies in huge pages in their place where these are read faster.
//
// # Files are not trusted
//
// A header is bounded in size, every offset is checked with arithmetic that cannot overflow, and the tensors must tile the
// data exactly: no holes, no overlap, nothing behind the last one. An element type that is not known here is an error
// only for who asks for that tensor.
//
// # Files that change while they are mapped
//
// Pages are read when they are first touched, so a file that is written to in place changes under whoever computes with it.
// [Checkpoint.Unchanged] compares size and modification time of the mapped file with those at Open; call it when a load is
// finished and before results are trusted after a second. If a file becomes shorter, a page beyond its new end cannot be
// read at all: zeros stand in for it, and [Checkpoint.Cut] says so; ask it before a result is passed on. Replacing
// a file by renaming a new one over it is always safe: the mapping keeps the old one until the next Open, and nothing counts
// as changed. [Checkpoint.Identity] tells two loads of a checkpoint apart.
package weights
