// SPDX-License-Identifier: BSD-2-Clause

/*
Stacks that grow and move while functions on them are probed (returns_common.h says how it is told):

	load G N           G goroutines, each four times N calls deep and a few more, with garbage
	counts             what was entered and returned of work() and pick()
*/
package main

import (
	"bufio"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
)

var entered, returned, picked uint64

//go:noinline
func work(n int, pad *[64]byte) int {
	var local [256]byte
	atomic.AddUint64(&entered, 1)
	r := 0
	if n > 0 {
		local[n%256] = 1
		r = work(n-1, pad) + int(local[n%256])
	}
	atomic.AddUint64(&returned, 1)
	return r
}

//go:noinline
func pick(n int) int {
	atomic.AddUint64(&picked, 1)
	switch n {
	case 0:
		return 10
	case 1:
		return 11
	case 2:
		return 17
	case 3:
		return 19
	case 4:
		return 23
	case 5:
		return 27
	case 6:
		return 31
	case 7:
		return 1
	case 8:
		return 5
	}
	return 0
}

func load(g, depth int) int {
	var wg sync.WaitGroup
	var sum int64
	for i := 0; i < g; i++ {
		wg.Add(1)
		go func(i int) {
			defer wg.Done()
			var pad [64]byte
			var garbage []byte
			for k := 0; k < 4; k++ {
				garbage = append(garbage, make([]byte, 100000)...)
				atomic.AddInt64(&sum, int64(work(depth+i%7, &pad)+pick(k)))
			}
			_ = garbage
		}(i)
	}
	wg.Wait()
	return int(sum)
}

func main() {
	fmt.Println("ready", os.Getpid())
	in := bufio.NewScanner(os.Stdin)
	for in.Scan() {
		var word string
		var a, b int
		fmt.Sscan(in.Text(), &word, &a, &b)
		switch word {
		case "load":
			fmt.Println("load", load(a, b))
		case "counts":
			fmt.Println("counts", returned, picked)
		case "quit":
			return
		}
	}
}
