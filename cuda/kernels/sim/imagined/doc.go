// Package imagined is machines that are not there, with GPUs, for tests: the software driver counts what a GPU and its link would take, and
// what is here counts what the host would. Everything that runs on such a machine takes the time that its shapes say, whatever this one is
// and whatever else it does, so that two runs take the same.
//
// A machine is two numbers of the host, bytes and operations a second, what starting an op takes, and for each GPU its Speed. They are what
// code reaches, not what a data sheet promises. What waits for what is not imagined: the order of calls, copies and waits is that of the
// code under test. Not counted are the sampler and what else the host does between ops.
package imagined
