package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/botnode/botnode/discord/sim"
)

const (
	proxyClients = 16              // requests at a time
	proxySpan    = 4 * time.Second // of one run
	proxyRounds  = 3
)

// way is a way to the simulator's API: direct, or through a proxy.
type way struct {
	name, base, auth string
	pid              int // of the proxy's process, 0 for none
	rates, costs     []float64
}

// proxyREST measures requests through a node's proxy beside direct ones and, if
// beside names one, beside another proxy: a program that reads from its
// environment the address to listen on (BIND_IP, PORT) and the address of the API
// (TARGET). All in turns, so that what the machine does else meets all alike.
func proxyREST(ctx context.Context, t *table, bin, beside string) error {
	addr := freeAddr()
	p := stock(bin, "none")
	p.nodes, p.args = 1, append(p.args, "--proxy-addr", addr)
	c, err := newCluster(ctx, p, sim.Options{Channels: 20, NoRouteLimits: true, GlobalLimit: -1, Switches: sim.Switches{NoEcho: true}})
	if err != nil {
		return err
	}
	defer c.close()
	key, err := c.clientKey()
	if err != nil {
		return err
	}
	ways := []*way{
		{name: "direct", base: c.sim.URL(), auth: "Bot " + c.sim.Token()},
		{name: "botnode's proxy", base: "http://" + addr, auth: "Bot " + key, pid: c.nodes[0].cmd.Process.Pid},
	}
	if beside != "" {
		other, stop, err := startBeside(ctx, beside, c)
		if err != nil {
			return err
		}
		defer stop()
		ways = append(ways, other)
	}
	var channels []string
	for _, g := range c.sim.GuildIDs() {
		for _, ch := range c.sim.TextChannels(g) {
			channels = append(channels, ch.String())
		}
	}
	for _, kind := range []string{"GET", "POST"} {
		for _, w := range ways {
			w.rates, w.costs = nil, nil
		}
		for range proxyRounds {
			for _, w := range ways {
				if err := w.measure(ctx, kind, channels); err != nil {
					return fmt.Errorf("%s: %w", w.name, err)
				}
			}
		}
		direct := median(ways[0].rates)
		for _, w := range ways {
			text := fmt.Sprintf("%.0f/s, %.2f of direct", median(w.rates), median(w.rates)/direct)
			if w.pid != 0 {
				text += fmt.Sprintf(", %.0f us of the proxy's CPU each", median(w.costs))
			}
			t.add(kind+" requests, "+strconv.Itoa(proxyClients)+" at a time, "+w.name, "", "%s", text)
		}
	}
	return nil
}

// clientKey makes a key for the proxy.
func (c *cluster) clientKey() (string, error) {
	res, err := http.Post("http://"+c.nodes[0].http+"/v1/client-keys", "application/json", strings.NewReader(`{"name":"bench"}`))
	if err != nil {
		return "", err
	}
	defer func() { _ = res.Body.Close() }()
	var k struct{ Key string }
	if err := json.NewDecoder(res.Body).Decode(&k); err != nil || k.Key == "" {
		return "", fmt.Errorf("no client key: %s (%w)", res.Status, err)
	}
	return k.Key, nil
}

// startBeside starts another proxy and waits until it answers.
func startBeside(ctx context.Context, program string, c *cluster) (w *way, stop func(), err error) {
	addr := freeAddr()
	_, port, _ := strings.Cut(addr, ":")
	cmd := exec.Command(program)
	cmd.Env = append(os.Environ(), "BIND_IP=127.0.0.1", "PORT="+port, "TARGET="+c.sim.URL())
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		return nil, nil, err
	}
	stop = func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	}
	w = &way{name: "the proxy beside", base: "http://" + addr, auth: "Bot " + c.sim.Token(), pid: cmd.Process.Pid}
	client := &http.Client{Timeout: 2 * time.Second}
	err = c.until(ctx, 20*time.Second, func() bool { return w.ask(ctx, client, http.MethodGet, "/users/@me", "") == nil })
	if err != nil {
		stop()
		return nil, nil, fmt.Errorf("%s doesn't answer: %w", program, err)
	}
	return w, stop, nil
}

// measure sends requests for a while.
func (w *way) measure(ctx context.Context, kind string, channels []string) error {
	tr := &http.Transport{MaxIdleConnsPerHost: proxyClients}
	defer tr.CloseIdleConnections()
	client := &http.Client{Transport: tr, Timeout: 20 * time.Second}
	var done atomic.Int64
	var failed atomic.Pointer[error]
	var wg sync.WaitGroup
	cpu, begun := cpuOf(w.pid), time.Now()
	end := begun.Add(proxySpan)
	for i := range proxyClients {
		wg.Go(func() {
			for n := i; time.Now().Before(end) && failed.Load() == nil; n += proxyClients {
				path, body := "/channels/"+channels[n%len(channels)], ""
				if kind == http.MethodPost {
					path, body = path+"/messages", `{"content":"a message of an ordinary length, as bots send them all day long"}`
				}
				if err := w.ask(ctx, client, kind, path, body); err != nil {
					failed.Store(&err)
					return
				}
				done.Add(1)
			}
		})
	}
	wg.Wait()
	if err := failed.Load(); err != nil {
		return *err
	}
	w.rates = append(w.rates, float64(done.Load())/time.Since(begun).Seconds())
	w.costs = append(w.costs, float64((cpuOf(w.pid)-cpu).Microseconds())/float64(max(done.Load(), 1)))
	return nil
}

// ask sends one request.
func (w *way) ask(ctx context.Context, client *http.Client, method, path, body string) error {
	req, err := http.NewRequestWithContext(ctx, method, w.base+"/api/v10"+path, bytes.NewBufferString(body))
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", w.auth)
	req.Header.Set("User-Agent", "DiscordBot (bench, 1)")
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	res, err := client.Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = res.Body.Close() }()
	if _, err := io.Copy(io.Discard, res.Body); err != nil {
		return err
	}
	if res.StatusCode/100 != 2 {
		return fmt.Errorf("%s %s: %s", method, path, res.Status)
	}
	return nil
}
