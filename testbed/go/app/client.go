package main

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"
)

func client(fresh bool, clients int) *http.Client {
	return &http.Client{
		Timeout: 15 * time.Second,
		Transport: &http.Transport{
			DisableKeepAlives:   fresh,
			MaxIdleConnsPerHost: clients,
			TLSClientConfig:     &tls.Config{InsecureSkipVerify: true},
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// One request: prints {status, body, headers} whatever the status is; without an answer it fails.
func get(args []string) error {
	if len(args) != 1 {
		return fmt.Errorf("get needs one URL")
	}
	response, err := client(true, 1).Get(args[0])
	if err != nil {
		return err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(map[string]any{
		"status": response.StatusCode, "body": string(body), "headers": response.Header,
	})
}

type failure struct {
	At    string `json:"at"`
	Error string `json:"error"`
}

// What came of a load. A request counts as failed when there was no answer, half an answer, or a status that is not 2xx.
type result struct {
	Sent      int            `json:"sent"`
	Failed    int            `json:"failed"`
	Statuses  map[int]int    `json:"statuses"`
	Pods      map[string]int `json:"pods"`
	Versions  map[string]int `json:"versions"`
	Failures  []failure      `json:"failures"`
	SlowestMs int64          `json:"slowestMs"`
	lock      sync.Mutex
}

func (r *result) add(status int, pod, version string, took time.Duration, err error) {
	r.lock.Lock()
	defer r.lock.Unlock()
	r.Sent++
	r.SlowestMs = max(r.SlowestMs, took.Milliseconds())
	if status != 0 {
		r.Statuses[status]++
	}
	if pod != "" {
		r.Pods[pod]++
	}
	if version != "" {
		r.Versions[version]++
	}
	if err == nil && (status < 200 || status > 299) {
		err = fmt.Errorf("status %d", status)
	}
	if err != nil {
		r.Failed++
		if len(r.Failures) < 20 {
			r.Failures = append(r.Failures, failure{time.Now().UTC().Format(time.RFC3339Nano), err.Error()})
		}
	}
}

func one(c *http.Client, url string) (status int, pod, version string, err error) {
	response, err := c.Get(url)
	if err != nil {
		return 0, "", "", err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return response.StatusCode, "", "", err
	}
	var said struct{ Pod, Version string }
	json.Unmarshal(body, &said)
	return response.StatusCode, said.Pod, said.Version, nil
}

// Requests at a steady rate until the time is over or SIGTERM; then one line of JSON.
func load(args []string) error {
	flags := flag.NewFlagSet("load", flag.ExitOnError)
	url := flags.String("url", "", "")
	seconds := flags.Int("seconds", 3600, "")
	rate := flags.Int("rate", 50, "requests a second, all clients together")
	clients := flags.Int("clients", 8, "")
	fresh := flags.Bool("fresh", false, "a new connection for each request")
	flags.Parse(args)
	ctx, cancel := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer cancel()
	ctx, cancelTime := context.WithTimeout(ctx, time.Duration(*seconds)*time.Second)
	defer cancelTime()
	r := &result{Statuses: map[int]int{}, Pods: map[string]int{}, Versions: map[string]int{}, Failures: []failure{}}
	c := client(*fresh, *clients)
	due := make(chan struct{}, *clients)
	var all sync.WaitGroup
	for range *clients {
		all.Go(func() {
			for range due {
				start := time.Now()
				status, pod, version, err := one(c, *url)
				r.add(status, pod, version, time.Since(start), err)
			}
		})
	}
	ticks := time.NewTicker(time.Second / time.Duration(*rate))
	defer ticks.Stop()
	for ctx.Err() == nil {
		select {
		case <-ctx.Done():
		case <-ticks.C:
			select {
			case due <- struct{}{}:
			case <-ctx.Done():
			}
		}
	}
	close(due)
	all.Wait()
	return json.NewEncoder(os.Stdout).Encode(r)
}

// A request every 10 ms until SIGTERM; prints {at, pod} each time that another pod answers, `at` in milliseconds since 1970.
func watch(args []string) error {
	flags := flag.NewFlagSet("watch", flag.ExitOnError)
	url := flags.String("url", "", "")
	flags.Parse(args)
	ctx, cancel := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer cancel()
	c := client(false, 1)
	last := ""
	ticks := time.NewTicker(10 * time.Millisecond)
	defer ticks.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticks.C:
		}
		if _, pod, _, err := one(c, *url); err == nil && pod != "" && pod != last {
			last = pod
			fmt.Printf("{\"at\":%.3f,\"pod\":%q}\n", float64(time.Now().UnixMicro())/1000, pod)
		}
	}
}
