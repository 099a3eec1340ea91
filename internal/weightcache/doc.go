// Package weightcache keeps weights on the disk in the form in which they are computed: quantised, packed, ready to be mapped. A plugin makes
// them once; whoever loads the same model again, in however many processes, maps one file.
//
// # What a file depends on
//
// Its name is a key: a hash over all that its bytes depend on, which whoever asks for it has made ([Wish.Key]). Nothing in it depends on
// where it lies, nor on which process or machine has made it.
//
// # What happens to it
//
// A file that is being made is KEY.part, locked by its maker and as large as it will be from the beginning on, so that the disk cannot be full
// in the middle. Each module that is made is noted with a checksum of its bytes. A process that is killed leaves all modules that it had made to the next
// one. When all are there the file is written out, stamped and renamed to KEY.packed: that is never written to again.
//
// The stamp is the time of the last change, in whole even seconds, which stands in the file too. Whoever writes to the file changes that time,
// so that damage by others is noticed without reading what may be tens of gigabytes; then every module is compared with its checksum and
// those that differ are made anew. What a disk loses by itself is found by who compares modules that lie in memory while they are used already ([File.Compare]), and has the next
// one compare all of them ([File.Doubt]).
//
// # Who may be removed
//
// A [Folder] holds so many bytes at most, and leaves a part of the disk free. What was used longest ago goes first, a file in use (those who
// map it hold a shared lock) never.
package weightcache
