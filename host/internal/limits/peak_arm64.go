package limits

const chains = 16 // of a round: as many as hide how long one takes, on four units

// widest is a loop of multiply-adds of four numbers, and the operations of a round.
func widest() (rounds func(n int), flops float64) { return multiply128, chains * 4 * 2 }

//go:noescape
func multiply128(n int)
