// A client of the Workload API built on go-spiffe, the SPIFFE project's own library: what it accepts, others will.
//
//	spiffe-client watch SOCKET             one line of JSON for each update, until killed
//	spiffe-client handshake SERVER CLIENT  TLS between the identities of two sockets, both ends verified
package main

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"
	"github.com/spiffe/go-spiffe/v2/spiffetls/tlsconfig"
	"github.com/spiffe/go-spiffe/v2/workloadapi"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(args []string) error {
	switch {
	case len(args) == 2 && args[0] == "watch":
		return watch(args[1])
	case len(args) == 3 && args[0] == "handshake":
		return handshake(args[1], args[2])
	default:
		return errors.New("usage: spiffe-client watch SOCKET | handshake SERVER-SOCKET CLIENT-SOCKET")
	}
}

// watch prints what the library has read and verified: identity, serial number, how many authorities.
func watch(socket string) error {
	return workloadapi.WatchX509Context(context.Background(), printer{}, workloadapi.WithAddr("unix://"+socket))
}

type printer struct{}

func (printer) OnX509ContextUpdate(update *workloadapi.X509Context) {
	svid := update.DefaultSVID()
	authorities := 0
	if bundle, ok := update.Bundles.Get(svid.ID.TrustDomain()); ok {
		authorities = len(bundle.X509Authorities())
	}
	_ = json.NewEncoder(os.Stdout).Encode(map[string]any{
		"spiffeId":    svid.ID.String(),
		"serial":      svid.Certificates[0].SerialNumber.Text(16),
		"authorities": authorities,
	})
}

func (printer) OnX509ContextWatchError(err error) {
	fmt.Fprintln(os.Stderr, err)
}

// handshake has two workloads talk once, and then makes sure that a client that expects someone else refuses.
func handshake(serverSocket, clientSocket string) error {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	server, err := source(ctx, serverSocket)
	if err != nil {
		return err
	}
	defer server.Close()
	client, err := source(ctx, clientSocket)
	if err != nil {
		return err
	}
	defer client.Close()
	serverID, err := identity(server)
	if err != nil {
		return err
	}
	clientID, err := identity(client)
	if err != nil {
		return err
	}
	listener, err := tls.Listen("tcp", "127.0.0.1:0", tlsconfig.MTLSServerConfig(server, server, tlsconfig.AuthorizeID(clientID)))
	if err != nil {
		return err
	}
	defer listener.Close()
	go echo(listener)

	address := listener.Addr().String()
	answer, err := ask(address, tlsconfig.MTLSClientConfig(client, client, tlsconfig.AuthorizeID(serverID)))
	if err != nil {
		return fmt.Errorf("%s cannot talk to %s: %w", clientID, serverID, err)
	}
	if _, err := ask(address, tlsconfig.MTLSClientConfig(client, client, tlsconfig.AuthorizeID(clientID))); err == nil {
		return errors.New("a server with another identity than the expected one was accepted")
	}
	if _, err := ask(address, tlsconfig.MTLSClientConfig(server, server, tlsconfig.AuthorizeID(serverID))); err == nil {
		return errors.New("a client with another identity than the expected one was accepted")
	}
	fmt.Printf("%s said %q to %s\n", serverID, answer, clientID)
	return nil
}

func source(ctx context.Context, socket string) (*workloadapi.X509Source, error) {
	return workloadapi.NewX509Source(ctx, workloadapi.WithClientOptions(workloadapi.WithAddr("unix://"+socket)))
}

func identity(source *workloadapi.X509Source) (spiffeid.ID, error) {
	svid, err := source.GetX509SVID()
	if err != nil {
		return spiffeid.ID{}, err
	}
	return svid.ID, nil
}

func echo(listener net.Listener) {
	for {
		connection, err := listener.Accept()
		if err != nil {
			return
		}
		go func() {
			defer connection.Close()
			_, _ = io.Copy(connection, connection)
		}()
	}
}

func ask(address string, config *tls.Config) (string, error) {
	connection, err := tls.DialWithDialer(&net.Dialer{Timeout: 5 * time.Second}, "tcp", address, config)
	if err != nil {
		return "", err
	}
	defer connection.Close()
	if _, err := io.WriteString(connection, "hello"); err != nil {
		return "", err
	}
	answer := make([]byte, 5)
	if _, err := io.ReadFull(connection, answer); err != nil {
		return "", err
	}
	return string(answer), nil
}
