// Package picture turns a decoded picture into the rows a vision tower reads.
//
// Config.Fit makes a picture the size that a model wants it in, with the bits that Pillow's bicubic filter gives, and
// Config.PatchRows cuts it into normalised patches in the order of the merge groups. Decoding files is
// not done here: a picture is its width, its height and its RGB bytes.
//
// The filter's weights are made in Go (weights.go); the two passes over the pixels are C (resize.h says how they are
// arranged), one kernel table for each instruction set, every one with the same bits. The environment variable PIO_CPU
// names a table to use instead of the best, as in package cpu.
package picture
