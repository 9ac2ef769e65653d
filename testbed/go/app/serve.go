package main

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Answers with what it was asked, so that a test sees what arrived. /status/N answers with that status, /delay/N after N
// milliseconds.
func answer(w http.ResponseWriter, r *http.Request) {
	size, _ := io.Copy(io.Discard, r.Body)
	status := http.StatusOK
	if text, ok := strings.CutPrefix(r.URL.Path, "/status/"); ok {
		if n, err := strconv.Atoi(text); err == nil && n >= 200 && n < 600 {
			status = n
		}
	}
	if text, ok := strings.CutPrefix(r.URL.Path, "/delay/"); ok {
		if n, err := strconv.Atoi(text); err == nil {
			time.Sleep(time.Duration(n) * time.Millisecond)
		}
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(map[string]any{
		"pod": os.Getenv("HOSTNAME"), "version": os.Getenv("VERSION"), "method": r.Method, "path": r.URL.RequestURI(),
		"protocol": r.Proto, "host": r.Host, "peer": r.RemoteAddr, "headers": r.Header, "bytes": size,
	})
}

// grpc.health.v1.Health/Check and nothing else: the answer is SERVING.
func grpcHealth(w http.ResponseWriter, r *http.Request) {
	io.Copy(io.Discard, r.Body)
	w.Header().Set("Content-Type", "application/grpc")
	w.Header().Set("Trailer", "Grpc-Status")
	w.WriteHeader(http.StatusOK)
	// no compression, two bytes; field 1 (status) is 1 (SERVING)
	w.Write([]byte{0, 0, 0, 0, 2, 8, 1})
	// as a server of gRPC does, which knows no length beforehand
	http.NewResponseController(w).Flush()
	w.Header().Set("Grpc-Status", "0")
}

// Listens on all addresses of both families. HTTP on 8080, HTTPS with a certificate of its own on 8443, gRPC health on
// 50051, TCP: echo on 7000, a greeting and then echo on 7001. After SIGTERM it serves on for DRAIN seconds (default 3).
func serve([]string) error {
	mux := http.NewServeMux()
	mux.HandleFunc("/", answer)
	plain := &http.Server{Addr: ":8080", Handler: mux}
	secure := &http.Server{Addr: ":8443", Handler: mux, TLSConfig: ownCertificate()}
	grpc := &http.Server{Addr: ":50051", Handler: http.HandlerFunc(grpcHealth), Protocols: new(http.Protocols)}
	grpc.Protocols.SetUnencryptedHTTP2(true)
	failed := make(chan error, 5)
	run := func(start func() error) {
		go func() {
			if err := start(); !errors.Is(err, http.ErrServerClosed) {
				failed <- err
			}
		}()
	}
	run(plain.ListenAndServe)
	run(func() error { return secure.ListenAndServeTLS("", "") })
	run(grpc.ListenAndServe)
	run(func() error { return tcp(":7000", "") })
	run(func() error { return tcp(":7001", "welcome\n") })
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGTERM, syscall.SIGINT)
	select {
	case err := <-failed:
		return err
	case <-stop:
	}
	drain, err := strconv.Atoi(os.Getenv("DRAIN"))
	if err != nil {
		drain = 3
	}
	time.Sleep(time.Duration(drain) * time.Second)
	end, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	return errors.Join(plain.Shutdown(end), secure.Shutdown(end), grpc.Shutdown(end))
}

func tcp(address, greeting string) error {
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return err
	}
	for {
		connection, err := listener.Accept()
		if err != nil {
			return err
		}
		go func() {
			defer connection.Close()
			io.WriteString(connection, greeting)
			reader := bufio.NewReader(connection)
			for {
				line, err := reader.ReadString('\n')
				if _, written := io.WriteString(connection, line); err != nil || written != nil {
					return
				}
			}
		}()
	}
}

func ownCertificate() *tls.Config {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(24 * 365 * time.Hour), DNSNames: []string{"app"}}
	certificate, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		panic(err)
	}
	return &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{certificate}, PrivateKey: key}}}
}
