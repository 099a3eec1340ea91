// Package weights reads checkpoints: the tensors of a model as files hold them, mapped and never copied.
//
// [Open] maps a Hugging Face directory (model.safetensors, or model.safetensors.index.json and its shards), [OpenFile] a
// single file; [ReadHeader] reads only names and shapes; [Dummy] invents weights of whatever shape it is asked for. What
// loads a model meets all of them as a [Source].
//
// # Files are not trusted
//
// A header is bounded in size, every offset is checked with arithmetic that cannot overflow, and the tensors must tile the
// data exactly: no holes, no overlap, nothing behind the last one. An element type that is not known here is an error
// only for who asks for that tensor.
//
// # Files that change while they are mapped
//
// Pages are read when they are first touched. If a file becomes shorter after Open, touching a page beyond its new end
// kills the process with SIGBUS: it dies at once and loudly, and the next Open names the truncated file. What a mapping cannot
// tell is a change inside a page (an overwritten file, or the zeros behind a new end in the last page). For those
// [Checkpoint.Unchanged] compares size and modification time with those at Open; call it when a load is finished and
// before results are trusted after a long pause. Replacing a checkpoint by renaming a new file over it is always safe:
// the mapping keeps the old one.
package weights
