// Command pause is what the node's own image holds. Without arguments it is a pod's sandbox: it sleeps and reaps.
// `pause allocate BYTES` touches that much memory first; `pause connect` says whether it reaches the API server.
package main

import (
	"log"
	"net"
	"os"
	"os/signal"
	"strconv"
	"syscall"
)

// A global, so that the collector never frees it.
var memory []byte

func main() {
	if len(os.Args) > 1 {
		switch os.Args[1] {
		case "allocate":
			allocate(os.Args[2])
		case "connect":
			connect()
			return
		}
	}
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM, syscall.SIGCHLD)
	for received := range signals {
		if received != syscall.SIGCHLD {
			return
		}
		reap()
	}
}

func allocate(bytes string) {
	size, err := strconv.Atoi(bytes)
	if err != nil {
		log.Fatal(err)
	}
	memory = make([]byte, size)
	for page := 0; page < size; page += os.Getpagesize() {
		memory[page] = 1
	}
}

func connect() {
	address := net.JoinHostPort(os.Getenv("KUBERNETES_SERVICE_HOST"), os.Getenv("KUBERNETES_SERVICE_PORT"))
	connection, err := net.Dial("tcp", address)
	if err != nil {
		log.Fatal(err)
	}
	connection.Close()
}

func reap() {
	for {
		if pid, _ := syscall.Wait4(-1, nil, syscall.WNOHANG, nil); pid <= 0 {
			return
		}
	}
}
