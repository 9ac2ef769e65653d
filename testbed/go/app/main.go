// The application of the test bed's pods: a server of several protocols, a client, and a source of load.
package main

import (
	"fmt"
	"os"
)

func main() {
	commands := map[string]func([]string) error{"serve": serve, "get": get, "load": load, "watch": watch}
	if len(os.Args) > 1 {
		if run, ok := commands[os.Args[1]]; ok {
			if err := run(os.Args[2:]); err != nil {
				fmt.Fprintln(os.Stderr, err)
				os.Exit(1)
			}
			return
		}
	}
	fmt.Fprintln(os.Stderr, "usage: app serve | get URL | load -url URL [-seconds N] [-rate N] [-clients N] [-fresh] | watch -url URL")
	os.Exit(2)
}
